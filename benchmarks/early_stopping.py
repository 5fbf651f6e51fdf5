"""How far held-out rows of deep ensembles understate the error, because training ends by them.

A member keeps the epoch at which the loss on its held-out rows is lowest. Its squared error there
is then a little too small. Printed are, over splits, ratios to the mean squared error of members at
their own held-out rows:

- `optimism_`, which the ensemble estimates and by which the noise of y is corrected;
- test: the error at test rows. Its standard error is that of the choice of rows;
- two members: the error of means over two members at test rows, to that at rows that two members
  held out. This is what the noise of y is fitted to.

    python benchmarks/early_stopping.py [--data-dir DIR] [--sets diabetes boston] [--splits 20]
        [--max-rows 500]
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from tables import format_rows

from sklearn_dlf.ensembles import DeepEnsembleRegressor

N_MEMBERS, TEST_SHARE, MAX_TEST = 20, 0.27, 2_000


def load(name, data_dir):
    """Return rows and values."""
    if name == "diabetes":
        return load_diabetes(return_X_y=True)
    file = np.load(Path(data_dir) / f"{name}.npz")
    return file["X"], file["y"]


def measure(X, y, X_test, y_test, seed):
    """Return optimism, one, and errors: held out, test, of two held out, of two at test rows."""
    ensemble = DeepEnsembleRegressor(N_MEMBERS, random_state=seed).fit(X, y)
    unseen = ensemble.unseen_rows_
    own, new = ensemble.member_predictions(X), ensemble.member_predictions(X_test)
    held_out = ((y[:, None] - own) ** 2)[unseen].mean()
    of_two = unseen.sum(axis=1) == 2
    two = np.array([row[seen].mean() for row, seen in zip(own, unseen, strict=True)])
    # Any two members of different rounds have held out a row together.
    half = N_MEMBERS // 2
    pairs = [(new[:, [i]] + new[:, half:]) / 2 for i in range(half)]
    return (
        ensemble.optimism_,
        1.0,
        held_out,
        ((y_test[:, None] - new) ** 2).mean(),
        ((y - two)[of_two] ** 2).mean(),
        np.mean([((y_test[:, None] - pair) ** 2).mean() for pair in pairs]),
    )


def ratio(errors, numerator, denominator):
    """Return the ratio of mean errors (n_splits, n_errors), and its standard error, as text."""
    above, below = errors[:, numerator], errors[:, denominator]
    value = above.mean() / below.mean()
    error = np.std(above - value * below, ddof=1) / np.sqrt(len(errors)) / below.mean()
    return f"{value:.3f} ± {error:.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--sets", nargs="+", default=["diabetes"])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--max-rows", type=int, default=500)
    options = parser.parse_args()
    lines = [["data", "rows", "optimism_", "test", "two members"]]
    for name in options.sets:
        X, y = load(name, options.data_dir)
        errors = []
        for seed in range(options.splits):
            rows = np.random.RandomState(seed).permutation(len(y))
            n_rows = min(options.max_rows, len(y) - int(TEST_SHARE * len(y)))
            own, test = rows[:n_rows], rows[n_rows:][:MAX_TEST]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                errors.append(measure(X[own], y[own], X[test], y[test], seed))
        errors = np.array(errors)
        cells = [ratio(errors, 0, 1), ratio(errors, 3, 2), ratio(errors, 5, 4)]
        lines.append([name, str(n_rows), *cells])
        print(format_rows(lines[-1:]).splitlines()[0], flush=True)
    print("\n" + format_rows(lines))


if __name__ == "__main__":
    main()
