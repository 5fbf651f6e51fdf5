"""New labelled rows for a fitted student: `update` and `adapt`, beside what one would do without.

``python benchmarks/shift.py --data UCI --stream SHIFT --digits [--seeds 5]`` takes about an hour on
one core that is not busy. ``UCI`` holds the sets of regression as ``<name>.npz`` with ``X``
and ``y``, ``SHIFT`` holds ``elec2.npz``, whose rows are in time order.

Regions: the lower half of the rows along the first principal component of the columns is the old
region, the upper fifth is the new one, and those between are left out. Thirty networks are trained
on 40 % of the old rows, 1000 at most, and distilled. The student then gets new labelled rows of one
region, and is scored on further rows of both. NLL is that of y, less that of the student alone;
smaller is better.

Sizes: of a pickled student of thirty networks of the diabetes data, which no option is needed for.

Stream: a student of thirty networks, trained on 5,000 of the rows in the first third of the set,
predicts the next 48 rows (a day), learns their labels, and so on to the end.

Blocks: eight blocks of the same later rows. The same student gets random rows of a block, and is
scored on the others of the block.

Digits: a student of ten networks of 898 digits gets rows whose labels are flipped, 9 - y in place
of y, and is scored on 399 others (`shift_labels.py`).
"""

import argparse
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import softmax
from shift_labels import fit_network, measure_blocks, measure_flipped
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from tables import format_mean, format_rows

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import HydraClassifier
from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
)
from sklearn_dlf.metrics import interval_coverage, neg_nll_scorer

SETS = ["concrete", "energy", "kin8nm", "power", "wine"]
N_MEMBERS = 30

# Shares of rows in the old and the new region; of the old one's, shares for the teacher and for
# updates.
OLD_SHARE, NEW_SHARE, FIT_SHARE, UPDATE_SHARE = 0.5, 0.2, 0.4, 0.3
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
    is_new = component > np.quantile(component, 1 - NEW_SHARE)
    old, new = (rng.permutation(np.flatnonzero(mask)) for mask in (is_old, is_new))
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


def fit_stream(X, y, seed):
    """Return a teacher of the first rows of the stream, and its student."""
    learnt = np.random.RandomState(seed).permutation(N_FIRST)[:N_LEARNT]
    ensemble = DeepEnsembleClassifier(N_MEMBERS, random_state=seed).fit(X[learnt], y[learnt])
    student = DLFClassifier(random_state=seed)
    return ensemble, student.fit(X[learnt], y[learnt], ensemble=ensemble), learnt


def measure_stream(X, y, student, seed):
    """Yield a record for each way to predict the stream."""
    later = y[N_FIRST:]
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


def measure_later(path, seed):
    """Return the records of the stream, and those of its blocks."""
    data = np.load(path)
    X, y = data["X"], data["y"]
    ensemble, student, learnt = fit_stream(X, y, seed)
    stream = list(measure_stream(X, y, student, seed))
    hydra = HydraClassifier(random_state=seed).fit(X[learnt], y[learnt], ensemble=ensemble)
    fitted = ensemble, student, hydra, fit_network(X[learnt], y[learnt], seed)
    return stream, list(measure_blocks(X, y, fitted, N_FIRST, seed))


def print_models(title, records):
    """Print means over seeds, and over blocks if there are any, with the errors of the seeds."""
    lines = [["rows", "model", "NLL", "accuracy", "mapped", "seconds of CPU"]]
    has_blocks = any("block" in record for record in records)
    if has_blocks:
        lines[0].append("worst block, less the student alone")
    for n_rows in dict.fromkeys(record["n"] for record in records):
        of_rows = [record for record in records if record["n"] == n_rows]
        alone = {place(r): r["nll"] for r in of_rows if r["model"] == "student alone"}
        for model in dict.fromkeys(record["model"] for record in of_rows):
            of_model = [record for record in of_rows if record["model"] == model]
            line = [str(n_rows), model]
            for key in ("nll", "accuracy", "mapped", "seconds"):
                line.append(format_mean(means_by_seed(of_model, key)))
            if has_blocks:
                line.append(f"{max(r['nll'] - alone[place(r)] for r in of_model):+.3f}")
            lines.append(line)
    print(f"\n{title}\n\n{format_rows(lines)}", flush=True)


def place(record):
    """Return what rows a record of a model shares with the others."""
    return record["seed"], record.get("block")


def means_by_seed(records, key):
    """Return the mean of a score for each seed; none if it was not measured."""
    seeds = dict.fromkeys(r["seed"] for r in records if key in r)
    return [np.mean([r[key] for r in records if r["seed"] == seed]) for seed in seeds]


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
    parser.add_argument("--digits", action="store_true", help="whether to flip labels of digits")
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
        found = [measure_later(path, seed) for seed in range(options.seeds)]
        print_stream([record for stream, _ in found for record in stream])
        print_models("blocks", [record for _, blocks in found for record in blocks])
    if options.digits:
        records = [record for seed in range(options.seeds) for record in measure_flipped(seed)]
        print_models("digits with flipped labels", records)


if __name__ == "__main__":
    main()
