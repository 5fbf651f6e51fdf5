"""Rows in units of the standard deviation of the rows of `fit`."""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import ddot
from sklearn.preprocessing import StandardScaler

# Rows farther away than this many standard deviations are refused: sums over units would leave the
# range of float32.
MAX_DISTANCE = 1e30


def standardise(scaler: StandardScaler, X: np.ndarray) -> np.ndarray:
    """Return ``scaler.transform(X)`` without a second validation, or raise if rows are too far."""
    standardised = X - scaler.mean_
    standardised /= scaler.scale_
    entries = standardised.ravel(order="K")
    # The sum of squares takes less time than the largest entry. It may be infinite.
    if ddot(entries, entries) > MAX_DISTANCE**2:
        largest = np.abs(entries).max()
        if largest > MAX_DISTANCE:
            raise ValueError(
                f"X must lie within {MAX_DISTANCE:g} standard deviations of the rows of fit, since "
                f"the student computes in float32; got a value {largest:.3g} away."
            )
    return standardised
