"""Fidelity of students that are fitted to some of very many rows, by the number of these.

Teachers are arrays of 50 members at 20 columns: smooth ones, as those of ``large.py``, and trees of
a forest that was fitted to 2,000 other rows. Students are compared with the members at further
rows::

    OMP_NUM_THREADS=1 python benchmarks/chosen_rows.py
    OMP_NUM_THREADS=1 python benchmarks/chosen_rows.py --rows 200000 --chosen 50000 200000

The script prints a Markdown table. Seconds are processor seconds of the fit; the error of the mean
is relative to the standard deviation of the members' mean over rows.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from large import BLOCK_ROWS, N_FEATURES, N_MEMBERS, make_block, member_weights
from measuring import time_fit
from member_scores import compare_moments
from sklearn.ensemble import RandomForestRegressor

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import member_predictions

# Rows of the forest's own fit, and rows at which students are compared with members.
FOREST_ROWS, TEST_ROWS = 2_000, 20_000


def main():
    """Fit all students and print the table."""
    warnings.simplefilter("ignore")
    arguments = parse_arguments()
    names = "mean_error", "std_ratio", "std_corr", "member_nll_gap"
    print("| members | rows | chosen | fit, s | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * 7)
    for kind in arguments.members:
        evaluate = make_teacher(kind)
        X, members = make_rows(evaluate, arguments.rows, seed=1)
        X_test, members_test = make_rows(evaluate, TEST_ROWS, seed=2)
        for seed in range(arguments.seeds):
            for n_chosen in arguments.chosen:
                subsample = n_chosen if n_chosen < arguments.rows else None
                student = DLFRegressor(subsample=subsample, random_state=seed)
                seconds = time_fit(student, X, predictions=members)
                found = compare_moments(members_test, *student.predict(X_test, return_std=True))
                cells = " | ".join(f"{found[name]:.4f}" for name in names)
                print(
                    f"| {kind} | {arguments.rows:,} | {n_chosen:,} | {seconds:.0f} | {cells} |",
                    flush=True,
                )


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    counts = [25_000, 50_000, 100_000, 200_000, 1_000_000]
    parser.add_argument("--chosen", type=int, nargs="+", default=counts)
    parser.add_argument("--members", nargs="+", default=["smooth", "trees"])
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


def make_teacher(kind):
    """Return a function that evaluates members at rows, (n, n_members) float32."""
    rng = np.random.RandomState(0)
    weights = member_weights(rng)
    if kind == "smooth":
        return lambda rows: make_block(rows, weights)[1]
    X = rng.standard_normal((FOREST_ROWS, N_FEATURES))
    mean, _ = make_block(X, weights)
    y = mean + 0.5 * rng.standard_normal(FOREST_ROWS)
    forest = RandomForestRegressor(N_MEMBERS, random_state=0).fit(X, y)
    return lambda rows: member_predictions(forest, rows).astype(np.float32)


def make_rows(evaluate, n_rows, seed):
    """Return rows and members there, made in blocks."""
    rng = np.random.RandomState(seed)
    X = np.empty((n_rows, N_FEATURES), np.float32)
    members = np.empty((n_rows, N_MEMBERS), np.float32)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = X[start : start + BLOCK_ROWS]
        block[:] = rng.standard_normal(block.shape)
        members[start : start + BLOCK_ROWS] = evaluate(block.astype(np.float64))
    return X, members


if __name__ == "__main__":
    main()
