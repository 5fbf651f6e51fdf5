"""Warnings that a teacher seems to get other rows than it takes, or to predict something else.

A student of such a teacher learns wrong things. Three kinds of evidence are used: what the teacher
has recorded of the rows of its own fit (`row_records`), how it predicts y, and how well y can be
predicted from these rows. Each limit leaves room for teachers that are merely weak, overfitted,
badly calibrated or fitted with class weights; `benchmarks/wrong_rows.py` measures both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from .._network.rows import are_points
from .._utils.label_order import find_renamed
from .._utils.significance import mean_in_errors
from .._utils.standardise import in_units
from .._utils.warning import warn_user
from .member_skill import FLOOR, least_skill, linear_predictions
from .row_records import RowFacts, as_rows, compare_rows
from .tree_columns import find_column_elsewhere

# Differences of mean losses count from this many standard errors on: one in a thousand by chance.
Z = 3.0

# A constant that differs from the mean of y by this many standard deviations, or a variance of the
# teacher's errors above this multiple of that of y, is no matter of overfitting: members that have
# learnt nothing but noise make errors of twice the variance, or of somewhat more where they
# extrapolate.
BIAS, ERROR_VARIANCE = 0.7, 4.0

# Errors beyond this many standard deviations of y count as this many: their squares are floats.
MAX_ERROR = 1e100

# Excess of the divergence of the teacher's mean probabilities from the class frequencies over that
# of equal probabilities, which balanced class weights give. In nats, a choice.
DIVERGENCE = 0.1

# A class whose mean probability is less than this share of its frequency is lost: class weights
# raise what is rare. A choice.
LOST = 1 / 3

# A linear model is relied on if it saves this share of a constant's errors. Teachers that save less
# than `LINEAR_SHARE` of its part are suspected if rows have just been scaled, and else those that
# save nothing.
LINEAR_SKILL, LINEAR_SHARE = 0.5, 0.5

# A teacher that saves less than this share of the loss of a constant saves nothing.
LITTLE = 0.1

# Columns of classes are in another order if another one is right so much more often.
MUCH = 0.3

# Fewer rows say nothing of linear models, and more are not needed; rows for each column.
MIN_ROWS, MAX_ROWS, ROWS_PER_COLUMN = 30, 5_000, 2

REMEDY = (
    "Was the ensemble fitted on rows in other units, such as before a scaler of the pipeline? Give "
    "the rows in the form that it takes by X_ensemble, leave the scaler out, or let the student "
    "fit the ensemble."
)


def judge_rows(ensemble: Any, X: Any, y: np.ndarray | None, kind: str) -> RowFacts:
    """Compare rows with the records of a fitted ensemble, and warn if they contradict them.

    Parameters
    ----------
    ensemble : fitted ensemble
    X : rows as the ensemble takes them
    y : array of shape (n_samples,) or (n_samples, n_outputs) or None
        Values, or labels.
    kind : {"regressor", "classifier"}
        Kind of the student.
    """
    facts, column = compare_rows(ensemble, X), find_column_elsewhere(ensemble, X)
    name = f"column {column!r}" if isinstance(column, str) else f"column {column}"
    if facts.match is False:
        warn_user(
            "The rows that the ensemble gets are unlike those of its own fit: its members recorded "
            f"other values of the columns{'' if column is None else f', such as {name}'}. {REMEDY}"
        )
    elif column is not None:
        warn_user(
            f"Nearly all rows that the ensemble gets go one way where its trees split {name}, "
            "and those of its own fit went both ways. Is it in another unit than there? "
            "Convert it, or give the rows in the form that the ensemble takes by X_ensemble. "
            "If these are rows of another kind, such as later ones, the ensemble extrapolates."
        )
    if facts.match is None and facts.are_scaled and y is not None:
        rows = as_rows(ensemble, X)
        if rows is not None:
            return facts._replace(expected=least_skill(ensemble, rows, y, kind))
    return facts


def check_values(
    X: np.ndarray, y: np.ndarray, mean: np.ndarray, weights: np.ndarray, facts: RowFacts
) -> str | None:
    """Return why a teacher's predictions of values are suspect, or None.

    Parameters
    ----------
    X : array of shape (n, d)
        Standardised rows.
    y, mean : arrays of shape (n, n_outputs)
        Values, and the teacher's mean.
    weights : array of shape (n,)
        Weights of the rows.
    facts : RowFacts
        What is known of the rows.
    """
    n_outputs, has_weight = y.shape[1], weights > 0
    X, y, mean, weights = (each[has_weight] for each in (X, y, mean, weights))
    if not len(y):
        return None
    # Constant outputs have no unit. Beside others they are not judged here: `association` finds
    # those around which predictions vary, and nothing finds those that are predicted elsewhere.
    is_constant = (y == y[0]).all(axis=0)
    judged = np.flatnonzero(~is_constant | is_constant.all())
    y, mean, is_constant = y[:, judged], mean[:, judged], is_constant[judged]
    # The mean of equal numbers may differ from them by rounding.
    centre = np.where(is_constant, y[0], np.average(y, axis=0, weights=weights))
    differences, exponents = in_units(y - centre)
    unit = np.sqrt(np.average(differences**2, axis=0, weights=weights))
    unit = np.where(unit > 0, np.ldexp(unit, exponents), 1)
    with np.errstate(over="ignore"):
        error = np.clip((y - mean) / unit, -MAX_ERROR, MAX_ERROR)
    values = (y - centre) / unit
    losses, constants = error**2, values**2
    bias = np.average(error, axis=0, weights=weights)
    spread = np.average((error - bias) ** 2, axis=0, weights=weights)
    # A single output in other units is as wrong as all of them.
    is_far = (np.abs(bias) > BIAS) | (spread > ERROR_VARIANCE)
    for column, output in enumerate(judged.tolist()):
        if is_far[column] and _z(losses[:, column] - constants[:, column], weights) > Z:
            return f"predicts y{name_output(output, n_outputs)} worse than a constant does"
    if facts.match is not None:
        return None
    if facts.expected is not None:
        loss, constant = losses.mean(axis=1), constants.mean(axis=1)
        return _compare_with_expected(loss, constant, weights, facts.expected)
    for column, output in enumerate(judged.tolist()):
        own = values[:, [column]]
        problem = _compare_with_linear(
            X,
            own,
            partial(_squared_errors, own),
            losses[:, column],
            constants[:, column],
            weights,
            facts.are_scaled,
            name_output(output, n_outputs),
        )
        if problem is not None:
            return problem
    return None


def check_labels(
    X: np.ndarray,
    codes: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    facts: RowFacts,
) -> str | None:
    """Return why a teacher's probabilities of labels are suspect, or None.

    Parameters
    ----------
    X : array of shape (n, d)
        Standardised rows.
    codes : int array of shape (n,)
        Columns of the labels.
    probabilities : array of shape (n, n_classes)
        The teacher's mean probabilities.
    weights : array of shape (n,)
        Weights of the rows.
    facts : RowFacts
        What is known of the rows.
    """
    n_classes = probabilities.shape[1]
    onehot = np.eye(n_classes)[codes]
    frequencies = np.average(onehot, axis=0, weights=weights)
    predicted = probabilities.argmax(axis=1)
    right = (predicted == codes).astype(np.float64)
    predicted_shares = np.average(np.eye(n_classes)[predicted], axis=0, weights=weights)
    mean = np.maximum(np.average(probabilities, axis=0, weights=weights), FLOOR)
    loss = -np.log(np.maximum(probabilities[np.arange(len(codes)), codes], FLOOR))
    constant = -np.log(np.maximum(frequencies[codes], FLOOR))
    accuracy = np.average(right, weights=weights)
    is_less_accurate = accuracy < frequencies.max()
    # Accuracy that a teacher with these shares of predicted labels has by chance.
    chance = (predicted_shares * frequencies).sum()
    if is_less_accurate and _z(chance - right, weights) > Z:
        return "predicts y worse than its most frequent label does, and worse than chance"
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (codes, predicted), weights / weights.sum())
    moved = counts[linear_sum_assignment(-counts)].sum() > max(accuracy, frequencies.max()) + MUCH
    if moved or find_renamed(probabilities, codes, weights):
        return "seems to have its columns of classes in another order than those of y"
    known = frequencies > 0
    divergence = (frequencies * np.log(np.maximum(frequencies, FLOOR) / mean))[known].sum()
    of_equal = (frequencies * np.log(np.maximum(frequencies, FLOOR) * n_classes))[known].sum()
    is_far = divergence > of_equal + DIVERGENCE or (mean < LOST * frequencies).any()
    is_more_accurate = accuracy > frequencies.max()
    if is_far and not is_more_accurate and _z(loss - constant, weights) > Z:
        return "predicts y worse than the frequencies of its labels do"
    if facts.match is not None:
        return None
    if facts.expected is not None:
        return _compare_with_expected(loss, constant, weights, facts.expected)
    if not facts.are_scaled and _z(loss - (1 - LITTLE) * constant, weights) < Z:
        return None  # it is right less often than a linear model, but its probabilities tell of y

    def loss_of(predictions, rows):
        return (predictions.argmax(axis=1) != codes[rows]).astype(np.float64)

    by_constant = 1 - onehot[:, frequencies.argmax()]
    return _compare_with_linear(
        X, onehot, loss_of, 1 - right, by_constant, weights, facts.are_scaled
    )


def _squared_errors(values: np.ndarray, predictions: np.ndarray, rows: slice) -> np.ndarray:
    """Return squared errors (m,) of predictions (m, 1) at some rows of values (n, 1)."""
    return (values[rows] - predictions)[:, 0] ** 2


def name_output(output: int, n_outputs: int) -> str:
    """Return which of several outputs is meant; nothing if there is one."""
    return f" (output {output} of 0 to {n_outputs - 1})" if n_outputs > 1 else ""


def _z(differences: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean difference (n,) of losses, in units of its standard error.

    Losses are of the size of one, so that smaller errors than this are those of rounding.
    """
    return mean_in_errors(differences, weights, least_error=1e-12)


def _compare_with_expected(
    loss: np.ndarray, constant: np.ndarray, weights: np.ndarray, expected: float
) -> str | None:
    """Return why losses (n,) are suspect beside what members should save (`least_skill`)."""
    if expected < LITTLE:
        return None
    most = (1 - expected) * np.average(constant, weights=weights)
    if _z(loss - most, weights) < Z:
        return None
    return (
        f"predicts y worse than its members should: at rows of their own fit they save "
        f"{expected:.0%} or more of the loss of a constant, and here less"
    )


def _compare_with_linear(
    X: np.ndarray,
    targets: np.ndarray,
    loss_of: Callable[[np.ndarray, slice], np.ndarray],
    loss: np.ndarray,
    constant: np.ndarray,
    weights: np.ndarray,
    are_scaled: bool,
    of_output: str = "",
) -> str | None:
    """Return why losses (n,) are suspect beside those of a linear model of the same rows."""
    if not are_points(X):  # a linear model of pixels or of ids of tokens tells little
        return None
    n_rows, n_columns = X.shape
    if n_rows < max(MIN_ROWS, ROWS_PER_COLUMN * n_columns):
        return None
    average = np.average(constant, weights=weights)
    share = LINEAR_SHARE if are_scaled else LITTLE
    # No linear model saves more than all: a cheap test before one is fitted.
    if average <= 0 or _z(loss - (1 - share * LINEAR_SKILL) * average, weights) < Z:
        return None
    rows = slice(None, None, max(1, n_rows // MAX_ROWS))
    linear = loss_of(linear_predictions(X[rows], targets[rows]), rows)
    skill = 1 - np.average(linear, weights=weights[rows]) / average
    if skill < LINEAR_SKILL or _z(loss - (1 - share * skill) * average, weights) < Z:
        return None
    return (
        f"predicts y{of_output} far worse than a linear model of these rows does (which saves "
        f"{skill:.0%} of the errors of a constant)"
    )
