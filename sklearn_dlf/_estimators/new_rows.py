"""Arguments of `update` and `adapt`: new rows, their weights, and options."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _num_samples

from .._rows.index_order import warn_of_index_order
from .._rows.refused import refuse_records
from .._utils.numbers import in_memory, without_dates

# Largest weight of a row. Larger ones are mistakes, and posteriors of them would not be finite.
# Weights below the least one count as zero: their squares would leave the range of float64. Both
# are choices.
LEAST_WEIGHT, MAX_WEIGHT = 1e-30, 1e12


def check_new_rows(student: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, np.ndarray]:
    """Return new rows, y and weights (n_rows,) in memory, or raise if they do not match."""
    warn_of_index_order(X, y=y, sample_weight=sample_weight)
    X, y = in_memory(X), in_memory(y)
    refuse_records(X, student.preprocessor)
    n_rows = _num_samples(X)
    if n_rows != _num_samples(y):
        raise ValueError(
            f"y must have a value for each of the {n_rows} rows of X; got {_num_samples(y)}."
        )
    return X, y, _row_weights(in_memory(sample_weight), n_rows)


def _row_weights(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Return weights of rows (n_rows,), or raise if they are invalid; all may be zero."""
    if sample_weight is None:
        return np.ones(n_rows)
    weights = check_array(
        without_dates(sample_weight, "sample_weight"),
        dtype=np.float64,
        ensure_2d=False,
        ensure_min_samples=0,
        input_name="sample_weight",
    )
    if weights.shape != (n_rows,) or not ((weights >= 0) & (weights <= MAX_WEIGHT)).all():
        ends = f"; {weights.min():g} to {weights.max():g}" if weights.size else ""
        raise ValueError(
            f"sample_weight must hold a number from 0 to {MAX_WEIGHT:g}, of equal rows, for each "
            f"of the {n_rows} rows of X; got shape {weights.shape}{ends}."
        )
    return np.where(weights < LEAST_WEIGHT, 0.0, weights)


def check_options(discrepancy: Any, forgetting: Any) -> float:
    """Return the share that is kept of earlier rows, or raise if an option is invalid."""
    if discrepancy is not None and not (isinstance(discrepancy, str) and discrepancy == "auto"):
        raise ValueError(f"discrepancy must be 'auto' or None; got {discrepancy!r}.")
    if forgetting is None:
        return 1.0
    is_number = isinstance(forgetting, numbers.Real) and not isinstance(forgetting, bool)
    if not (is_number and 0 <= float(forgetting) <= 1):
        raise ValueError(f"forgetting must be a number from 0 to 1, or None; got {forgetting!r}.")
    return float(forgetting)
