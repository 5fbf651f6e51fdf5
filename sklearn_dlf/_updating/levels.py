"""Warnings of a level of y, or a frequency of a label, that updates do not follow.

An update remembers the rows of `fit`, and takes most of a change there for noise. Rows of several
calls count together, so that many small updates tell nearly what a large one does: each row is
compared with what the student predicted once its call was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from .._predictive.target_noise import TargetNoise
from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user
from .memory import value_covariance
from .update import Update
from .value_update import ValueUpdate

# Mean residual after an update, in its standard errors and in standard deviations of the residuals,
# beyond which the level of y has moved; of at least and at most so many rows like those of `fit`.
# As many residuals are on its side as of a normal distribution whose mean is the third share of it.
# Students of networks on five sets (five seeds, two draws of 50, 100 and 250 rows) gave no warning
# in 150 updates of the same region. Of as many with a level higher by 0.35, 0.5 and one standard
# deviation of the residuals they warned in 24, 52 and 144. In calls of 10 and 30 rows, students of
# networks and of forests on two sets (two seeds, two draws, 300 and 600 rows in all) had no warning
# in 32 series of the same region, and with a level higher by half a standard deviation one in each
# of 32, after 65 to 105 rows in the median.
ERRORS, SHARE, SIDE = 5.0, 0.25, 0.65
LEAST_ROWS, MOST_ROWS = 30, 2_000

# The residuals' standard deviation is at least this share of the noise of y: equal rows that come
# again have none.
LEAST_NOISE = 0.5

# Share of the rows that have to be like those of `fit`: in a new region, the student may err.
LEAST_OLD = 0.5

# Rows that count together if they came in several calls; of earlier ones, a share counts. After a
# warning of several calls, as many rows have to come before the next one.
RECENT_ROWS = 500

# Standard error of a frequency at least: a student may be sure of all rows.
LEAST_FREQUENCY = 0.005

# Denominator of a class that is never predicted.
TINY = 1e-12

# Residuals that are smaller than this share of the largest value are rounding.
ROUNDING = 1e-5


class Residuals(NamedTuple):
    """Sums over rows of what y (n, c) has above the prediction of a student that has learnt it.

    Attributes
    ----------
    n_rows, n_old : float
        Number of rows, and of those like the rows of `fit`; the sums are over these.
    total, squares, n_above : arrays of shape (c,)
        Sums of the residuals and of their squares, and the number of those above zero.
    noise : array of shape (c,)
        Sum of the standard deviations of y around the members.
    largest : array of shape (c,)
        Largest absolute value of y.
    """

    n_rows: float
    n_old: float
    total: np.ndarray
    squares: np.ndarray
    n_above: np.ndarray
    noise: np.ndarray
    largest: np.ndarray

    def after(self, earlier: Residuals) -> Residuals:
        """Return the sums over these rows and earlier ones, as far as they count."""
        largest = np.maximum(earlier.largest, self.largest)
        return Residuals(*_sums(earlier, self))._replace(largest=largest)

    def moved(self) -> tuple[int, float] | None:
        """Return the output whose level has moved most, and how far; None if none has.

        The distance is in standard deviations of the residuals, and negative if y is below.
        """
        if self.n_old < max(LEAST_ROWS, LEAST_OLD * self.n_rows):
            return None
        mean = self.total / self.n_old
        std = np.sqrt(np.maximum(self.squares / self.n_old - mean**2, 0.0))
        std = np.maximum(std, LEAST_NOISE * self.noise / self.n_old)
        std = np.maximum(std, ROUNDING * self.largest)
        distance = mean / np.where(std > 0, std, 1.0)
        share = np.abs(distance)
        has_moved = share > max(SHARE, ERRORS / np.sqrt(self.n_old))
        on_side = np.where(mean > 0, self.n_above, self.n_old - self.n_above) / self.n_old
        has_moved &= on_side >= norm.cdf(SIDE * share)  # else they are outliers
        output = int(np.argmax(has_moved * share))
        return (output, float(distance[output])) if has_moved[output] else None


class Frequencies(NamedTuple):
    """Sums over rows of weights of labels, and of what an updated student predicts of them.

    Attributes
    ----------
    n_rows : float
        Number of rows.
    weight, square_weight : float
        Sums of the weights and of their squares.
    found, expected : arrays of shape (n_classes,)
        Sums of the weights of labels, and of weighted probabilities.
    variance : array of shape (n_classes,)
        Sum of the weighted variances of labels that are drawn by these probabilities.
    """

    n_rows: float
    weight: float
    square_weight: float
    found: np.ndarray
    expected: np.ndarray
    variance: np.ndarray

    def after(self, earlier: Frequencies) -> Frequencies:
        """Return the sums over these rows and earlier ones, as far as they count."""
        return Frequencies(*_sums(earlier, self))

    def moved(self) -> tuple[int, float, float] | None:
        """Return the label that has moved most, its probability and its frequency, or None."""
        if self.n_rows < LEAST_ROWS:
            return None
        found, expected = self.found / self.weight, self.expected / self.weight
        error = np.sqrt(self.variance / self.weight * self.square_weight) / self.weight
        distance = np.abs(found - expected)
        has_moved = distance > ERRORS * np.maximum(error, LEAST_FREQUENCY)
        has_moved &= distance > SHARE * expected
        code = int(np.argmax(has_moved * distance / np.maximum(expected, TINY)))
        return (code, float(expected[code]), float(found[code])) if has_moved[code] else None


def some_rows(
    rows: Sequence[np.ndarray], counts: Any, n_most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y, the first two of ``rows``, at some of the rows that count (n,)."""
    chosen = np.flatnonzero(counts)
    if len(chosen):
        chosen = chosen[spaced_rows(len(chosen), n_most)]
    return rows[0][chosen], rows[1][chosen]


def warn_of_level(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    noise: TargetNoise,
    updated: Any,
    fitted: Any,
    update: ValueUpdate,
) -> None:
    """Warn if y is still above or below what the student predicts after it was updated.

    Parameters
    ----------
    rows : tuple of arrays (n, *row_shape), (n, n_outputs) and (n,)
        Standardised rows, values and weights.
    noise : TargetNoise
        Noise of y around the members.
    updated, fitted : StudentMembers
        Members of the student after this update, and as it was fitted.
    update : ValueUpdate
        Tells which rows are like those of `fit`, and keeps what earlier calls have found.
    """
    X, y = some_rows(rows, rows[2] > 0, MOST_ROWS)
    if not len(X):
        return
    _, is_old = update.unknown_variance(fitted, X)
    residuals = (y - updated.moments(X).mean - noise.bias)[is_old]
    variances = np.diagonal(value_covariance(fitted, noise, X[is_old]), axis1=1, axis2=2)
    found = Residuals(
        float(len(X)),
        float(len(residuals)),
        residuals.sum(axis=0),
        np.square(residuals).sum(axis=0),
        np.sum(residuals > 0, axis=0, dtype=float),
        np.sqrt(variances).sum(axis=0),
        np.abs(y).max(axis=0),
    )
    moved, calls = _judge_calls(update, found)
    if moved is None:
        return
    output, distance = moved
    where = f" of output {output}" if len(noise.bias) > 1 else ""
    warn_user(
        f"After the {calls}, the new values of y{where} are still "
        f"{'above' if distance > 0 else 'below'} what the student predicts, on average by "
        f"{abs(distance):.2g} standard deviations of the residuals. It remembers the rows of fit, "
        "and takes most of a change there for noise. If the level of y has moved at all kinds of "
        "rows, call reset_update, and adapt(X, y, labels='kept') with all new rows; if it moves "
        "slowly, use forgetting. If it has moved at rows of one kind only, such as a new region, "
        "adapt would move it everywhere: fit ensemble and student to rows of all kinds."
    )


def warn_of_frequencies(
    rows: tuple[np.ndarray, np.ndarray], classes: Any, updated: Any, update: Update
) -> None:
    """Warn if a label is still far more or less frequent than an updated student predicts.

    Parameters
    ----------
    rows : tuple of arrays (n, *row_shape) and (n, n_classes)
        Standardised rows, and the weight of their label.
    classes : array of shape (n_classes,)
        Labels.
    updated : StudentMembers
        Members of the student after this update.
    update : Update
        Keeps what earlier calls have found.
    """
    X, labels = some_rows(rows, rows[1].any(axis=1), MOST_ROWS)
    if not len(X):
        return
    weights = labels.sum(axis=1)
    probabilities = np.exp(updated.log_probabilities(X))
    found = Frequencies(
        float(len(X)),
        weights.sum(),
        np.square(weights).sum(),
        labels.sum(axis=0),
        weights @ probabilities,
        weights @ (probabilities * (1 - probabilities)),
    )
    moved, calls = _judge_calls(update, found)
    if moved is None:
        return
    code, expected, frequency = moved
    warn_user(
        f"After the {calls}, the student predicts label {classes[code]!s} for {expected:.0%} "
        f"of the new rows, and {frequency:.0%} have it. It remembers the rows of fit, and "
        "follows a change there a part of the way. If labels have become more or less frequent, "
        "call reset_update, and adapt(X, y, labels='kept') with all new rows; if they change "
        "slowly, use forgetting. If these rows were chosen, by their uncertainty or their labels, "
        "frequencies have not changed: ignore this warning."
    )


def _judge_calls(update: Update, found: Any) -> tuple[Any, str]:
    """Return what has moved in one call, or in the last ones, and the calls in words.

    After a warning, rows are counted from the start.
    """
    moved, calls = found.moved(), "update"
    update.quiet_rows -= found.n_rows
    if update.recent_level is not None:
        found = found.after(update.recent_level)
    if moved is None and update.quiet_rows <= 0 and (moved := found.moved()) is not None:
        calls = f"last updates, of about {found.n_rows:.0f} rows in all"
        update.quiet_rows = RECENT_ROWS
    update.recent_level = found if moved is None else None
    return moved, calls


def _sums(earlier: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """Return sums over earlier and new rows, as far as they count.

    The first of both is a number of rows.
    """
    share = min(1.0, max(RECENT_ROWS - new[0], 0.0) / earlier[0])
    return [share * old + each for old, each in zip(earlier, new, strict=True)]
