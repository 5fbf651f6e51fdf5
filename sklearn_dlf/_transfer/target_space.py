"""In which space a student learns y: as it is given, or as its teacher transforms it."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import _safe_indexing

from .._predictive.transformed_target import (
    TargetTransformer,
    TransformedTarget,
    check_transformed,
    quietly,
)
from .._utils.warning import warn_user
from .residuals import MemberResiduals
from .teacher import Teacher
from .teachers import EnsembleTeacher

# Rows at which the teacher is evaluated beforehand. They tell the space of y, and its range.
N_PROBES = 512

# Slopes of y on predictions, one in the right space, are clearly different from this factor on (in
# logarithms). Shrunk predictions have a slope above one in either space.
CLEAR_SLOPE = np.log(2.0)

# A teacher is taken for one of y in other units if its predictions, rescaled, explain this much
# of the variance of y, and this much more than they do as they are. Shrunk predictions, as of few
# stages of boosting, gain less; overfitted ones do not explain as much.
SCALE_GAIN = 0.5

TRANSFORMED_TEACHER = (
    "Inside a TransformedTargetRegressor, give a teacher of the transformed values, such as an "
    "unfitted one, or a fitted TransformedTargetRegressor with the same transformation in a "
    "FittedEnsemble."
)


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
        n_outputs = values.shape[1]
        if n_outputs != in_units.shape[1]:
            teacher.is_transformed = n_outputs == members.shape[1]  # otherwise an error will follow
            return None, y
        transformed = _transform(transformer, values)
        if _is_transformed(values[rows], transformed[rows], members, in_units):
            teacher.is_transformed = True
            return None, y
        values = check_transformed(transformed, values)
    try:
        target = TransformedTarget(transformer, values, members)
    except ValueError:
        return None, y
    teacher.is_transformed = True
    return target, values


def _transform(transformer: TargetTransformer, y: np.ndarray) -> np.ndarray:
    """Return y (n, n_outputs) transformed; NaN if the transformer refuses it, as Box-Cox does."""
    try:
        return quietly(transformer.transform, y)
    except ValueError:
        return np.full(y.shape, np.nan)


def _evaluate_at_probes(teacher: EnsembleTeacher) -> tuple[np.ndarray, np.ndarray]:
    """Return members in their transformed space (n, n_outputs, n_members), and their rows."""
    X = teacher.X
    n_rows = len(X) if isinstance(X, list) else X.shape[0]
    rows = np.unique(np.linspace(0, n_rows - 1, N_PROBES).astype(int))
    outputs = teacher.predict(_safe_indexing(X, rows), True)
    return outputs[:, None] if outputs.ndim == 2 else outputs, rows


def _is_transformed(
    y: np.ndarray, transformed: np.ndarray, members: np.ndarray, in_units: np.ndarray
) -> bool:
    """Return whether y (n, n_outputs) is in the space of the members, and not in units of y.

    If so, the members predict y; if not, they predict transformed y. Slope and bias of both are
    compared, which do not depend on how much of y the members explain. Where y cannot be
    transformed, it is compared with the members and with them in units of y.
    """
    if y.shape[1] != members.shape[1]:
        return False
    means = members.mean(axis=-1)
    if not np.isfinite(transformed).all():
        errors = (np.square(y - each).sum() for each in (means, in_units.mean(axis=-1)))
        return bool(np.less(*errors))
    slopes, biases = zip(*(_calibration(each, means) for each in (y, transformed)), strict=True)
    difference = np.subtract(*slopes)
    if abs(difference) <= CLEAR_SLOPE:
        difference = np.subtract(*biases)
    return bool(difference < 0)


def _calibration(y: np.ndarray, means: np.ndarray) -> tuple[float, float]:
    """How far slope and bias of y (n, n_outputs) on its predictions are from one and zero.

    Both are logarithms, averaged over outputs. The bias is in units of the residuals' standard
    deviation, and includes its standard error.
    """
    centred = means - means.mean(axis=0)
    tiny = np.finfo(np.float64).tiny
    covariance = np.maximum((centred * (y - y.mean(axis=0))).mean(axis=0), tiny)
    slope = np.log(covariance) - np.log(np.maximum(centred.var(axis=0), tiny))
    residuals = y - means
    bias = residuals.mean(axis=0) ** 2 / np.maximum(residuals.var(axis=0), tiny) + 1 / len(y)
    return float(np.abs(slope).mean()), float(np.log(bias).mean())


def warn_if_on_another_scale(residuals: MemberResiduals, score: float) -> None:
    """Warn if a line in the teacher's mean predicts y far better than the mean, whose R^2 is given.

    That is the case of a teacher of y inside a `TransformedTargetRegressor` that divides y by its
    standard deviation. Predictions may lie between the values of y then, and be better than a
    constant.
    """
    y, mean, weights = residuals.y, residuals.mean, residuals.weights
    center, target = (np.average(each, axis=0, weights=weights) for each in (mean, y))
    covariance, variance = (
        np.average((mean - center) * each, axis=0, weights=weights)
        for each in (y - target, mean - center)
    )
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    rescaled = r2_score(y, target + slope * (mean - center), sample_weight=weights)
    if rescaled > SCALE_GAIN and rescaled - score > SCALE_GAIN:
        warn_user(
            f"The ensemble predicts y on another scale (R^2 = {score:.2f} at the rows of fit, and "
            f"{rescaled:.2f} if predictions are rescaled). Was it fitted on values of y in other "
            f"units? {TRANSFORMED_TEACHER}"
        )
