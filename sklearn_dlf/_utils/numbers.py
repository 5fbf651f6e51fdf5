"""Numbers from anything that holds them: arrays, frames, tensors, objects."""

from __future__ import annotations

from typing import Any

import numpy as np

# Columns that an error names at most.
MAX_SHOWN = 5


def numeric_array(values: Any, name: str = "X") -> np.ndarray:
    """Return numbers as an array of bool, integers, float32 or float64 in native byte order.

    Parameters
    ----------
    values : array-like, frame, series or tensor
        Half precision becomes float32, and long double float64, as do columns of different types.
        Missing values (None, ``pandas.NA``, nulls, masked entries) become NaN. Memory is shared
        where nothing has to change.
    name : str
        Name of the values in errors.

    Raises
    ------
    TypeError
        If values are no real numbers, such as text, categories, dates or complex numbers. The
        error names the columns of a table.

    ValueError
        If the rows of a list differ in length.
    """
    if is_frame(values):
        return _from_frame(values, name)
    values = with_gaps(values)
    if hasattr(values, "detach"):  # a tensor of torch; NumPy has no bfloat16
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    array = as_array(values, name)
    if array.dtype.kind == "O" and array.ndim == 2:
        columns = [_numbers(column) for column in array.T]
        _raise_if_not_numbers(columns, list(range(array.shape[1])), name)
        return _stack(columns)
    numbers = _numbers(array)
    if numbers is None:
        raise TypeError(f"{name} must be numbers; got an array of dtype {array.dtype}.")
    return numbers


def with_gaps(values: Any) -> Any:
    """Return a masked array of numbers with NaN at its gaps, anything else as it is."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return values


def refuse_dates(values: Any, name: str) -> None:
    """Raise ValueError if an array or a frame holds dates: scikit-learn takes them for numbers."""
    dtypes = values.dtypes if is_frame(values) else [getattr(values, "dtype", None)]
    if any(getattr(dtype, "kind", "") in ("M", "m") for dtype in dtypes):
        raise ValueError(f"{name} must be numbers; got dates or durations.")


def without_dates(values: Any, name: str) -> Any:
    """Do what `with_gaps` does, or raise ValueError if values are dates."""
    refuse_dates(values, name)
    return with_gaps(values)


def as_array(values: Any, name: str) -> np.ndarray:
    """Return values as an array, or raise if they have no common shape."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array of numbers, with rows of one length; got a "
            f"{type(values).__name__} that is none: {error}"
        ) from error


def is_frame(values: Any) -> bool:
    """Return whether values are a DataFrame of pandas, polars or alike."""
    return hasattr(values, "columns") and hasattr(values, "dtypes")


def in_memory(values: Any) -> Any:
    """Return a collection of dask as an array or a frame of pandas, others as `as_frame` does."""
    return values.compute() if is_dask(values) else as_frame(values)


def as_frame(values: Any) -> Any:
    """Return a table of Arrow as a frame of pandas, and a lazy frame of polars as a frame.

    Sparse columns of pandas become dense. Names and types of columns stay. A tensor that needs a
    gradient is returned without. Anything else is returned as it is.
    """
    package = type(values).__module__.partition(".")[0]
    if package == "pandas" and is_frame(values):
        return _without_sparse(values)
    if package == "torch" and getattr(values, "requires_grad", False):
        return values.detach()
    if package == "pyarrow" and hasattr(values, "column_names"):
        return values.to_pandas()
    return values.collect() if package == "polars" and hasattr(values, "collect") else values


def _without_sparse(frame: Any) -> Any:
    """Return a frame of pandas whose sparse columns are dense: nothing can be put into these."""
    is_sparse = [
        hasattr(dtype, "fill_value") and hasattr(dtype, "subtype") for dtype in frame.dtypes
    ]
    if not any(is_sparse):
        return frame
    dense = frame.copy(deep=False)
    for place in np.flatnonzero(is_sparse):
        dense.isetitem(place, frame.iloc[:, place].sparse.to_dense())
    return dense


def is_dask(values: Any) -> bool:
    """Return whether values are a collection of dask, which is computed when it is needed."""
    return callable(getattr(values, "__dask_graph__", None))


def _from_frame(frame: Any, name: str) -> np.ndarray:
    """Return the numbers of a frame (n, d)."""
    labels = list(frame.columns)
    if hasattr(frame, "iloc"):
        own = [frame.iloc[:, i] for i in range(len(labels))]
    else:
        own = [frame[label] for label in labels]
    columns = [_numbers(np.asarray(column)) for column in own]
    _raise_if_not_numbers(columns, labels, name)
    if len({str(dtype) for dtype in frame.dtypes}) == 1:
        whole = np.asarray(frame)  # shares the memory of the frame where that is possible
        if whole.dtype.kind in "biuf":
            return _native(whole)
    return _stack(columns) if columns else np.empty(frame.shape)


def _raise_if_not_numbers(columns: list, labels: list, name: str) -> None:
    """Raise TypeError with the labels of the columns that are None."""
    bad = [label for label, column in zip(labels, columns, strict=True) if column is None]
    if bad:
        shown = ", ".join(map(repr, bad[:MAX_SHOWN])) + (", ..." if len(bad) > MAX_SHOWN else "")
        raise TypeError(
            f"{name} must be numbers; {len(bad)} of {len(labels)} columns do not: {shown}. "
            "Encode text, categories and dates as numbers first."
        )


def _stack(columns: list) -> np.ndarray:
    """Return columns (n,) as an array (n, d) of the type that holds all of them."""
    return np.stack(columns, axis=1, dtype=np.result_type(*columns), casting="unsafe")


def _numbers(array: np.ndarray) -> np.ndarray | None:
    """Return numbers as native ones; None if they are no real numbers."""
    if array.dtype.kind in "biuf":
        return _native(array)
    return _from_objects(array) if array.dtype.kind == "O" else None


def _native(array: np.ndarray) -> np.ndarray:
    """Return real numbers in native byte order, with floats of 32 or 64 bits."""
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "f":
        dtype = np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
    with np.errstate(over="ignore"):  # a long double beyond float64 is infinite there
        return array.astype(dtype, copy=False)


def _from_objects(array: np.ndarray) -> np.ndarray | None:
    """Return numbers held as objects; None if one of them is no real number.

    Text is refused even where it spells a number.
    """
    values = [np.nan if _is_missing(value) else value for value in array.ravel().tolist()]
    refused = (str, bytes, np.datetime64, np.timedelta64)
    if any(isinstance(value, refused) for value in values):
        return None
    try:
        numbers = np.array(values) if values else np.empty(0)
        if numbers.dtype.kind not in "biuf" or numbers.shape != (array.size,):
            numbers = np.array([float(value) for value in values])  # decimals, fractions
    except (TypeError, ValueError, OverflowError):
        return None
    return _native(numbers).reshape(array.shape)


def _is_missing(value: Any) -> bool:
    """Return whether an object stands for a missing number. pandas need not be installed."""
    return value is None or type(value).__name__ == "NAType"
