"""Columns of probabilities: the labels of several classifiers, aligned to their union."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._member_models import Model


def check_classes(classes: Any) -> np.ndarray:
    """Return labels (n_classes,), or raise ValueError if they are not distinct labels."""
    try:
        labels = np.asarray(classes)
        # Labels of types that cannot be ordered, lists and the like cannot be sorted.
        is_distinct = labels.ndim == 1 and len(np.unique(labels)) == len(labels)
    except (TypeError, ValueError):
        is_distinct = False
    if not is_distinct:
        raise ValueError(
            "classes must be different labels of one type in one dimension, one for each column; "
            f"got {classes}."
        )
    return labels


def align_classes(
    models: Sequence[Model], classes: np.ndarray | None = None
) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
    """Return the union of the models' labels, and the columns of each model in it.

    `classes` is used as the union if it is given; it may name the codes 0, 1, ... that all models
    were fitted with. Columns are None for a model whose columns are those of the union, or whose
    labels are unknown.
    """
    known = [model.classes for model in models if model.classes is not None]
    name_codes = classes is not None and all(are_named_codes(each, classes) for each in known)
    if classes is None:
        if not known:
            return None, [None] * len(models)
        try:
            union = sorted(set().union(*(labels.tolist() for labels in known)))
        except TypeError as error:
            types = sorted({str(labels.dtype) for labels in known})
            raise ValueError(
                f"The classifiers' labels cannot be ordered together: received labels of "
                f"types {types}, expected one type."
            ) from error
        classes = known[0] if known[0].tolist() == union else np.array(union)
    labels_of_columns = range(len(classes)) if name_codes else classes.tolist()
    position = {label: column for column, label in enumerate(labels_of_columns)}
    columns: list[np.ndarray | None] = []
    for model in models:
        labels = [] if model.classes is None else model.classes.tolist()
        unknown = [label for label in labels if label not in position]
        if unknown:
            raise ValueError(
                f"A classifier was fitted with the labels {unknown}, expected labels among "
                f"classes={classes.tolist()}."
            )
        same = model.classes is None or labels == list(position)
        columns.append(None if same else np.array([position[label] for label in labels]))
    return classes, columns


def are_named_codes(codes: Any, names: Any) -> bool:
    """Return whether labels are some of the codes 0, 1, ... of names that are no numbers."""
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" or not len(codes) or have_number(names):
        return False
    return bool(codes.min() >= 0 and codes.max() < len(names))


def have_number(labels: Any) -> bool:
    """Return whether any of some labels is a number."""
    labels = np.asarray(labels)
    return labels.dtype.kind in "biuf" or any(isinstance(one, numbers.Number) for one in labels)


def expand_columns(
    probabilities: Any, columns: np.ndarray | None, classes: np.ndarray | None
) -> Any:
    """Place probabilities in their columns among all classes; classes a model lacks have zero.

    Without columns or classes the probabilities are returned as they are.
    """
    if columns is None or classes is None:
        return probabilities
    expanded = np.zeros((len(probabilities), len(classes)))
    expanded[:, columns] = probabilities
    return expanded
