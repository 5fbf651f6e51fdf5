"""Checks of the arguments of scores and figures: rows, weights, probabilities, uncertainties."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from ..ensembles._member_predictions import SUM_TOLERANCE


def check_rows(y_true: ArrayLike, **arrays: ArrayLike) -> tuple[np.ndarray, ...]:
    """Validate a vector and matrices with one row for each of its values, as float64."""
    values = check_array(y_true, ensure_2d=False, dtype=np.float64, input_name="y_true")
    if values.ndim != 1:
        raise ValueError(f"y_true must have shape (n_samples,); got {values.shape}.")
    checked = [
        check_array(array, dtype=np.float64, input_name=name) for name, array in arrays.items()
    ]
    check_consistent_length(values, *checked)
    return values, *checked


def check_weights(sample_weight: ArrayLike | None, rows: Any) -> np.ndarray | None:
    """Validate the weights of rows, as float64 (n_samples,); None stays None."""
    if sample_weight is None:
        return None
    if not np.any(sample_weight):
        raise ValueError(
            "All values of sample_weight are zero; expected at least one positive weight. "
            "sample_weight=None weights all rows equally."
        )
    return _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)


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
    uncertainty = check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
    if uncertainty.ndim != 1:
        raise ValueError(
            f"{name} must have one value for each row; got shape {uncertainty.shape}. Choose one "
            "of the outputs, and give its uncertainty to from_predictions."
        )
    if uncertainty.min() < 0:
        raise ValueError(f"{name} must not be negative; the smallest is {uncertainty.min()}.")
    return uncertainty
