"""Medians of weighted values."""

from __future__ import annotations

import numpy as np


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the median of each column (n_columns,).

    It is the smallest value that at least half of the weight does not exceed, or the midpoint to
    the next one if that is exactly half.

    Parameters
    ----------
    values : array of shape (n, n_columns)
        Finite values.
    weights : array of shape (n,)
        Weights that are not negative, of which one is not zero.
    """
    values = values[weights > 0]
    order = np.argsort(values, axis=0, kind="stable")
    shares = np.cumsum(weights[weights > 0][order], axis=0)
    half, ordered = shares[-1:] / 2, np.take_along_axis(values, order, axis=0)
    first, second = (shares < half).sum(axis=0), (shares <= half).sum(axis=0)
    columns = np.arange(values.shape[1])
    return (ordered[first, columns] + ordered[second, columns]) / 2
