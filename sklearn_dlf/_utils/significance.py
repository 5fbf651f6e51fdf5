"""Whether a mean differs from zero by more than chance."""

from __future__ import annotations

import numpy as np


def effective_number(weights: np.ndarray) -> float:
    """Return the number of rows of equal weight that say as much as rows of these weights (n,)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def mean_in_errors(
    values: np.ndarray, weights: np.ndarray | None = None, least_error: float = 0.0
) -> float:
    """Return the weighted mean of values (n,) in units of its standard error.

    Parameters
    ----------
    values : array of shape (n,)
        Values of independent rows.
    weights : array of shape (n,) or None
        Weights of the rows. Rows of unequal weights count as fewer ones.
    least_error : float
        Smaller standard errors are raised to this. Above rounding errors, a mean that is zero but
        for them is not significant.
    """
    weights = np.ones(len(values)) if weights is None else weights
    scale = np.abs(values).max()
    if not scale > 0:
        return 0.0 if scale == 0 else float("nan")
    values, least_error = values / scale, least_error / scale  # whose squares float64 can hold
    mean = np.average(values, weights=weights)
    variance = np.average((values - mean) ** 2, weights=weights)
    error = np.sqrt(variance / max(effective_number(weights) - 1, 1))
    return float(mean / max(error, least_error, np.finfo(np.float64).tiny))
