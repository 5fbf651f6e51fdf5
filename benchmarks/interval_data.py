"""Data sets of the benchmark of intervals: real ones, and made ones whose noise is known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1

UCI = ["boston", "concrete", "energy", "wine", "kin8nm", "power"]
MADE = ["friedman1", "growing noise", "skewed noise", "t noise", "counts"]

# Probabilities of the intervals that are measured.
LEVELS = (0.5, 0.9, 0.99)

# Rows held out, rows of made data to fit to, and rows for testing at most. All are choices.
N_HELD_OUT, N_MADE, MAX_TEST = 200, 1_000, 1_000


class Split(NamedTuple):
    """Rows and values for fitting, held out and for testing; scale of the noise at test rows."""

    X: np.ndarray
    y: np.ndarray
    X_held_out: np.ndarray
    y_held_out: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    noise: np.ndarray | None


def levels_of_quantiles(levels=LEVELS):
    """Return the levels of the ends of intervals and of the median, in ascending order."""
    tails = [(1 - level) / 2 for level in levels]
    return np.array([*tails[::-1], 0.5, *(1 - tail for tail in tails)])


def load(name, split, data_dir, max_rows):
    """Return a split of a data set, with 200 rows held out."""
    rng = np.random.RandomState(split)
    noise = None
    if name == "diabetes":
        X, y = load_diabetes(return_X_y=True)
    elif name in UCI:
        file = np.load(Path(data_dir) / f"{name}.npz")
        X, y = file["X"], file["y"]
    elif name == "friedman1":
        X, y = make_friedman1(N_MADE + N_HELD_OUT + MAX_TEST, noise=1.0, random_state=split)
    else:
        X, y, noise = make_noisy(name, N_MADE + N_HELD_OUT + MAX_TEST, rng)
    rows = rng.permutation(len(y))
    n_test = min(MAX_TEST, len(y) // 4)
    test, held_out, train = np.split(rows, [n_test, n_test + N_HELD_OUT])
    train = train[:max_rows]
    noise = None if noise is None else noise[test]
    return Split(X[train], y[train], X[held_out], y[held_out], X[test], y[test], noise)


def make_noisy(name, n_rows, rng):
    """Return rows, values and the scale of the noise at each row."""
    X = rng.uniform(-2, 2, size=(n_rows, 5))
    mean = np.sin(2 * X[:, 0]) + X[:, 1]
    if name == "growing noise":
        scale = 0.1 + 0.25 * (X[:, 2] + 2)
        return X, mean + scale * rng.standard_normal(n_rows), scale
    if name == "skewed noise":
        scale = np.full(n_rows, 0.5)
        return X, mean + 0.5 * (rng.standard_exponential(n_rows) - 1), scale
    if name == "t noise":
        return X, mean + 0.3 * rng.standard_t(2, n_rows), np.full(n_rows, 0.3)
    rate = np.exp(1 + 0.5 * mean)
    return X, rng.poisson(rate).astype(float), np.sqrt(rate)
