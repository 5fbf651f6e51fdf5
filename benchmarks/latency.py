"""Time of predictions of one row and of few rows.

Students and scikit-learn's networks have two hidden layers of 100 units and are fitted briefly to
made values. Times are processor times, the medians of calls in turns, on one thread::

    OMP_NUM_THREADS=1 python benchmarks/latency.py

The script prints two Markdown tables: microseconds of one row, also as multiples of
``MLPRegressor``; and ``predict_proba`` as multiples of one evaluation of the student's network.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.neural_network import MLPRegressor

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._predictive.members import EXACT_ROWS

N_ROWS, N_FEATURES, N_MEMBERS, N_CALLS, N_ROUNDS = 400, 20, 20, 50, 41

BRIEF = {"augment": None, "tol": 10.0, "n_epochs": 1, "random_state": 0}


def main():
    """Print both tables."""
    warnings.simplefilter("ignore")
    rng = np.random.RandomState(0)
    X = rng.standard_normal((N_ROWS, N_FEATURES))
    members = X[:, :1] + 0.3 * X @ rng.standard_normal((N_FEATURES, N_MEMBERS))
    y = members.mean(axis=1)
    network = MLPRegressor(hidden_layer_sizes=(100, 100), max_iter=5).fit(X, y)
    student = DLFRegressor(**BRIEF).fit(X, y, predictions=members, unseen=True)
    of_trees = DLFRegressor(body="piecewise_linear", **BRIEF).fit(X, predictions=members)
    row = X[:1]
    report_row(
        {
            "MLPRegressor, predict": lambda: network.predict(row),
            "student, predict": lambda: student.predict(row),
            "student of trees, predict": lambda: of_trees.predict(row),
            "student, predict with std": lambda: student.predict(row, return_std=True),
            "student, predict_interval": lambda: student.predict_interval(row),
        }
    )
    report_probabilities(rng, X)


def report_row(cases):
    """Print the times of one row."""
    times = dict(zip(cases, measure(cases.values(), N_CALLS), strict=True))
    print("| one row | us | / MLPRegressor |\n| --- | --- | --- |")
    for name, seconds in times.items():
        ratio = seconds / times["MLPRegressor, predict"]
        print(f"| {name} | {1e6 * seconds:.0f} | {ratio:.2f} |")


def report_probabilities(rng, X):
    """Print the times of probabilities."""
    counts = (1, 10, 100, 1000, 10_000, 100_000)
    print("\n| predict_proba / pass | " + " | ".join(f"{n:,} rows" for n in counts) + " |")
    print("| --- |" + " --- |" * len(counts))
    for n_classes in (2, 3, 10):
        logits = np.einsum("nd,dcm->ncm", X, rng.standard_normal((N_FEATURES, n_classes, 1)))
        shape = N_FEATURES, n_classes, N_MEMBERS
        logits = np.exp(logits + 0.3 * np.einsum("nd,dcm->ncm", X, rng.standard_normal(shape)))
        probabilities = logits / logits.sum(axis=1, keepdims=True)
        student = DLFClassifier(refine=False, **BRIEF).fit(X, predictions=probabilities)
        ratios = []
        for n_rows in counts:
            rows = rng.standard_normal((n_rows, N_FEATURES))
            frozen = student.student_.frozen(n_rows <= EXACT_ROWS)
            cases = (
                lambda frozen=frozen, rows=rows: frozen.evaluate(rows),
                lambda student=student, rows=rows: student.predict_proba(rows),
            )
            one_pass, whole = measure(cases, max(1, N_CALLS // n_rows))
            ratios.append(f"{whole / one_pass:.2f}")
        print(f"| {n_classes} classes | " + " | ".join(ratios) + " |", flush=True)


def measure(cases, n_calls):
    """Return the median processor seconds of a call of each case, called in turns."""
    cases, times = list(cases), []
    for _ in range(N_ROUNDS):
        times.append([])
        for call in cases:
            began = time.process_time()
            for _ in range(n_calls):
                call()
            times[-1].append((time.process_time() - began) / n_calls)
    return np.median(times[1:], axis=0)


if __name__ == "__main__":
    main()
