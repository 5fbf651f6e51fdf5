"""Medians and means that outliers hardly move."""

from __future__ import annotations

import numpy as np

# Share of the values that a trimmed mean is over, the smallest ones.
KEPT_SHARE = 0.95


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


def trimmed_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each column without its largest values, (n_columns,).

    The arguments are those of `weighted_median`.
    """
    values, weights = values[weights > 0], weights[weights > 0]
    kept = values <= np.quantile(values, KEPT_SHARE, axis=0)
    return (kept * values).T @ weights / (kept.T @ weights)
