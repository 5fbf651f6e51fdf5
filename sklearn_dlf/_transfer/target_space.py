"""In which space a student learns y: as it is given, or as its teacher transforms it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._predictive.transformed_target import (
    TargetTransformer,
    TransformedTarget,
    check_transformed,
    quietly,
)
from .._utils.blocks import spaced_rows
from .._utils.significance import effective_number
from .._utils.warning import warn_user
from .residuals import MemberResiduals
from .teacher import Teacher
from .teachers import EnsembleTeacher

# Rows at which the teacher is evaluated beforehand. They tell the space of y, and its range.
N_PROBES = 512

# Slopes of y on predictions, one in the right space, are clearly different from this factor on (in
# logarithms). Shrunk predictions have a slope above one in either space.
CLEAR_SLOPE = np.log(2.0)

# Squared biases are clearly different from this factor on (as a logarithm). A choice.
CLEAR_BIAS = np.log(4.0)

# The most extreme predictions of an output at each end, a share of the rows, that do not tell the
# space, of at least so many rows.
EXTREME, LEAST_USUAL = 0.02, 50

# A teacher is taken for one of y in other units if its predictions, rescaled, explain this much
# of the variance of y, and this much more than they do as they are. Overfitted predictions do not
# explain as much. Shrunk ones, as of few stages of boosting, may do; see `_is_shrunk`.
SCALE_GAIN = 0.5

# The value at which a shrunk teacher's predictions agree with y is the mean of the values that it
# was fitted to. It may be this many standard deviations of y from the mean of y at the rows of
# `fit`, since networks that were trained briefly have not learnt it, or this many standard errors
# of the difference of the means of two samples of that size.
SHRUNK_LOCATION, SHRUNK_ERRORS = 0.7, 3.0

# Predictions are taken for standardised values of y if the slope of y on them is within this
# factor (as a logarithm) of the standard deviation of y, and zero is predicted for values this
# close to the mean, in standard deviations. Outputs of networks that are hardly trained may be of
# size one, too, but do not explain this much of the variance of y.
STANDARDISED_SLOPE, STANDARDISED_CENTER, STANDARDISED_GOOD = 0.2, 0.15, 0.8

# Values of y are standardised if mean and standard deviation are this close to zero and one.
EXACTLY = 1e-6

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
    members, rows = _evaluate_at_probes(teacher, y)
    in_units = quietly(transformer.invert, members)
    values = None if y is None else y.reshape(len(y), -1)
    if values is not None:
        n_outputs = values.shape[1]
        if n_outputs != in_units.shape[1]:
            teacher.is_transformed = n_outputs == members.shape[1]  # otherwise an error will follow
            return None, y
        transformed = _transform(transformer, values)
        if _is_transformed(values[rows], transformed[rows], members, in_units, teacher.are_of_y):
            teacher.is_transformed = True
            return None, y
        values = check_transformed(transformed, values)
    try:
        target = TransformedTarget(transformer, values, members)
    except ValueError as error:
        if teacher.are_of_y:
            warn_user(
                "The transformer of the ensemble is not used, and the student learns y as it is, "
                f"so that intervals may reach beyond the range of y: {error}"
            )
        return None, y
    teacher.is_transformed = True
    return target, values


def _transform(transformer: TargetTransformer, y: np.ndarray) -> np.ndarray:
    """Return y (n, n_outputs) transformed; NaN if the transformer refuses it, as Box-Cox does."""
    try:
        return quietly(transformer.transform, y)
    except ValueError:
        return np.full(y.shape, np.nan)


def _evaluate_at_probes(
    teacher: EnsembleTeacher, y: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return members in their transformed space (n, n_outputs, n_members), and their rows.

    These have a value of y if any has.
    """
    rows = spaced_rows(_num_samples(teacher.X) if y is None else len(y), N_PROBES)
    outputs = teacher.predict(_safe_indexing(teacher.X, rows), True)
    return outputs[:, None] if outputs.ndim == 2 else outputs, rows


def _is_transformed(
    y: np.ndarray,
    transformed: np.ndarray,
    members: np.ndarray,
    in_units: np.ndarray,
    are_of_y: bool,
) -> bool:
    """Return whether y (n, n_outputs) is in the space of the members, and not in units of y.

    If so, the members predict y; if not, they predict transformed y. Slope and bias of both are
    compared, which do not depend on how much of y the members explain. Where y cannot be
    transformed, it is compared with the members and with them in units of y. So it is where models
    predict y itself (``are_of_y``), since a logarithm of a mean is no mean of logarithms: then y is
    in its own units unless the other is clear.
    """
    if y.shape[1] != members.shape[1]:
        return False
    means, own_means = members.mean(axis=-1), in_units.mean(axis=-1)
    usual = _usual_rows(means)
    y, transformed, means, own_means = (each[usual] for each in (y, transformed, means, own_means))
    if not np.isfinite(transformed).all():
        errors = (np.square(y - each).sum() for each in (means, own_means))
        return bool(np.less(*errors))
    slope, bias = _calibration(y, means)
    own = (y, own_means) if are_of_y else (transformed, means)
    own_slope, own_bias = _calibration(*own)
    if abs(slope - own_slope) > CLEAR_SLOPE:
        return slope < own_slope
    return bias < own_bias - (CLEAR_BIAS if are_of_y else 0.0)


def _usual_rows(means: np.ndarray) -> np.ndarray:
    """Return the rows whose predictions (n, n_outputs) are none of the most extreme ones.

    One that is far from all others would determine slope and bias.
    """
    if len(means) < LEAST_USUAL:
        return np.arange(len(means))
    low, high = np.quantile(means, [EXTREME, 1 - EXTREME], axis=0)
    usual = np.flatnonzero(((low <= means) & (means <= high)).all(axis=1))
    return usual if 2 * len(usual) > len(means) else np.arange(len(means))  # of many outputs


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


def warn_if_on_another_scale(residuals: MemberResiduals) -> None:
    """Warn if lines in the teacher's mean predict an output of y far better than the mean itself.

    That is the case of a teacher of y inside a `TransformedTargetRegressor` that divides y by its
    standard deviation. Predictions may lie between the values of y then, and be better than a
    constant. A teacher whose predictions are shrunk to the mean gives no warning.
    """
    y, mean, weights = residuals.y, residuals.mean, residuals.weights
    for values, predictions in zip(y.T, mean.T, strict=True):
        line = _fit_line(values, predictions, weights)
        far = line.rescaled > SCALE_GAIN and line.rescaled - line.score > SCALE_GAIN
        if far and not _is_shrunk(line):
            warn_user(
                f"The ensemble predicts y on another scale (R^2 = {line.score:.2f} at the rows of "
                f"fit, and {line.rescaled:.2f} if predictions are rescaled). Was it fitted on "
                f"values of y in other units? {TRANSFORMED_TEACHER}"
            )
            return


class _Line(NamedTuple):
    """The line of least squares from predictions of an output to its values.

    Attributes
    ----------
    slope : float
        Slope of the line.
    value_mean, value_std : float
        Mean and standard deviation of the values.
    mean, std : float
        The same of the predictions.
    score, rescaled : float
        R^2 of the predictions, and of the line.
    n_effective : float
        Number of rows of equal weight that say as much.
    """

    slope: float
    value_mean: float
    value_std: float
    mean: float
    std: float
    score: float
    rescaled: float
    n_effective: float


def _fit_line(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> _Line:
    """Fit the line of values (n,) in predictions (n,)."""
    (y_mean, y_std), (mean, std) = (_moments(each, weights) for each in (y, predictions))
    covariance = np.average((predictions - mean) * (y - y_mean), weights=weights)
    slope = covariance / std**2 if std > 0 else 0.0
    errors = np.average((y - predictions) ** 2, weights=weights)
    rescaled = slope * covariance / y_std**2 if y_std > 0 else 0.0
    score = 1 - errors / y_std**2 if y_std > 0 else 0.0
    number = effective_number(weights)
    return _Line(slope, y_mean, y_std, mean, std, score, rescaled, number)


def _moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of values (n,)."""
    mean = np.average(values, weights=weights)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def _is_shrunk(line: _Line) -> bool:
    """Return whether predictions may be those of y in the same units, shrunk to its mean.

    Then the slope is above one, and the line meets the predictions themselves at the mean of y. A
    teacher of y in other units, with its zero elsewhere or not, has this point elsewhere: at zero
    if y is multiplied. Where the mean of y is near that point nothing is known, except of
    standardised values.
    """
    if line.slope <= 1:
        return False
    # The line passes through both means: y - value_mean = slope * (prediction - mean).
    distance = abs(line.value_mean - line.mean) * line.slope / (line.slope - 1)
    most = max(SHRUNK_LOCATION, SHRUNK_ERRORS * np.sqrt(2 / line.n_effective))
    if distance > most * line.value_std:
        return False
    at_zero = line.value_mean - line.slope * line.mean
    if (
        line.rescaled > STANDARDISED_GOOD
        and abs(np.log(line.slope / line.value_std)) < STANDARDISED_SLOPE
        and abs(at_zero - line.value_mean) < STANDARDISED_CENTER * line.value_std
    ):
        return False
    # Values that have just been standardised: a teacher of the same ones has their mean, and one of
    # values before may be far from it in units of its own.
    just_standardised = abs(line.value_mean) < EXACTLY and abs(line.value_std - 1) < EXACTLY
    return not (just_standardised and abs(line.mean) > line.std)
