"""Containers of rows that are refused, with what to give in their place."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from scipy import sparse

from .containers import is_frame


def refuse_records(X: Any, preprocessor: Any) -> None:
    """Raise ValueError if rows are a Series or records, unless a transformer of the user's reads X.

    One row is easily given so.
    """
    if sparse.issparse(X):  # a sparse dictionary of keys is a dict, too
        return
    if isinstance(X, dict):
        raise ValueError(
            "X must have rows and columns; got a dict. If it is one record, give "
            "pandas.DataFrame([record]), and of a dict of columns pandas.DataFrame(columns)."
        )
    if preprocessor is not None and not isinstance(preprocessor, str):
        return
    if isinstance(X, list) and X and isinstance(X[0], dict):
        raise ValueError(
            f"X must have rows and columns; got a list of {len(X)} dict(s). Give "
            "pandas.DataFrame(records)."
        )
    if not is_frame(X) and (hasattr(X, "iloc") or hasattr(X, "to_frame")):
        raise ValueError(
            f"X must have rows and columns; got a Series of {len(X)} value(s). For one row of a "
            "frame give X.iloc[[0]], which is a frame, in place of X.iloc[0]; for one column, its "
            "to_frame()."
        )


def refuse_date_objects(X: Any, preprocessor: Any) -> None:
    """Raise TypeError if columns of an array of objects hold dates, as no conversion reads them.

    A transformer of the user's may.
    """
    is_array = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2
    if not is_array or not (preprocessor is None or isinstance(preprocessor, str)):
        return
    dates = date, timedelta, np.datetime64, np.timedelta64
    columns = [
        number
        for number, column in enumerate(X.T)  # a gap among dates is not equal to itself
        if any(isinstance(each, dates) and each == each for each in column)
    ]
    if columns:
        raise TypeError(
            f"X is an array of objects, with dates or durations in column(s) {columns}. Give a "
            "frame, whose columns have types: pandas.DataFrame(X).infer_objects()."
        )


def refuse_strings(X: Any) -> None:
    """Raise ValueError if rows are strings, also if these spell numbers.

    The validation that follows would convert strings to numbers.
    """
    array = np.asarray(X) if isinstance(X, list | tuple) and _holds_string(X) else X
    if isinstance(array, np.ndarray) and array.dtype.kind in "US":
        raise ValueError(
            f"X must be numbers, as in fit; got strings, of dtype {array.dtype}. Turn them into "
            "numbers before, by numpy.asarray(X, dtype=float)."
        )


def _holds_string(rows: Any) -> bool:
    """Return whether the first entry of nested lists is a string."""
    while isinstance(rows, list | tuple) and len(rows):
        rows = rows[0]
    return isinstance(rows, str | bytes)
