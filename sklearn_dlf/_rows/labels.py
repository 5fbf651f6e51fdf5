"""Values of y, of which some may be missing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from sklearn.utils import check_array

from .._utils.numbers import with_gaps, without_dates
from .columns import is_missing


def label_array(y: Any, name: str = "y") -> np.ndarray:
    """Return values of y or labels as an array, or raise ValueError if they have no shape."""
    try:
        return np.asarray(with_gaps(y))
    except ValueError as error:
        raise ValueError(
            f"{name} must hold as many values in each row; got a {type(y).__name__} that does not: "
            f"{error}"
        ) from error


def has_label(y: Any) -> np.ndarray:
    """Return which rows of y (n,) or (n, n_outputs) have a value: bool array (n,).

    A row of several outputs has none if all of them are missing.
    """
    return np.logical_not(np.all(_missing_values(label_array(y)), axis=1))


def _missing_values(values: np.ndarray) -> np.ndarray:
    """Return which values are missing: bool array (n, n_outputs)."""
    shape = (len(values) if values.ndim else 1, prod(values.shape[1:]))
    if values.dtype.kind == "f":
        return np.isnan(values).reshape(shape)
    if values.dtype.kind == "O":
        missing = [is_missing(value) for value in values.ravel()]
        return np.array(missing, dtype=bool).reshape(shape)
    return np.zeros(shape, dtype=bool)


def order_by_labels(y: Any) -> tuple[np.ndarray, int] | None:
    """Return the numbers of the rows, those with a value of y first, and how many these are.

    None if all rows have one.

    Raises
    ------
    ValueError
        If no row has a value, or some rows have values of some outputs only.
    """
    values = label_array(y)
    if values.ndim == 0:
        return None
    missing = _missing_values(values)
    labelled = ~missing.all(axis=1)
    partly = int(np.sum(labelled & missing.any(axis=1)))
    if partly:
        raise ValueError(
            f"Input y contains NaN: {partly} row(s) have a value of some outputs, but not of all. "
            "Give all outputs of a row or none: of rows without y, the student learns what the "
            "ensemble predicts there."
        )
    if labelled.all():
        return None
    if not labelled.any():
        raise ValueError("Input y contains NaN only; expected a value of y for some rows.")
    return np.argsort(~labelled, kind="stable"), int(labelled.sum())


def take_labels(y: Any, index: np.ndarray) -> np.ndarray:
    """Return the values of y at some rows, as an array without objects where it can be one."""
    values = label_array(y)[index]
    return np.array(values.tolist()) if values.dtype.kind == "O" else values


def observed_values(y: Any, n_rows: int, n_outputs: int) -> np.ndarray:
    """Return values of y as float64 (n_rows, n_outputs).

    Raises
    ------
    ValueError
        If they are missing, not finite, or of another shape.
    """
    values = without_dates(y, "y")
    values = check_array(values, dtype=np.float64, ensure_2d=False, input_name="y")
    values = values.reshape(len(values), -1)
    if values.shape != (n_rows, n_outputs):
        raise ValueError(
            f"y must have {n_outputs} value(s) for each of the {n_rows} rows of X; got shape "
            f"{np.shape(y)}."
        )
    return values


def check_labels(y: Any, name: str = "y") -> np.ndarray:
    """Return labels (n,), or raise ValueError if they are missing or have another shape."""
    labels = label_array(y, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"{name} must have one label for each row; got shape {labels.shape}.")
    if not has_label(labels).all():
        raise ValueError(
            f"{name} has missing labels; expected one of the classes for each row. Leave out rows "
            "without a label."
        )
    return take_labels(labels, np.arange(len(labels)))


def class_indicators(y: Any, classes: np.ndarray) -> np.ndarray:
    """Return labels (n,) as zeros and ones (n, n_classes), in the order of the classes.

    Raises
    ------
    ValueError
        If labels are missing, have another shape, or are no classes.
    """
    labels = check_labels(y)
    indicators = labels[:, None] == classes
    unknown = ~indicators.any(axis=1)
    if unknown.any():
        raise ValueError(
            f"y has labels that are no classes of the student: {np.unique(labels[unknown])[:10]}; "
            f"its classes are {classes}. An update keeps the classes; adapt(X, y) learns new ones."
        )
    return indicators.astype(np.float64)


def join_classes(classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the sorted classes and labels (n,) of both.

    Raises
    ------
    ValueError
        If some are numbers and others are strings.
    """
    known = set(classes.tolist())
    new = sorted({each for each in labels.tolist() if each not in known})
    if not new:
        return classes
    kinds = {"n" if kind in "biuf" else "s" for kind in (classes.dtype.kind, labels.dtype.kind)}
    if len(kinds) > 1:
        raise ValueError(
            f"Labels of one kind are needed, numbers or strings; got {new[:5]} beside the classes "
            f"{classes[:5]}. With labels='mapped', classes=None, and none of the student's classes "
            "in y, the labels of y are the classes."
        )
    return np.unique(np.concatenate([classes, np.array(new)]))


def class_columns(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the column of each label (n,) among the classes; -1 for those that are none."""
    columns = {each: column for column, each in enumerate(classes.tolist())}
    return np.array([columns.get(each, -1) for each in labels.tolist()], dtype=np.int64)
