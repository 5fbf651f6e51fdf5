"""Checks of the arguments of scores and figures: rows, weights, probabilities, uncertainties."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight

from .._utils.numbers import numeric_array
from .._utils.standardise import scale_weights
from ..ensembles._member_predictions import SUM_TOLERANCE

# Largest value of arguments of scores: sums of their squares stay within the range of float64.
MAX_VALUE = 1e140


def check_numbers(values: ArrayLike, name: str, **options: Any) -> np.ndarray:
    """Validate an array of finite numbers, as float64; options are those of `check_array`."""
    numbers = check_array(numeric_array(values, name), dtype=np.float64, input_name=name, **options)
    largest = np.abs(numbers).max(initial=0.0)
    if largest > MAX_VALUE:
        raise ValueError(
            f"{name} must lie within {MAX_VALUE:g} of zero, so that squares can be computed in "
            f"float64; got {largest:.3g}. Give all values in a larger unit."
        )
    return numbers


def check_vector(values: ArrayLike, name: str) -> np.ndarray:
    """Validate one number for each row, as float64 (n_samples,)."""
    vector = check_numbers(values, name, ensure_2d=False, allow_nd=True)
    if vector.ndim != 1:
        raise ValueError(f"{name} must have shape (n_samples,); got {vector.shape}.")
    return vector


def check_intervals(values: ArrayLike) -> np.ndarray:
    """Return intervals (n_samples, 2), or raise ValueError if they are none."""
    intervals = check_numbers(values, "intervals")
    if intervals.shape[1] != 2:
        raise ValueError(f"intervals must have shape (n_samples, 2); got {intervals.shape}.")
    n_reversed = np.count_nonzero(intervals[:, 0] > intervals[:, 1])
    if n_reversed:
        raise ValueError(
            f"The lower end of {n_reversed} of {len(intervals)} intervals is above the upper one; "
            "expected lower ends first."
        )
    return intervals


def check_weights(sample_weight: ArrayLike | None, rows: Any) -> np.ndarray | None:
    """Validate the weights of rows, as float64 (n_samples,); None stays None."""
    if sample_weight is None:
        return None
    weights = numeric_array(sample_weight, "sample_weight")
    if not weights.any():
        raise ValueError(
            "All values of sample_weight are zero; expected at least one positive weight. "
            "sample_weight=None weights all rows equally."
        )
    weights = weights if weights.ndim else weights[()]  # one number is the weight of all rows
    return scale_weights(
        _check_sample_weight(weights, rows, dtype=np.float64, ensure_non_negative=True)
    )


def check_probabilities(probabilities: np.ndarray, name: str) -> None:
    """Raise if probabilities (n_samples, n_classes, ...) are negative or do not sum to one."""
    smallest = probabilities.min()
    if smallest < 0:
        raise ValueError(
            f"{name} must hold probabilities, which are not negative; the smallest value is "
            f"{smallest:.3g}. Logits have to be converted first, for example by "
            "scipy.special.softmax(logits, axis=1)."
        )
    sums = probabilities.sum(axis=1)
    if np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            f"{name} must sum to one over the classes, which are axis 1, with a tolerance of "
            f"{SUM_TOLERANCE:g}; got sums from {sums.min():.3g} to {sums.max():.3g}."
        )


def check_uncertainty(values: ArrayLike, name: str) -> np.ndarray:
    """Validate the uncertainty at rows, as float64 (n_samples,)."""
    uncertainty = check_numbers(values, name, ensure_2d=False, allow_nd=True)
    if uncertainty.ndim != 1:
        raise ValueError(
            f"{name} must have one value for each row; got shape {uncertainty.shape}. Choose one "
            "of the outputs, and give its uncertainty to from_predictions."
        )
    if uncertainty.min() < 0:
        raise ValueError(f"{name} must not be negative; the smallest is {uncertainty.min()}.")
    return uncertainty


def check_member_probabilities(values: ArrayLike) -> np.ndarray:
    """Return members' probabilities (n_samples, n_classes, n_members), or raise ValueError."""
    probabilities = check_numbers(values, "members", ensure_2d=False, allow_nd=True)
    if probabilities.ndim != 3:
        raise ValueError(
            f"members must have shape (n_samples, n_classes, n_members); got {probabilities.shape}."
        )
    check_probabilities(probabilities, "members")
    return probabilities
