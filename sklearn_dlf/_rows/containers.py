"""Operations on rows that stay in the user's container, with its types.

A container is a DataFrame of pandas or polars, a sparse matrix, or an array of any type and number
of dimensions. Rows are picked and joined, and some columns of a row are replaced by those of
another one. So missing values, categories and types of made rows are the data's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils.numbers import is_frame, with_gaps

# Entries of sparse columns that are dense at a time: 32 MiB.
DENSE_ENTRIES = 2**22

# Sparse rows whose columns are swapped at a time. It bounds the memory of a dense mask.
SPARSE_ROWS = 2**10


def is_pandas(rows: Any) -> bool:
    """Return whether rows are a DataFrame of pandas, or of a library with its interface."""
    return hasattr(rows, "iloc") and hasattr(rows, "columns")


def as_container(rows: Any) -> Any:
    """Return rows themselves if they are in a container, and lists and the like as an array.

    Sparse rows are in the format from which rows can be picked.
    """
    if sparse.issparse(rows):
        return rows.tocsr()
    if is_frame(rows) or isinstance(rows, np.ndarray):
        return with_gaps(rows)
    if hasattr(rows, "iloc") or hasattr(rows, "to_frame"):  # a Series, as of sentences
        return np.asarray(rows)
    try:
        array = np.asarray(rows)
    except ValueError:  # rows of different lengths; the check of rows says so
        return rows
    # Lists of numbers and strings would become strings, numbers too.
    return np.asarray(rows, dtype=object) if array.dtype.kind in "US" else array


def count_columns(rows: Any) -> int:
    """Return the number of columns; one for a sequence of sentences."""
    return rows.shape[1] if len(rows.shape) > 1 else 1


def column_names(rows: Any) -> list:
    """Return the names of the columns of a frame, or the numbers of those of an array."""
    return list(rows.columns) if is_frame(rows) else list(range(rows.shape[1]))


def columns_of(rows: Any) -> Iterator[Any]:
    """Yield the columns of a frame or of an array of two dimensions."""
    for column in range(rows.shape[1]):
        yield rows.iloc[:, column] if is_pandas(rows) else rows[:, column]


def take(rows: Any, index: np.ndarray) -> Any:
    """Return rows by their numbers, or by a boolean mask."""
    index = np.flatnonzero(index) if index.dtype == bool else index
    if isinstance(rows, np.ndarray):
        return rows[index]
    if is_pandas(rows):
        return rows.take(index)
    return rows[index] if is_frame(rows) or sparse.issparse(rows) else _safe_indexing(rows, index)


def in_container_of(rows: Any, others: Any) -> Any:
    """Return other rows in a container like that of ``rows``, where one is an array or sparse."""
    if sparse.issparse(rows):
        is_like = sparse.issparse(others)
        return others if is_like else type(rows)(np.asarray(others, dtype=np.float64))
    if sparse.issparse(others):
        others = others.toarray()
    if isinstance(rows, np.ndarray) and is_frame(others):
        return np.asarray(others)
    if is_frame(rows) and isinstance(others, np.ndarray):
        names = list(rows.columns)
        others = others.astype(others.dtype.newbyteorder("="), copy=False)
        return type(rows)(others, columns=names) if is_pandas(rows) else type(rows)(others, names)
    return others


def concatenate(first: Any, second: Any) -> Any:
    """Return the rows of two containers of one kind, those of ``first`` before the others.

    Frames have their columns matched by name. Categories are those of both.

    Raises
    ------
    TypeError
        If the containers are not of one kind.
    """
    if sparse.issparse(first) and sparse.issparse(second):
        return sparse.vstack([first, second], format="csr")
    if isinstance(first, np.ndarray) and not is_frame(second):
        return np.concatenate([first, np.asarray(second)])
    if not is_frame(first) or type(first) is not type(second):
        raise TypeError(
            f"Rows to be joined must be in containers of one kind; got {type(first).__name__} and "
            f"{type(second).__name__}."
        )
    if not is_pandas(first):
        import polars

        second = second.select(first.columns).cast(dict(first.schema))
        return polars.concat([first, second])
    if not set(first.columns) <= set(second.columns):  # one of them has numbers for names
        second = second.set_axis(first.columns, axis=1)
    return _concatenate_pandas(first, second[list(first.columns)])


def _concatenate_pandas(first: Any, second: Any) -> Any:
    """Return the rows of two pandas frames with the same columns, with the types of the first."""
    import pandas as pd
    from pandas.api.types import union_categoricals

    parts: list[Any] = []
    for one, other in zip(columns_of(first), columns_of(second), strict=True):
        if hasattr(one.dtype, "categories"):
            other = other.astype("category")
            if one.dtype != other.dtype:
                joined = union_categoricals([one, other], ignore_order=True)
                parts.append(pd.Series(joined))
                continue
        elif one.dtype != other.dtype:
            other = other.astype(one.dtype)
        parts.append(pd.concat([one, other], ignore_index=True))
    frame = pd.concat(parts, axis=1)
    frame.columns = first.columns
    return frame


def swap_columns(rows: Any, first: np.ndarray, second: np.ndarray, swapped: np.ndarray) -> Any:
    """Return rows ``first`` with the entries of rows ``second`` where ``swapped``.

    Parameters
    ----------
    rows : container with n rows
    first, second : int arrays of shape (n_rows,)
        Numbers of rows.
    swapped : bool array of shape (n_rows, n_columns)
        Entries that are taken from ``second``.
    """
    if isinstance(rows, np.ndarray):
        swapped = swapped.reshape(len(first), *rows.shape[1:])
        return np.where(swapped, rows[second], rows[first])
    if sparse.issparse(rows):
        return _swap_sparse(rows, first, second, swapped)
    return gather_columns(rows, np.where(swapped, second[:, None], first[:, None]))


def gather_columns(rows: Any, sources: np.ndarray) -> Any:
    """Return rows whose entries are each taken from the row that ``sources`` names.

    Parameters
    ----------
    rows : frame or array with n rows
    sources : int array of shape (n_rows, n_columns)
        Number of the row that an entry is taken from.
    """
    if isinstance(rows, np.ndarray):
        return rows[sources, np.arange(rows.shape[1])]
    columns = zip(columns_of(rows), sources.T, strict=True)
    if not is_pandas(rows):
        return type(rows)([column.gather(source) for column, source in columns])
    picked = [column.array.take(source) for column, source in columns]
    return _pandas_frame(rows, picked)


def _swap_sparse(rows: Any, first: np.ndarray, second: np.ndarray, swapped: np.ndarray) -> Any:
    """Return `swap_columns` of a sparse matrix, in blocks of rows."""
    rows = rows.tocsr()
    parts = []
    for start in range(0, len(first), SPARSE_ROWS):
        block = slice(start, start + SPARSE_ROWS)
        taken = rows[second[block]].multiply(swapped[block])
        kept = rows[first[block]].multiply(~swapped[block])
        parts.append(sparse.csr_matrix(taken + kept))
    joined = sparse.vstack(parts, format="csr")
    return sparse.csr_array(joined) if isinstance(rows, sparse.csr_array) else joined


def _pandas_frame(rows: Any, columns: list[Any]) -> Any:
    """Return a frame of the type and with the names of ``rows``, of arrays of columns."""
    frame = type(rows)(dict(enumerate(columns)))
    frame.columns = rows.columns
    return frame


def number_columns(rows: Any) -> np.ndarray:
    """Return the numbers of the columns that hold numbers, of which fractions may be taken."""
    if isinstance(rows, np.ndarray):
        is_numeric = rows.ndim == 2 and rows.dtype.kind in "iuf"
        return np.arange(rows.shape[1] if is_numeric else 0)
    if not is_frame(rows):
        return np.arange(0)
    found = []
    for number, column in enumerate(columns_of(rows)):
        dtype = column.dtype
        is_number = dtype.is_numeric() if hasattr(dtype, "is_numeric") else _is_pandas_number(dtype)
        if is_number:
            found.append(number)
    return np.array(found, dtype=int)


def _is_pandas_number(dtype: Any) -> bool:
    """Return whether a type of pandas is one of numbers, without booleans."""
    return getattr(dtype, "kind", "O") in "iuf" and not hasattr(dtype, "categories")


def numbers_of(rows: Any, columns: np.ndarray) -> np.ndarray:
    """Return columns of numbers as float64 (n, n_columns), NaN where values are missing."""
    if isinstance(rows, np.ndarray):
        return np.asarray(rows[:, columns], dtype=np.float64)
    numbers = np.empty((_num_samples(rows), len(columns)))
    for place, number in enumerate(columns):
        column = rows.iloc[:, number] if is_pandas(rows) else rows[:, int(number)]
        numbers[:, place] = as_floats(column)
    return numbers


def as_floats(column: Any) -> np.ndarray:
    """Return a column of numbers as float64, NaN where a value is missing."""
    if hasattr(column, "iloc"):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if hasattr(column, "cast"):
        import polars

        return column.cast(polars.Float64).to_numpy()
    return np.asarray(column, dtype=np.float64)


def as_floating(rows: Any, columns: np.ndarray) -> Any:
    """Return rows with columns of integers as columns of floats."""
    if isinstance(rows, np.ndarray):
        return rows.astype(np.float64) if rows.dtype.kind in "iu" else rows
    if not is_pandas(rows):
        import polars

        return rows.with_columns(
            column.cast(polars.Float64) for column in rows[:, columns.tolist()].get_columns()
        )
    parts = [column.array for column in columns_of(rows)]
    for number in columns:
        if parts[number].dtype.kind in "iu":
            is_nullable = hasattr(parts[number].dtype, "numpy_dtype") and not hasattr(
                parts[number], "_ndarray"
            )
            parts[number] = parts[number].astype("Float64" if is_nullable else np.float64)
    return _pandas_frame(rows, parts)


def with_numbers(rows: Any, columns: np.ndarray, numbers: np.ndarray) -> Any:
    """Return rows with other numbers (n, n_columns) in columns of numbers.

    A column keeps its type: columns of integers get rounded values. Values that are NaN leave the
    entry as it is.
    """
    if isinstance(rows, np.ndarray):
        made = rows.copy()
        old = made[:, columns]
        made[:, columns] = np.where(np.isnan(numbers), old, _as_type(numbers, rows.dtype))
        return made
    if not is_pandas(rows):
        made = list(rows.get_columns())
        for place, number in enumerate(columns):
            made[number] = _polars_column(made[number], numbers[:, place])
        return type(rows)(made)
    parts = [column.array for column in columns_of(rows)]
    for place, number in enumerate(columns):
        parts[number] = _pandas_column(parts[number], numbers[:, place])
    return _pandas_frame(rows, parts)


def map_sparse_columns(rows: Any, function: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return sparse rows whose columns are a function of those of other sparse rows.

    The function takes some columns (n, n_some) and returns as many. They are dense meanwhile.
    """
    columns, n_columns = rows.tocsc(), rows.shape[1]
    n_some = max(1, DENSE_ENTRIES // rows.shape[0])
    parts = [
        sparse.csc_array(function(columns[:, start : start + n_some].toarray()))
        for start in range(0, n_columns, n_some)
    ]
    return type(rows)(sparse.hstack(parts, format=rows.format, dtype=rows.dtype))


def _as_type(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers of a type of numpy, rounded for integers; NaN becomes zero there."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(np.nan_to_num(numbers)), limits.min, limits.max).astype(dtype)
    return numbers.astype(dtype)


def _pandas_column(old: Any, numbers: np.ndarray) -> Any:
    """Return an array of pandas with other values where ``numbers`` are no NaN."""
    changed = ~np.isnan(numbers)
    if isinstance(old.dtype, np.dtype) or hasattr(old, "_ndarray"):
        own = np.asarray(old)
        return np.where(changed, _as_type(numbers, own.dtype), own)
    made = old.copy()
    # Nullable types name the type of their values.
    dtype = getattr(old.dtype, "numpy_dtype", np.dtype(np.float64))
    made[changed] = _as_type(numbers[changed], dtype)
    return made


def _polars_column(old: Any, numbers: np.ndarray) -> Any:
    """Return a column of polars with other values where ``numbers`` are no NaN."""
    numbers = np.where(np.isnan(numbers), as_floats(old), numbers)
    made = type(old)(old.name, numbers).fill_nan(None)
    return (made.round() if old.dtype.is_integer() else made).cast(old.dtype)
