"""Real data sets of the benchmarks, with fixed splits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import ShuffleSplit, train_test_split


class Split(NamedTuple):
    """Training and test rows of one split, with their values or labels."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load_split(name, split, data_dir):
    """Load split number ``split`` of ``diabetes`` or of a data set in ``data_dir``.

    A data set is a file ``<name>.npz`` with ``X`` (n, d), ``y`` (n,) and ``test_indices``
    (n_splits, n_test).
    """
    if name == "diabetes":
        X, y = load_diabetes(return_X_y=True)
        splitter = ShuffleSplit(n_splits=split + 1, test_size=0.1, random_state=0)
        test = list(splitter.split(X))[split][1]
    else:
        data = np.load(Path(data_dir) / f"{name}.npz")
        X, y, test = data["X"], data["y"], data["test_indices"][split]
    train = np.setdiff1d(np.arange(len(X)), test)
    return Split(X[train], y[train], X[test], y[test])


def load_classes(name, split, data_dir):
    """Load split number ``split`` of ``digits`` or of a data set with classes in ``data_dir``.

    A data set is a file ``<name>.npz`` with ``X`` (n, d) and labels ``y`` (n,). A random fifth of
    the rows, stratified by class, is for testing.
    """
    if name == "digits":
        X, y = load_digits(return_X_y=True)
    else:
        data = np.load(Path(data_dir) / f"{name}.npz")
        X, y = data["X"], data["y"]
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=split)
    return Split(X, y, X_test, y_test)
