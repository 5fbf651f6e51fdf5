"""Values of y, of which some may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .columns import is_missing


def has_label(y: Any) -> np.ndarray:
    """Return which rows of y (n,) or (n, n_outputs) have a value: bool array (n,).

    A row of several outputs has none if all of them are missing.
    """
    values = np.asarray(y)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    elif values.dtype.kind == "O":
        missing = np.array([is_missing(value) for value in values.ravel()], dtype=bool)
    else:
        return np.ones(len(values) if values.ndim else 1, dtype=bool)
    return ~missing.reshape(len(values), -1).all(axis=1)


def order_by_labels(y: Any) -> tuple[np.ndarray, int] | None:
    """Return the numbers of the rows, those with a value of y first, and how many these are.

    None if all rows have one.

    Raises
    ------
    ValueError
        If no row has a value.
    """
    if np.asarray(y).ndim == 0:
        return None
    labelled = has_label(y)
    if labelled.all():
        return None
    if not labelled.any():
        raise ValueError("Input y contains NaN only; expected a value of y for some rows.")
    return np.argsort(~labelled, kind="stable"), int(labelled.sum())


def take_labels(y: Any, index: np.ndarray) -> np.ndarray:
    """Return the values of y at some rows, as an array without objects where it can be one."""
    values = np.asarray(y)[index]
    return np.array(values.tolist()) if values.dtype.kind == "O" else values
