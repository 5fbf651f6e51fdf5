"""Predictions at many rows, a part at a time, so that memory and files stay bounded.

Rows of an array on disk (`numpy.memmap`) or of a dask collection are read when their part is due.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from .._predictive.members import EXACT_ROWS
from .._utils.blocks import row_blocks

# Bytes that the rows of a part take at most while they are read and predicted, by estimate. What
# numpy and torch hold beside it stays below three times as much.
PART_BYTES = 2**26

# Rows of a part at most, and a number of which its rows are a multiple if they are more: that of a
# forward pass.
MAX_PART_ROWS, STEP_ROWS = 2**16, 2**10

# Copies of a row while it is read: as it was given, in float64, standardised, and in torch.
ROW_COPIES = 4

# Copies of a draw while it is made: functions, products, noise, and what is transformed back.
DRAW_COPIES = 6

# Takes members and standardised rows, returns arrays with the rows first.
Predict = Callable[[Any, np.ndarray], Any]


def predict_in_parts(student: Any, X: Any, predict: Predict, further: float = 0) -> Any:
    """Return what ``predict`` returns at all rows: an array or a tuple of arrays.

    Numbers depend on the parts by rounding at most.

    Parameters
    ----------
    student : BaseStudent
        Fitted student.
    X : array-like, sparse matrix, DataFrame or dask collection with n rows
        Rows as the user gave them.
    predict : callable
        Called as ``predict(members, rows)`` with members of the student and standardised rows.
        Parts come in the order of the rows.
    further : float
        Numbers of 8 bytes that ``predict`` holds for each row, beside what members hold.
    """
    if not hasattr(student, "student_"):
        check_is_fitted(student)
    members = student._members
    shape: tuple[Any, ...] = getattr(X, "shape", ())
    if len(shape) < 2 or not isinstance(shape[0], int):
        if is_partitioned(X):
            return _predict_partitions(student, X, predict, further)
        return predict(members, student._standardised_rows(X))
    size = part_size(ROW_COPIES * prod(shape[1:]) + members.row_numbers + further)
    if shape[0] <= size:
        return predict(members, student._standardised_rows(X))
    members.is_exact = shape[0] <= EXACT_ROWS
    X = X.tocsr() if sparse.issparse(X) else X
    results: list[np.ndarray] = []
    for rows in row_blocks(shape[0], size):
        found = predict(members, student._standardised_rows(rows_of(X, rows)))
        is_single = not isinstance(found, tuple)
        parts = (found,) if is_single else found
        results = results or [np.empty((shape[0], *p.shape[1:]), p.dtype) for p in parts]
        for result, part in zip(results, parts, strict=True):
            result[rows] = part
        del found, parts  # the next part gets their memory
    return results[0] if is_single else tuple(results)


def part_size(row_numbers: float) -> int:
    """Return the number of rows of a part, of which each takes so many numbers of 8 bytes."""
    size = int(PART_BYTES / (8 * row_numbers))
    if size < STEP_ROWS:
        return max(1, size)
    return min(size - size % STEP_ROWS, MAX_PART_ROWS)


def rows_of(X: Any, rows: slice) -> Any:
    """Return some rows of a container that can be cut."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def is_partitioned(X: Any) -> bool:
    """Return whether rows are a DataFrame of dask or alike, whose partitions are computed."""
    return hasattr(X, "partitions") and hasattr(X, "npartitions") and hasattr(X, "columns")


def _predict_partitions(student: Any, X: Any, predict: Predict, further: float) -> Any:
    """Do what `predict_in_parts` does with the partitions of a frame, one after another."""
    computed = (X.partitions[number].compute() for number in range(X.npartitions))
    found = [predict_in_parts(student, part, predict, further) for part in computed if len(part)]
    if not found:
        return predict_in_parts(student, X.partitions[0].compute(), predict, further)
    if isinstance(found[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.concatenate(found)
