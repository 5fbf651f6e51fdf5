"""Measure students of trees with an encoding of the columns, and with plain layers.

Teachers are a forest of 100 trees and 20 bagged boosted models, fitted to at most 2,000 rows.
``boosting`` is what needs no student: one gradient boosting model of the members' mean, another one
of the logarithm of their standard deviation, at the design points of the student. Prints for each
data set and teacher, with means over the splits of scores on test rows:

    python benchmarks/trees.py --data-dir DIR [--sets power friedman1] [--splits 1]

The columns are the error of the mean relative to the standard deviation over rows of the teacher's,
the correlation of the standard deviations divided by its ceiling, the ratio of the mean standard
deviations, the number of the network's parameters, the processor seconds of the fit, and the
milliseconds of a prediction of mean and standard deviation of 10,000 rows. Half of the members
have a standard deviation that correlates with the other half's; the ceiling is what follows by the
formula of Spearman and Brown. ``friedman1`` is made; the other data sets are files in DIR (see
benchmarks/datasets.py).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from datasets import Split, load_split
from measuring import count_parameters, processor_seconds
from sklearn.datasets import make_friedman1
from sklearn.ensemble import BaggingRegressor, HistGradientBoostingRegressor, RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer.row_makers import make_rows
from sklearn_dlf.ensembles import member_predictions
from sklearn_dlf.metrics import member_fidelity

# Rows of training and of testing at most, rows of a timed prediction, and its repetitions: choices.
MAX_TRAIN, MAX_TEST, TIMED_ROWS, N_TIMINGS = 2_000, 1_000, 10_000, 10

TEACHERS = {
    "forest": lambda seed: RandomForestRegressor(100, random_state=seed),
    "boosted": lambda seed: BaggingRegressor(
        HistGradientBoostingRegressor(), 20, random_state=seed
    ),
}

COLUMNS = ["mean_error", "std_corr", "std_ratio", "parameters", "fit_s", "predict_ms"]


def load_rows(name, split, data_dir):
    """Load a split of at most `MAX_TRAIN` and `MAX_TEST` rows."""
    rng = np.random.RandomState(split)
    if name == "friedman1":
        X, y = make_friedman1(MAX_TRAIN + MAX_TEST, noise=1.0, random_state=split)
        return Split(X[:MAX_TRAIN], y[:MAX_TRAIN], X[MAX_TRAIN:], y[MAX_TRAIN:])
    data = load_split(name, split, data_dir)
    X, y = np.concatenate([data.X, data.X_test]), np.concatenate([data.y, data.y_test])
    order = rng.permutation(len(X))
    train, test = np.split(order, [min(MAX_TRAIN, int(0.8 * len(X)))])
    test = test[:MAX_TEST]
    return Split(X[train], y[train], X[test], y[test])


def ceiling(members):
    """Return the largest expected correlation of a standard deviation with the members' own."""
    halves = np.corrcoef(members[:, ::2].std(axis=1), members[:, 1::2].std(axis=1))[0, 1]
    return np.sqrt(2 * halves / (1 + halves))


def milliseconds(student, X):
    """Return the shortest of some times of a prediction at `TIMED_ROWS` rows."""
    rows = np.resize(X, (TIMED_ROWS, X.shape[1]))
    times = []
    for _ in range(N_TIMINGS):
        began = time.perf_counter()
        student.predict(rows, return_std=True)
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def boosting_pair(ensemble, data, seed):
    """Fit a model of the mean and one of the log standard deviation; return predictions."""
    rng = np.random.RandomState(seed)
    rows = np.concatenate([data.X, make_rows("neighbors", data.X, np.inf, rng, encoded=True)])
    members = member_predictions(ensemble, rows)
    spread = members.std(axis=1)
    floor = 1e-3 * spread.mean()
    mean, log_std = (
        HistGradientBoostingRegressor(random_state=seed).fit(rows, target).predict(data.X_test)
        for target in (members.mean(axis=1), np.log(spread + floor))
    )
    return mean, np.exp(log_std)


def measure(data, make_teacher, seed):
    """Return scores by method."""
    ensemble = make_teacher(seed).fit(data.X, data.y)
    members = member_predictions(ensemble, data.X_test)

    def score(mean, std):
        fidelity = member_fidelity(members, mean, std)
        return {
            "mean_error": fidelity.mean_error,
            "std_corr": fidelity.std_correlation / ceiling(members),
            "std_ratio": fidelity.std_ratio,
        }

    results = {"boosting": score(*boosting_pair(ensemble, data, seed))}
    for body in ("mlp", "auto"):
        student = DLFRegressor(body=body, random_state=seed)
        seconds = processor_seconds(student.fit, data.X, data.y, ensemble=ensemble)
        results[body] = {
            **score(*student.predict(data.X_test, return_std=True)),
            "parameters": count_parameters(student),
            "fit_s": seconds,
            "predict_ms": milliseconds(student, data.X_test),
        }
    return results


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data-dir", help="folder of the data sets other than friedman1")
    parser.add_argument("--sets", nargs="+", default=["friedman1"])
    parser.add_argument("--splits", type=int, default=1)
    args = parser.parse_args()
    print(f"{'set':>10} {'teacher':>8} {'method':>9}", *(f"{name:>10}" for name in COLUMNS))
    for name in args.sets:
        for teacher, make_teacher in TEACHERS.items():
            runs = [
                measure(load_rows(name, split, args.data_dir), make_teacher, split)
                for split in range(args.splits)
            ]
            for method in runs[0]:
                means = [np.mean([run[method].get(key, np.nan) for run in runs]) for key in COLUMNS]
                print(
                    f"{name:>10} {teacher:>8} {method:>9}",
                    *(f"{value:10.3f}" for value in means),
                    flush=True,
                )


if __name__ == "__main__":
    main()
