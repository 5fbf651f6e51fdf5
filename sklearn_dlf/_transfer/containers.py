"""Rows in the container that the ensemble was fitted with."""

from __future__ import annotations

from typing import Any

import numpy as np


def rows_like(X: Any, values: np.ndarray) -> Any:
    """Return rows `values` (n, n_features) in the container of X.

    X is a DataFrame of pandas or polars, or anything that `numpy.asarray` takes. A column keeps its
    type if its values fit into it.
    """
    if hasattr(X, "iloc"):
        frame = type(X)(values, columns=X.columns)
        types = {name: dtype for name, dtype in X.dtypes.items() if _fits(frame[name], dtype)}
        return frame.astype(types)
    if hasattr(X, "columns"):
        frame = type(X)(values, schema=X.columns)
        return frame.with_columns(
            column.cast(dtype)
            for column, dtype in zip(frame.get_columns(), X.dtypes, strict=True)
            if column.cast(dtype).cast(column.dtype).equals(column)
        )
    cast = values.astype(np.asarray(X).dtype, copy=False)
    return cast if cast.dtype.kind == "f" or np.array_equal(cast, values) else values


def _fits(column: Any, dtype: Any) -> bool:
    """Return whether a pandas column of floats keeps its values as another type."""
    try:
        return column.equals(column.astype(dtype).astype(column.dtype))
    except (TypeError, ValueError):  # nullable integers refuse fractions, and unsigned ones signs
        return False
