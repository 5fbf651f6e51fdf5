"""Coverage and sharpness of intervals of y, for many teachers, data sets and kinds of noise.

Every student is a default `DLFRegressor` of a fitted teacher; extra trees, lists of models and the
Gaussian process do not know which rows their members saw, so that `fit` warns. Each student is
measured as it is fitted, and after `conformalize` on 200 held-out rows. NGBoost, quantile-forest
and MAPIE (split conformal, and conformalized quantile regression) are fitted to the same rows;
MAPIE gets the held-out rows too, and NGBoost and quantile-forest are also calibrated on them. On
these rows the teacher of each data set and split is chosen: students are conformalized on one half
and compared by their CRPS on the other, each half in turn. The one chosen is conformalized on all.

Prints Markdown tables: coverage by data set and teacher, coverage by thirds of the noise, and the
alternatives beside the student of the best teacher:

    python benchmarks/intervals.py --data-dir DIR [--sets diabetes energy] [--teachers forest]
        [--splits 3] [--max-rows 2000]

Without ``--data-dir``, the data sets of scikit-learn and the generated ones are used. Results are
appended to benchmarks/results/intervals.jsonl; splits that are there are not run again.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from interval_alternatives import ALTERNATIVES
from interval_data import LEVELS, MADE, N_HELD_OUT, UCI, levels_of_quantiles, load
from lightgbm import LGBMRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import append_records, format_rows, load_records
from xgboost import XGBRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor
from sklearn_dlf.metrics import neg_nll_scorer

# Number of simulations of perfect intervals, from which it is known how many are off by chance.
N_SIMULATED = 20_000
RESULTS = Path(__file__).parent / "results" / "intervals.jsonl"


def make_teachers(split):
    """Return functions that fit a teacher to rows and values."""

    def models(make):
        return lambda X, y: [make(seed).fit(X, y) for seed in range(10)]

    def process(X, y):
        kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel()
        model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=split)
        return make_pipeline(StandardScaler(), model).fit(X[:500], y[:500])

    boosted = BaggingRegressor(
        HistGradientBoostingRegressor(max_iter=50, random_state=split), 20, random_state=split
    )
    return {
        "networks": lambda X, y: DeepEnsembleRegressor(20, random_state=split).fit(X, y),
        "forest": lambda X, y: RandomForestRegressor(100, random_state=split).fit(X, y),
        "extra trees": lambda X, y: ExtraTreesRegressor(100, random_state=split).fit(X, y),
        "XGBoost list": models(lambda i: XGBRegressor(subsample=0.8, random_state=i, n_jobs=1)),
        "LightGBM list": models(
            lambda i: LGBMRegressor(
                subsample=0.8, subsample_freq=1, random_state=i, n_jobs=1, verbose=-1
            )
        ),
        "bagged boosting": boosted.fit,
        "Gaussian process": process,
    }


def measure(y, quantiles, noise, levels=LEVELS):
    """Return scores of quantiles, in the order of `levels_of_quantiles`."""
    scores = {}
    middle = len(levels)
    crps = 0.5 * np.abs(y - quantiles[:, middle])
    for i, level in enumerate(levels):
        low, high = quantiles[:, middle - 1 - i], quantiles[:, middle + 1 + i]
        inside = (low <= y) & (y <= high)
        miss = np.maximum(low - y, 0) + np.maximum(y - high, 0)
        interval_score = high - low + 2 / (1 - level) * miss
        crps = crps + (1 - level) / 2 * interval_score
        scores[f"coverage {level:.0%}"] = inside.mean()
        scores[f"width {level:.0%}"] = (high - low).mean()
        scores[f"interval score {level:.0%}"] = interval_score.mean()
        if noise is not None and np.ptp(noise) > 0:
            thirds = np.array_split(np.argsort(noise), 3)
            scores[f"thirds {level:.0%}"] = [float(inside[third].mean()) for third in thirds]
    # The CRPS by a few quantiles is the weighted interval score.
    scores["crps"] = (crps / (len(levels) + 0.5)).mean()
    return {
        key: value if isinstance(value, list) else float(value) for key, value in scores.items()
    }


def crps_of_halves(student, X, y):
    """Return the CRPS on one half of held-out rows after `conformalize` on the other, both ways.

    The halves are too few rows for the widest interval, which is left out.
    """
    few = tuple(level for level in LEVELS if 2 / (1 - level) - 1 <= len(y) // 2)
    scores = []
    for first in (True, False):
        is_given = (np.arange(len(y)) % 2 == 0) == first
        student.conformalize(X[is_given], y[is_given])
        quantiles = student.predict_quantiles(X[~is_given], levels_of_quantiles(few))
        scores.append(measure(y[~is_given], quantiles, None, few)["crps"])
    return float(np.mean(scores))


def seconds_to_predict(predict, X):
    """Return the processor seconds that intervals at 10,000 rows take, best of three."""
    rows = np.resize(X, (10_000, X.shape[1]))
    times = []
    for _ in range(3):
        began = time.process_time()
        predict(rows)
        times.append(time.process_time() - began)
    return min(times)


def measure_student(fit_teacher, data, seed):
    """Return the scores of a student, before and after `conformalize`."""
    teacher = fit_teacher(data.X, data.y)
    began = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        student = DLFRegressor(random_state=seed).fit(data.X, data.y, ensemble=teacher)
    caught = [each for each in caught if not issubclass(each.category, ConvergenceWarning)]
    levels = levels_of_quantiles()
    scores = measure(data.y_test, student.predict_quantiles(data.X_test, levels), data.noise)
    scores["fit_s"] = time.process_time() - began
    scores["warned"] = bool(caught)
    scores["nll"] = float(-neg_nll_scorer(student, data.X_test, data.y_test))
    scores["crps held out"] = crps_of_halves(student, data.X_held_out, data.y_held_out)
    scores["predict_s"] = seconds_to_predict(student.predict_interval, data.X_test)
    student.conformalize(data.X_held_out, data.y_held_out)
    conformal = measure(data.y_test, student.predict_quantiles(data.X_test, levels), data.noise)
    return {**scores, **{f"conformal {key}": value for key, value in conformal.items()}}


def measure_alternative(fit, data, seed):
    """Return the scores of an alternative; None if its package is not installed."""
    try:
        began = time.process_time()
        predict = fit(data, seed)
        fit_s = time.process_time() - began
    except ImportError:
        return None
    scores = measure(data.y_test, predict(data.X_test), data.noise)
    return {**scores, "fit_s": fit_s, "predict_s": seconds_to_predict(predict, data.X_test)}


def run(name, split, data, teachers, seen):
    """Measure everything on one split that is not in ``seen``; append records."""
    jobs = {
        **{key: (measure_student, fit) for key, fit in make_teachers(split).items()},
        **{key: (measure_alternative, fit) for key, fit in ALTERNATIVES.items()},
    }
    for model, (function, fit) in jobs.items():
        is_wanted = teachers is None or model in teachers
        if not is_wanted or (name, split, model) in seen:
            continue
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = function(fit, data, split)
        if scores is None:
            continue
        record = {"set": name, "split": split, "model": model, **scores}
        append_records(RESULTS, [record])
        print(f"{name}, split {split}, {model}: {time.perf_counter() - began:.0f} s", flush=True)


def average(records, key):
    """Return the mean of a score over records; NaN if there is none."""
    values = [record[key] for record in records if key in record]
    return np.mean(values, axis=0) if values else np.nan


def select(records, name, model):
    """Return the records of a data set and a model."""
    return [each for each in records if each["set"] == name and each["model"] == model]


def chance(n_rows, n_splits, level, is_conformal, tolerance):
    """Return how often a value of perfect intervals is off, by the choice of rows alone.

    After `conformalize` the coverage itself depends on the choice of the held-out rows: it has a
    beta distribution.
    """
    rng = np.random.RandomState(0)
    coverage = np.full((N_SIMULATED, n_splits), level)
    if is_conformal:
        rank = np.ceil(level * (N_HELD_OUT + 1))
        coverage = rng.beta(rank, N_HELD_OUT + 1 - rank, size=coverage.shape)
    means = (rng.binomial(n_rows, coverage) / n_rows).mean(axis=1)
    return np.mean(np.abs(means - level) > tolerance)


def print_coverage(records, names, models, prefix, tolerance, n_rows):
    """Print a table of coverage at the three levels; cells off by more than ``tolerance`` in bold.

    A star marks cells at which `fit` warned. ``n_rows`` are the numbers of test rows.
    """
    lines = [["data", *models]]
    n_bad = n_off = n_cells = n_silent = 0
    by_chance = 0.0
    for name in names:
        line = [name]
        for model in models:
            chosen = select(records, name, model)
            cells = []
            for level in LEVELS:
                value = average(chosen, f"{prefix}coverage {level:.0%}")
                is_off = abs(value - level) > tolerance
                n_cells += 1
                n_off += is_off
                is_silent = not (prefix == "" and average(chosen, "warned") == 1)
                n_bad += is_off and is_silent
                n_silent += is_silent
                if is_silent:
                    by_chance += chance(n_rows[name], len(chosen), level, prefix != "", tolerance)
                cells.append(f"**{value:.3f}**" if is_off else f"{value:.3f}")
            star = "*" if prefix == "" and average(chosen, "warned") > 0 else ""
            line.append(" ".join(cells) + star)
        lines.append(line)
    print(format_rows(lines))
    print(
        f"\n{n_off} of {n_cells} values are off by more than {tolerance}; {n_bad} of {n_silent} "
        f"without a warning. Of as many of perfect intervals, {by_chance:.0f} are off by chance.\n"
    )


def print_thirds(records, names, models):
    """Print the coverage of 90 % in the low, middle and high third of the noise."""
    lines = [["data", *models]]
    for name in names:
        cells = []
        for model in models:
            values = average(select(records, name, model), "thirds 90%")
            cells.append("" if np.ndim(values) == 0 else " ".join(f"{v:.3f}" for v in values))
        if any(cells):
            lines.append([name, *cells])
    print(format_rows(lines), "\n")


def of_chosen_teacher(records, name, models):
    """Return the records of the students that held-out rows choose, one a split; and teachers."""
    chosen = []
    for split in sorted({record["split"] for record in records if record["set"] == name}):
        of_split = {m: [r for r in select(records, name, m) if r["split"] == split] for m in models}
        known = [found[0] for found in of_split.values() if found]
        if known:
            chosen.append(min(known, key=lambda record: record["crps held out"]))
    return chosen, list(dict.fromkeys(record["model"] for record in chosen))


def print_alternatives(records, names, models):
    """Print CRPS, interval score and time beside the student of the best teacher."""
    known = [other for other in ALTERNATIVES if any(r["model"] == other for r in records)]
    lines = [["data", "teacher", "student", *known]]
    wins = {other: np.zeros(2, int) for other in known}
    ratios = {other: [] for other in known}
    for name in names:
        own, teachers = of_chosen_teacher(records, name, models)
        splits = {record["split"] for record in own}
        keys = ("conformal crps", "conformal interval score 90%")
        mine = [average(own, key) for key in keys]
        line = [name, ", ".join(teachers), f"{mine[0]:.3f}, {mine[1]:.2f}"]
        for other in known:
            of_other = [r for r in select(records, name, other) if r["split"] in splits]
            theirs = [average(of_other, key) for key in ("crps", "interval score 90%")]
            wins[other] += np.less(mine, theirs)
            ratio = average(of_other, "predict_s") / average(own, "predict_s")
            ratios[other].append(ratio)
            line.append(f"{theirs[0]:.3f}, {theirs[1]:.2f} ({ratio:.0f} x)")
        lines.append(line)
    print(format_rows(lines))
    for other, (crps, score) in wins.items():
        print(
            f"\nAgainst {other}, the student has the lower CRPS on {crps} and the lower interval "
            f"score on {score} of {len(names)}; it predicts {np.nanmin(ratios[other]):.0f} to "
            f"{np.nanmax(ratios[other]):.0f} times as fast."
        )
    print_students(records, names, models)


def print_students(records, names, models):
    """Print the scores of the students of all teachers, from which one is chosen."""
    lines = [["data", *models]]
    for name in names:
        line = [name]
        for model in models:
            own = select(records, name, model)
            held_out, crps, score = (
                average(own, key)
                for key in ("crps held out", "conformal crps", "conformal interval score 90%")
            )
            line.append(f"{held_out:.3f}; {crps:.3f}, {score:.2f}")
        lines.append(line)
    print("\nCRPS on halves of the held-out rows; CRPS and interval score on test rows\n")
    print(format_rows(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--teachers", nargs="+")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--max-rows", type=int, default=2_000)
    options = parser.parse_args()
    names = options.sets or ["diabetes", *(UCI if options.data_dir else []), *MADE]
    RESULTS.parent.mkdir(exist_ok=True)
    for split in range(options.splits):
        for name in names:
            seen = {(r["set"], r["split"], r["model"]) for r in load_records(RESULTS)}
            data = load(name, split, options.data_dir, options.max_rows)
            run(name, split, data, options.teachers, seen)
    records = load_records(RESULTS)
    known = {record["model"] for record in records}
    models = [model for model in make_teachers(0) if model in known]
    print("\nCoverage at 50, 90 and 99 %, as fitted (* where `fit` warned)\n")
    n_rows = {n: len(load(n, 0, options.data_dir, options.max_rows).y_test) for n in names}
    print_coverage(records, names, models, "", 0.03, n_rows)
    print("Coverage after conformalize on 200 rows\n")
    print_coverage(records, names, models, "conformal ", 0.02, n_rows)
    print("Coverage of 90 % in the low, middle and high third of the noise\n")
    print_thirds(records, names, models)
    if known & set(ALTERNATIVES):
        print("CRPS, and interval score at 90 %, after conformalize; times of prediction\n")
        print_alternatives(records, [n for n in names if n in UCI] or names, models)


if __name__ == "__main__":
    main()
