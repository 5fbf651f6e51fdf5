"""Predictions at many rows, a part at a time, so that memory and files stay bounded.

Rows of an array on disk (`numpy.memmap`) or of a dask collection are read when their part is due.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from threading import Lock
from typing import Any

import joblib
import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from .._network.base import PREDICT_ROWS, Network
from .._predictive.members import EXACT_ROWS
from .._rows.novelties import Novelties
from .._utils.blocks import row_blocks
from .._utils.numbers import as_frame, is_dask
from .._utils.threads import call_in_threads

# Bytes that the rows of a part take at most while they are read and predicted, by estimate. What
# numpy and torch hold beside it stays below three times as much.
PART_BYTES = 2**26

# Rows of a part at most, and a number of which its rows are a multiple if they are more: that of a
# forward pass.
MAX_PART_ROWS, STEP_ROWS = 2**16, PREDICT_ROWS

# Rows of a part, at most, where several threads predict, and the fewest rows of each thread. They
# take some milliseconds. If another process has a thread's processor for a while, one part is late.
THREAD_ROWS = 2**14

# Copies of a row while it is read: as it was given, in float64, standardised, and in torch.
ROW_COPIES = 4

# Copies of a draw while it is made: functions, products, noise, and what is transformed back.
DRAW_COPIES = 6

# Takes members and standardised rows, returns arrays with the rows first.
Predict = Callable[[Any, np.ndarray], Any]


def predict_in_parts(
    student: Any, X: Any, predict: Predict, further: float = 0, in_order: bool = False
) -> Any:
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
    further : float
        Numbers of 8 bytes that ``predict`` holds for each row, beside what members hold.
    in_order : bool
        Whether ``predict`` needs parts in the order of the rows, as draws do. Otherwise parts are
        predicted in several threads; see `count_threads`.
    """
    if not hasattr(student, "student_"):
        check_is_fitted(student)
    X = as_frame(X)
    found = Novelties(may_extrapolate=student.has_learnt_further_rows)
    predicted = _predict_in_parts(student, X, predict, further, in_order, found)
    found.warn()
    return predicted


def _predict_in_parts(
    student: Any, X: Any, predict: Predict, further: float, in_order: bool, novelties: Novelties
) -> Any:
    """Do what `predict_in_parts` does with rows of a known number, or with partitions."""
    members = student._members
    shape: tuple[Any, ...] = getattr(X, "shape", ())
    if not isinstance(shape, tuple) or len(shape) < 2 or not isinstance(shape[0], int):
        if is_partitioned(X):
            return _predict_partitions(student, X, predict, further, in_order, novelties)
        return predict(members, student._standardised_rows(X, novelties))
    row_numbers = ROW_COPIES * prod(shape[1:]) + members.row_numbers + further
    n_threads = 1 if in_order else count_threads(student, X)
    size = part_size(row_numbers * n_threads)
    if n_threads > 1:
        size = min(size, THREAD_ROWS)
    if shape[0] <= size:
        return predict(members, student._standardised_rows(X, novelties))
    members.is_exact = shape[0] <= EXACT_ROWS
    X = X.tocsr() if sparse.issparse(X) else X
    # The shapes of the results follow from the first part, which is predicted before all others.
    first = slice(min(size, STEP_ROWS) if n_threads > 1 else size)
    others = [*row_blocks(shape[0], size, first.stop)]

    # Rows are read by one thread at a time: scikit-learn's validation changes the filters of
    # warnings for a moment, and a preprocessor of the user's may not be made for several threads.
    reading = Lock()

    def predict_part(rows):
        with reading:
            standardised = student._standardised_rows(rows_of(X, rows), novelties)
        found = predict(members, standardised)
        return found if isinstance(found, tuple) else (found,)

    def fill(rows):
        for result, part in zip(results, predict_part(rows), strict=True):
            result[rows] = part

    parts = predict_part(first)
    results = [np.empty((shape[0], *part.shape[1:]), part.dtype) for part in parts]
    for result, part in zip(results, parts, strict=True):
        result[first] = part
    del parts, part  # the next part gets their memory
    if n_threads == 1:
        for rows in others:
            fill(rows)
    else:
        call_in_threads(fill, others, n_threads)
    return results[0] if len(results) == 1 else tuple(results)


def count_threads(student: Any, X: Any) -> int:
    """Return in how many threads parts of rows are predicted.

    Their number is that of the student's jobs, or of `joblib.parallel_config`. If neither is set,
    it is that of torch's threads, for many rows in memory and layers so small that torch takes one
    thread for a block of rows.
    """
    if student.n_jobs is not None or _has_joblib_configuration():
        return joblib.effective_n_jobs(student.n_jobs)
    n_most = X.shape[0] // THREAD_ROWS
    if n_most < 2:  # what follows takes longer than the prediction of one row
        return 1
    network = student.student_
    if not isinstance(network, Network) or network.device.type != "cpu" or is_dask(X):
        return 1
    if not (network.has_own_layers and network.is_small(network.block_rows(network.device))):
        return 1
    return min(torch.get_num_threads(), n_most)


def _has_joblib_configuration() -> bool:
    """Return whether this is inside of `joblib.parallel_config`, as jobs of joblib are.

    joblib has no public way to ask. After the context, the configuration is its default.
    """
    default = getattr(joblib.parallel, "default_parallel_config", None)
    local = getattr(joblib.parallel, "_backend", None)
    return getattr(local, "config", default) is not default


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
    return is_dask(X) and hasattr(X, "columns")


def _predict_partitions(
    student: Any, X: Any, predict: Predict, further: float, in_order: bool, novelties: Novelties
) -> Any:
    """Do what `predict_in_parts` does with the partitions of a frame, one after another."""
    computed = (X.partitions[number].compute() for number in range(X.npartitions))
    options = predict, further, in_order, novelties
    found = [_predict_in_parts(student, part, *options) for part in computed if len(part)]
    if not found:
        return _predict_in_parts(student, X.partitions[0].compute(), *options)
    if isinstance(found[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.concatenate(found)
