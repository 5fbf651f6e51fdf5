"""New labelled rows for a fitted student: `update`, beside what one would do without it.

``python benchmarks/shift.py --data UCI --stream SHIFT [--seeds 5]`` takes about a quarter of an
hour on one core that is not busy. ``UCI`` holds the sets of regression as ``<name>.npz`` with ``X``
and ``y``, ``SHIFT`` holds ``elec2.npz``, whose rows are in time order.

Regions: the lower 70 % of the rows along the first principal component of the columns are the old
region, the others are the new one. Thirty networks are trained on 40 % of the old rows, 1000 at
most, and distilled. The student then gets new labelled rows of one region, and is scored on further
rows of both. NLL is that of y, less that of the student alone; smaller is better.

Sizes: of a pickled student of thirty networks of the diabetes data, which no option is needed for.

Stream: a student of thirty networks, trained on 5,000 of the rows in the first third of the set,
predicts the next 48 rows (a day), learns their labels, and so on to the end.
"""

import argparse
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from tables import format_mean, format_rows

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
)
from sklearn_dlf.metrics import interval_coverage, neg_nll_scorer

SETS = ["concrete", "energy", "kin8nm", "power", "wine"]
N_MEMBERS = 30

# Share of rows in the old region; of its rows, shares for the teacher and for updates.
OLD_SHARE, FIT_SHARE, UPDATE_SHARE = 0.7, 0.4, 0.3
MAX_FIT, MAX_TEST = 1_000, 1_000
N_ROWS = [20, 100, 500]

# New rows at which the teacher is retrained too, on all rows so far.
RETRAINED = 100

# First rows of the stream, and how many of them the teacher learns; rows of a step; steps between
# two fits of the boosted trees; and what is kept of the posterior in a step.
N_FIRST, N_LEARNT, STEP, RETRAIN, FORGETTING = 15_072, 5_000, 48, 56, 0.997


def split_regions(X, seed):
    """Return row numbers of the teacher, and of updates and tests in the old and the new region."""
    rng = np.random.RandomState(seed)
    component = PCA(1).fit_transform(StandardScaler().fit_transform(X))[:, 0]
    is_old = component <= np.quantile(component, OLD_SHARE)
    old, new = (rng.permutation(np.flatnonzero(mask)) for mask in (is_old, ~is_old))
    n_fit, n_update = int(FIT_SHARE * len(old)), int(UPDATE_SHARE * len(old))
    updates = {"same": old[n_fit : n_fit + n_update], "new": new[: len(new) // 2]}
    tests = {"same": old[n_fit + n_update :][:MAX_TEST], "new": new[len(new) // 2 :][:MAX_TEST]}
    return old[:n_fit][:MAX_FIT], updates, tests


def score(student, X, y):
    """Return NLL, RMSE and the coverage of 90 % intervals."""
    return {
        "nll": -neg_nll_scorer(student, X, y),
        "rmse": np.sqrt(np.mean((student.predict(X) - y) ** 2)),
        "coverage": interval_coverage(y, student.predict_interval(X, 0.9)),
    }


def normal_score(mean, variance, y):
    """Return the scores of a normal distribution of y."""
    squares = (y - mean) ** 2
    return {
        "nll": float(np.mean(0.5 * np.log(2 * np.pi * variance) + squares / (2 * variance))),
        "rmse": np.sqrt(np.mean(squares)),
        "coverage": float(np.mean(squares < 1.645**2 * variance)),
    }


def reweighted(ensemble, student, rows, X, y):
    """Return mean and variance at X when members have weights by the likelihood of some rows."""
    noise = np.mean(student.predict_uncertainty(rows[0]).aleatoric)
    residuals = rows[1][:, None] - member_predictions(ensemble, rows[0])
    weights = softmax(-0.5 * (residuals**2).sum(axis=0) / noise)
    members = member_predictions(ensemble, X)
    mean = members @ weights
    return normal_score(mean, (members - mean[:, None]) ** 2 @ weights + noise, y)


def ridge_head(student, rows, X, y):
    """Return the scores of a ridge regression on the student's features, from some rows alone."""
    features, at = (
        student.student_.evaluate_body(student._standardised_rows(each)) for each in (rows[0], X)
    )
    model = RidgeCV(np.logspace(-3, 4, 15), store_cv_results=True).fit(features, rows[1])
    return normal_score(model.predict(at), -model.best_score_, y)


def measure_regions(name, data_dir, seed):
    """Yield scores of one set and seed, each less those of the student alone where it is NLL."""
    data = np.load(Path(data_dir) / f"{name}.npz")
    X, y = data["X"], data["y"]
    fit, updates, tests = split_regions(X, seed)
    ensemble = DeepEnsembleRegressor(N_MEMBERS, random_state=seed).fit(X[fit], y[fit])
    student = DLFRegressor(random_state=seed).fit(X[fit], y[fit], ensemble=ensemble)
    alone = {region: score(student, X[rows], y[rows]) for region, rows in tests.items()}
    for region, available in updates.items():
        for n_rows in N_ROWS:
            if len(available) < 0.4 * n_rows:
                continue  # fewer rows than that are another number of rows
            chosen = available[:n_rows]
            rows = X[chosen], y[chosen]
            own, old = tests[region], tests["same"]
            found = {}
            for model, discrepancy in (("update", "auto"), ("factors alone", None)):
                student.update(*rows, discrepancy=discrepancy)
                found[model] = score(student, X[own], y[own])
                found[model]["old"] = score(student, X[old], y[old])["nll"] - alone["same"]["nll"]
                student.reset_update()
            found["members re-weighted"] = reweighted(ensemble, student, rows, X[own], y[own])
            found["ridge head"] = ridge_head(student, rows, X[own], y[own])
            if region == "new" and n_rows == RETRAINED:
                both = np.concatenate([fit, chosen])
                again = DeepEnsembleRegressor(N_MEMBERS, random_state=seed).fit(X[both], y[both])
                error = again.predict(X[own]) - y[own]
                found["teacher retrained"] = {"rmse": np.sqrt(np.mean(error**2))}
            for model, scores in found.items():
                record = {"set": name, "seed": seed, "region": region, "n": n_rows, "model": model}
                record["rmse"] = scores["rmse"] / alone[region]["rmse"]
                if "nll" in scores:
                    record["nll"] = scores["nll"] - alone[region]["nll"]
                    record["coverage"] = scores["coverage"]
                    record["alone"] = alone[region]["coverage"]
                if "old" in scores:
                    record["old"] = scores["old"]
                yield record


def print_regions(records):
    """Print tables over all sets and seeds."""
    for region in ("same", "new"):
        lines = [["rows", "model", "NLL, mean", "median", "worst", "RMSE", "coverage", "alone"]]
        lines[0] += ["old region after it: median", "worst"]
        for n_rows in N_ROWS:
            of_rows = [r for r in records if r["region"] == region and r["n"] == n_rows]
            for model in dict.fromkeys(r["model"] for r in of_rows):
                of_model = [r for r in of_rows if r["model"] == model]
                columns = {
                    key: [r[key] for r in of_model if key in r]
                    for key in ("nll", "rmse", "coverage", "alone", "old")
                }
                line = [str(n_rows), model, format_mean(columns["nll"])]
                line += [f"{np.median(columns['nll']):+.3f}"] if columns["nll"] else [""]
                line += [worst(of_model, "nll"), f"{np.median(columns['rmse']):.2f}"]
                line += [format_mean(columns["coverage"]), format_mean(columns["alone"])]
                line += [f"{np.median(columns['old']):+.3f}"] if columns["old"] else [""]
                lines.append([*line, worst(of_model, "old")])
        print(f"\n{region} region\n\n{format_rows(lines)}", flush=True)


def worst(records, key):
    """Return the largest value of a score, and the set that has it."""
    records = [record for record in records if key in record]
    if not records:
        return ""
    largest = max(records, key=lambda record: record[key])
    return f"{largest[key]:+.3f} ({largest['set']})"


def measure_stream(path, seed):
    """Yield a record for each way to predict the stream."""
    data = np.load(path)
    X, y = data["X"], data["y"]
    learnt = np.random.RandomState(seed).permutation(N_FIRST)[:N_LEARNT]
    first, later = (X[learnt], y[learnt]), y[N_FIRST:]
    ensemble = DeepEnsembleClassifier(N_MEMBERS, random_state=seed).fit(*first)
    student = DLFClassifier(random_state=seed).fit(*first, ensemble=ensemble)
    yield stream_record("student alone", student.predict_proba(X[N_FIRST:]), later)
    for model, discrepancy in (("factors alone", None), ("update", "auto")):
        began = time.process_time()
        found = []
        for start in range(N_FIRST, len(X), STEP):
            rows = slice(start, start + STEP)
            found.append(student.predict_proba(X[rows]))
            student.update(X[rows], y[rows], discrepancy=discrepancy, forgetting=FORGETTING)
        seconds = time.process_time() - began
        student.reset_update()
        yield {**stream_record(model, np.concatenate(found), later), "seconds": seconds}
    found = []
    for start in range(N_FIRST, len(X), STEP * RETRAIN):
        trees = HistGradientBoostingClassifier(random_state=seed).fit(X[:start], y[:start])
        found.append(trees.predict_proba(X[start : start + STEP * RETRAIN]))
    yield stream_record("boosted trees, retrained every 56 days", np.concatenate(found), later)


def stream_record(model, probabilities, y):
    """Return the scores of predicted probabilities of a stream."""
    accuracy = accuracy_score(y, probabilities.argmax(axis=1))
    return {"model": model, "nll": log_loss(y, probabilities), "accuracy": accuracy}


def print_stream(records):
    """Print a table over all seeds."""
    lines = [["model", "NLL", "accuracy", "seconds of CPU"]]
    for model in dict.fromkeys(record["model"] for record in records):
        of_model = [record for record in records if record["model"] == model]
        lines.append([model])
        for key in ("nll", "accuracy", "seconds"):
            lines[-1].append(format_mean([r[key] for r in of_model if key in r]))
    print(f"\nstream\n\n{format_rows(lines)}", flush=True)


def print_sizes():
    """Print the sizes of a pickled student as fitted, after an update, and in a stream."""
    X, y = load_diabetes(return_X_y=True)
    ensemble = DeepEnsembleRegressor(N_MEMBERS, random_state=0).fit(X[:300], y[:300])
    student = DLFRegressor(random_state=0).fit(X[:300], y[:300], ensemble=ensemble)
    sizes = [len(pickle.dumps(student))]
    for forgetting in (None, FORGETTING):
        student.update(X[300:], y[300:], forgetting=forgetting)
        sizes.append(len(pickle.dumps(student)))
    fitted, updated, stream = (size / 1024 for size in sizes)
    print(f"KiB of a pickle: {fitted:.0f} fitted, {updated:.0f} updated, {stream:.0f} in a stream")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the sets of regression")
    parser.add_argument("--stream", help="folder of elec2.npz")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print_sizes()
    if options.data:
        pairs = [(name, seed) for seed in range(options.seeds) for name in options.sets]
        records = [r for name, seed in pairs for r in measure_regions(name, options.data, seed)]
        print_regions(records)
    if options.stream:
        path = Path(options.stream) / "elec2.npz"
        print_stream([r for seed in range(options.seeds) for r in measure_stream(path, seed)])


if __name__ == "__main__":
    main()
