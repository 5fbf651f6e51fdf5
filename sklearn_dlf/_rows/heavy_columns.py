"""Columns of which one value makes up nearly all of the variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.warning import warn_user
from .novelties import MAX_SHOWN
from .reader import RowReader

# One value makes up this share of a column's sum of squares, of at least so many rows; the others
# have at least so many different values, so that they are no marks. A choice: of a normal column
# of 50 rows it is about a tenth.
SHARE, LEAST_ROWS, LEAST_VALUES = 0.9, 50, 10


def warn_of_heavy_columns(estimator: Any, reader: RowReader, numbers: np.ndarray) -> None:
    """Warn of columns (n, d) whose other values a standardised network can hardly tell apart.

    ``reader`` has the scale of the numbers, and ``estimator`` the names of their columns.
    """
    if len(numbers) < LEAST_ROWS or reader.scaler is None:
        return
    mean, variance = reader.scaler.mean_, reader.scaler.var_
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    farthest = np.where(high - mean > mean - low, high, low)
    with np.errstate(over="ignore"):
        is_heavy = (farthest - mean) ** 2 > SHARE * len(numbers) * variance
    heavy = np.flatnonzero(is_heavy & (variance > 0))
    places = [each for each in heavy if len(np.unique(numbers[:, each])) > LEAST_VALUES]
    if not places:
        return
    names = _names_of(estimator, reader)
    shown = ", ".join(
        f"{each if names is None else repr(names[each])} ({farthest[each]:.4g})"
        for each in places[:MAX_SHOWN]
    )
    warn_user(
        f"One value makes up more than {SHARE:.0%} of the variance of some columns: {shown}. In "
        "units of their standard deviation all other values are nearly equal, so that the student "
        "can hardly tell them apart. Clip such values, or give the column's logarithm with "
        "X_ensemble as a function back, or take body='piecewise_linear'."
    )


def _names_of(estimator: Any, reader: RowReader) -> Any:
    """Return the names of the numbers that the reader makes, or None."""
    if reader.is_plain:
        return getattr(estimator, "feature_names_in_", None)
    try:
        return [str(name) for name in reader.preprocessor.get_feature_names_out()]
    except Exception:  # of preprocessors that have no names, in many ways
        return None
