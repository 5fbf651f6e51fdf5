"""In which space a student learns y: as it is given, or as its teacher transforms it."""

from __future__ import annotations

import numpy as np
from sklearn.utils import _safe_indexing

from .._predictive.transformed_target import TransformedTarget, check_transformed, quietly
from .teachers import EnsembleTeacher, Teacher

# Rows at which the teacher is evaluated beforehand. They tell the space of y, and its range.
N_PROBES = 256


def choose_space(
    teacher: Teacher, y: np.ndarray | None
) -> tuple[TransformedTarget | None, np.ndarray | None]:
    """Set the space of a teacher's outputs; return the way back to units of y, and y in that space.

    A teacher whose members predict a transformed target is evaluated in the transformed space, and
    y is transformed. If y agrees with the members there already, the student is inside a
    `TransformedTargetRegressor` that transforms y: then y stays, and there is no way back. A
    transformation that mixes outputs or is not monotone is not used: members are then evaluated
    in units of y.

    Parameters
    ----------
    teacher : Teacher
        ``is_transformed`` of it is set.
    y : array of shape (n,) or (n, n_outputs) or None
        Values at the rows of `fit`.

    Raises
    ------
    ValueError
        If transformed values of y are not finite.
    """
    transformer = teacher.transformer
    if transformer is None or not isinstance(teacher, EnsembleTeacher):
        return None, y
    members, rows = _evaluate_at_probes(teacher)
    in_units = quietly(transformer.invert, members)
    values = None if y is None else y.reshape(len(y), -1)
    if values is not None:
        if values.shape[1] != in_units.shape[1]:
            return None, y  # an error will say so
        if _is_nearer(values[rows], members, in_units):
            teacher.is_transformed = True
            return None, y
        values = check_transformed(transformer.transform(values), values)
    try:
        target = TransformedTarget(transformer, values, members)
    except ValueError:
        return None, y
    teacher.is_transformed = True
    return target, values


def _evaluate_at_probes(teacher: EnsembleTeacher) -> tuple[np.ndarray, np.ndarray]:
    """Return members in their transformed space (n, n_outputs, n_members), and their rows."""
    X = teacher.X
    n_rows = len(X) if isinstance(X, list) else X.shape[0]
    rows = np.unique(np.linspace(0, n_rows - 1, N_PROBES).astype(int))
    outputs = teacher.predict(_safe_indexing(X, rows), True)
    return outputs[:, None] if outputs.ndim == 2 else outputs, rows


def _is_nearer(y: np.ndarray, members: np.ndarray, in_units: np.ndarray) -> bool:
    """Return whether y (n, n_outputs) is nearer to the members than to them in units of y.

    Errors are ratios in each output, so that its unit does not matter.
    """
    if members.shape != in_units.shape:
        return False
    errors = (
        np.mean((y - each.mean(axis=-1)) ** 2, axis=0) + np.finfo(np.float64).tiny
        for each in (members, in_units)
    )
    with np.errstate(over="ignore"):
        return bool(np.subtract(*map(np.log, errors)).sum() < 0)
