"""Compare the time of a grid over q with ``memory=`` to the least work that it could take.

Two sides alternate. One is a ``GridSearchCV`` over five values of q, whose student has an unfitted
teacher and a memory that starts empty. The other does the same work by hand: in each fold it fits
and evaluates the teacher once, and fits and scores a student for each q. The students of both sides
learn at the rows of the fold alone, and the script checks that they have the same scores. They are
trained for a short time only, so that the cost of the memory is visible. The same grid without
memory is measured once. Prints medians over rounds, in wall-clock and in processor seconds:

    OMP_NUM_THREADS=1 python benchmarks/grid.py [--rounds 3 --rows 300 --hidden 50 --max-iter 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from statistics import median
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions

Q = (2, 4, 6, 8, 10)

FOLDS = KFold(3)

# The teachers are seeded, so that students of both sides start from the same random state.
TEACHERS = {
    "50 networks": DeepEnsembleRegressor(n_estimators=50, random_state=0),
    "forest of 300": RandomForestRegressor(300, min_samples_leaf=3, random_state=0),
}


class Seconds(NamedTuple):
    """Wall-clock and processor seconds of a call."""

    clock: float
    processor: float


def by_hand(student, X, y):
    """Return scores (n_q, n_folds) of students whose teacher is fitted once a fold."""
    scores = np.empty((len(Q), FOLDS.n_splits))
    for fold, (train, test) in enumerate(FOLDS.split(X)):
        teacher = clone(student.ensemble).fit(X[train], y[train])
        predictions = member_predictions(teacher, X[train])
        for i, q in enumerate(Q):
            fitted = clone(student).set_params(q=q, ensemble=None)
            fitted.fit(X[train], y[train], predictions=predictions)
            scores[i, fold] = fitted.score(X[test], y[test])
    return scores


def by_grid(student, X, y):
    """Return the same scores from a grid, without memory."""
    grid = GridSearchCV(student, {"q": Q}, cv=FOLDS, refit=False, error_score="raise").fit(X, y)
    results = grid.cv_results_
    return np.stack([results[f"split{i}_test_score"] for i in range(FOLDS.n_splits)], axis=1)


def by_grid_with_memory(student, X, y):
    """Return the same scores from a grid whose memory is a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        return by_grid(clone(student).set_params(memory=folder), X, y)


def measure(function, *args):
    """Return the result and the seconds of a call."""
    began = time.perf_counter(), time.process_time()
    result = function(*args)
    return result, Seconds(time.perf_counter() - began[0], time.process_time() - began[1])


def compare(student, X, y, n_rounds):
    """Yield median seconds by hand and with memory, their ratios, and seconds without memory."""
    rounds = []
    for i in range(n_rounds):
        sides = [by_hand, by_grid_with_memory]
        measured = {side: measure(side, student, X, y) for side in sides[:: -1 if i % 2 else 1]}
        scores, seconds = zip(*(measured[side] for side in sides), strict=True)
        np.testing.assert_allclose(*scores, rtol=1e-3)
        rounds.append(seconds)
    _, without = measure(by_grid, student, X, y)
    for unit, each in enumerate(Seconds._fields):
        hand, memory = (median(round_[side][unit] for round_ in rounds) for side in (0, 1))
        ratios = sorted(round_[1][unit] / round_[0][unit] for round_ in rounds)
        yield each, hand, memory, ratios, without[unit]


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--hidden", type=int, nargs="+", default=[50])
    parser.add_argument("--max-iter", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = make_friedman1(args.rows, noise=1.0, random_state=0)
    columns = ["teacher", "seconds", "by hand", "memory", "ratio", "(range)", "no memory", "ratio"]
    print("{:>14} {:>10} {:>8} {:>8} {:>6} {:>13} {:>10} {:>6}".format(*columns))
    for name in args.teachers:
        student = DLFRegressor(
            TEACHERS[name],
            augment=None,
            hidden_layer_sizes=tuple(args.hidden),
            max_iter=args.max_iter,
            n_epochs=args.epochs,
            random_state=0,
        )
        for each, hand, memory, ratios, without in compare(student, X, y, args.rounds):
            spread = f"({ratios[0]:.2f}-{ratios[-1]:.2f})"
            print(
                f"{name:>14} {each:>10} {hand:8.1f} {memory:8.1f} {median(ratios):6.2f} "
                f"{spread:>13} {without:10.1f} {without / hand:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
