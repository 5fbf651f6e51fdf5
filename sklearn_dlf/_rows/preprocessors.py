"""Which transformer reads the rows of a student, and which rows need one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Tags, get_tags
from sklearn.utils.validation import check_is_fitted

from .columns import is_missing
from .containers import columns_of, is_frame, number_columns, take
from .table_encoder import TableEncoder

# Sparse rows of more columns than this are projected on that many singular vectors; others are
# made dense. A choice: a first layer of 100 units has 100 weights for each.
MAX_SPARSE_COLUMNS = 100


def set_input_tags(tags: Tags, preprocessor: Any) -> None:
    """Set which rows an estimator takes: all kinds, unless a preprocessor of the user's reads them.

    Then it takes those that the preprocessor takes.
    """
    if isinstance(preprocessor, str):
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.sparse = True
    elif preprocessor is not None:
        tags.input_tags = get_tags(preprocessor).input_tags


def choose_preprocessor(preprocessor: Any, rows: Any) -> Any:
    """Return the transformer that reads rows, fitted or not; None if they are read as they are.

    "auto" is a `TableEncoder` for rows with missing values, categories or dates, a truncated SVD
    for sparse rows of many columns, and None for numbers.
    """
    if not isinstance(preprocessor, str):
        return preprocessor
    if sparse.issparse(rows):
        if rows.shape[1] > MAX_SPARSE_COLUMNS:
            n_components = min(MAX_SPARSE_COLUMNS, rows.shape[0])
            return TruncatedSVD(n_components, random_state=0).set_output(transform="default")
        return FunctionTransformer(to_dense, accept_sparse=True)
    if len(getattr(rows, "shape", ())) != 2 or not _has_other_columns(rows):
        return None
    return TableEncoder()


def to_dense(rows: Any) -> np.ndarray:
    """Return a sparse matrix as an array."""
    return rows.toarray() if sparse.issparse(rows) else np.asarray(rows)


def goes_raw(preprocessor: Any, rows: Any) -> bool:
    """Return whether rows that need no preprocessor are handed to the body as they are."""
    return preprocessor is None or (isinstance(rows, np.ndarray) and rows.ndim > 2)


def _has_other_columns(rows: Any) -> bool:
    """Return whether a table holds more than finite numbers and booleans."""
    if isinstance(rows, np.ndarray):
        if rows.dtype.kind == "f":
            return bool(np.isnan(rows).any())
        if rows.dtype.kind == "O":
            simple = (str, int, float, bool, np.number, np.bool_, type(None))
            values = rows.ravel()
            found = {type(value) for value in values}
            if not all(issubclass(one, simple) or one.__name__ == "NAType" for one in found):
                return False  # the check of rows raises
            return str in found or any(is_missing(value) for value in values)
        return rows.dtype.kind in "USMm"
    if not is_frame(rows):
        return False
    numeric = set(number_columns(rows))
    for number, column in enumerate(columns_of(rows)):
        if number in numeric:
            if _has_missing(column):
                return True
        elif str(column.dtype) not in ("bool", "Boolean"):
            return True
    return False


def _has_missing(column: Any) -> bool:
    """Return whether a column of numbers of a frame has missing values."""
    if hasattr(column, "isna"):
        return bool(column.isna().any())
    return bool(column.null_count() or (column.dtype.is_float() and column.is_nan().any()))


def fit_preprocessor(preprocessor: Any, rows: Any, y: Any) -> Any:
    """Return a fitted transformer: the user's if it is fitted, or a fitted clone."""
    if preprocessor is None:
        return None
    try:
        check_is_fitted(preprocessor)
        return preprocessor
    except NotFittedError:
        fitted = clone(preprocessor)
        return fitted.fit(rows) if y is None else fitted.fit(take(rows, np.arange(len(y))), y)
