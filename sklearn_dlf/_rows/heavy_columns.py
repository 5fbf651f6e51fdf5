"""Columns of numbers of which one value makes up nearly all of the variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.blocks import row_blocks
from .._utils.warning import warn_user
from .novelties import MAX_SHOWN
from .reader import RowReader
from .table_encoder import TableEncoder

# One value makes up this share of a column's sum of squares, of at least so many rows; the others
# have at least so many different values, so that they are no marks. A choice: of a normal column
# of 50 rows it is about a tenth.
SHARE, LEAST_ROWS, LEAST_VALUES = 0.9, 50, 10

# Rows whose squares are in memory at a time.
BLOCK_ROWS = 2**16


def warn_of_heavy_columns(estimator: Any, reader: RowReader, numbers: np.ndarray) -> None:
    """Warn of columns (n, d) whose other values a standardised network can hardly tell apart.

    Those that a preprocessor of the user has made are not judged.
    """
    if len(numbers) < LEAST_ROWS:
        return
    if reader.is_plain:
        names = dict(enumerate(getattr(estimator, "feature_names_in_", range(numbers.shape[1]))))
    elif isinstance(reader.preprocessor, TableEncoder):
        names = reader.preprocessor.number_columns()
    else:
        return
    farthest, share = _farthest_values(numbers)
    found = [
        f"{name!r} ({farthest[place]:.4g})"
        for place, name in names.items()
        if share[place] > SHARE and len(np.unique(numbers[:, place])) > LEAST_VALUES
    ]
    if found:
        warn_user(
            f"One value makes up more than {SHARE:.0%} of the variance of some columns: "
            f"{', '.join(found[:MAX_SHOWN])}. In units of their standard deviation most other "
            "values are nearly equal, so that the student can hardly tell them apart. Clip such "
            "values, or give another form of the column, such as its logarithm, with X_ensemble as "
            "a function back, or take body='piecewise_linear'."
        )


def _farthest_values(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the value (d,) farthest from a column's mean, and its share of the sum of squares."""
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    unit = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.finfo(np.float64).tiny)
    mean = sum((numbers[rows] / unit).sum(axis=0) for rows in row_blocks(len(numbers), BLOCK_ROWS))
    mean = mean / len(numbers)
    squares = sum(
        np.square(numbers[rows] / unit - mean).sum(axis=0)
        for rows in row_blocks(len(numbers), BLOCK_ROWS)
    )
    farthest = np.where(high / unit - mean > mean - low / unit, high, low)
    known = np.where(squares > 0, squares, 1.0)
    return farthest, np.square(farthest / unit - mean) / known
