"""Warnings of new rows whose y seems to mean something else than that of `fit`.

`update` takes for granted that it means the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from .._predictive.conformal import center_and_unit
from .._predictive.target_noise import TargetNoise
from .._utils.blocks import spaced_rows
from .._utils.label_order import find_renamed, with_frequencies
from .._utils.significance import mean_in_errors
from .._utils.warning import warn_user
from .levels import ERRORS, LEAST_OLD, TINY, some_rows
from .levels import LEAST_ROWS as LEAST_LABELS
from .levels import MOST_ROWS as MOST_LABELS
from .update import Update
from .value_update import ValueUpdate

# Fewer rows tell too little; of more rows, so many are enough.
LEAST_ROWS, MOST_ROWS = 5, 200

# Median distance of values from the student's predictions, in units of what it thought possible: it
# is 0.67 where the student is right. Students of networks and of forests on six sets of regression
# (two seeds, two draws of 5, 20 and 50 new rows) gave no warning in 144 updates of the same region.
# In a new one, the upper fifth along the first principal component, they gave 10 in 144, all by
# students of forests on the set "energy". Of 96 updates by 20 or 50 rows they warned of y in
# degrees F for C in 96, of ten times y in 96, of a tenth in 94, and of another sign in 52; of 48 by
# five rows in 37, 37, 35 and 17.
MAX_DISTANCE = 3.0

# The same where most rows are of a new region. In the upper and the lower fifth along the first
# principal component of six sets, it was at most 6.7 in 144 updates by 5, 20 and 50 rows, and with
# ten times y at least 17 in all of 144.
MAX_NEW_DISTANCE = 10.0

# Mean log loss of labels less that of equal probabilities, and the median of one label's less that
# of its frequency, in nats. Both are negative where the student knows something. Students of
# networks on five sets (20, 50 and 100 rows, eight draws) gave no warning in 120 updates of the
# same region, and two in 96 of a new one. They warned of two swapped names in 29, 39 and 40 of 40
# updates of 20, 50 and 100 rows, and of names in reversed order in 118 of 120. In thirty calls of
# ten rows, students of networks and of forests on four sets (two seeds, two draws) and two made
# ones had no warning in 48 series of the same region; two swapped names gave one in 41, and labels
# in another order in 25.
MAX_MEAN_EXCESS, MAX_LABEL_EXCESS = 0.7, 1.5

# The student may be worse than the frequencies of new labels by this, in nats, and by so many
# standard errors as a level: beyond, it knows nothing of them. Names are tested in `label_order`.
# Students of networks on letter, magic, pendigits and waveform (two seeds, four draws of 20, 50,
# 100 and 500 rows) had neither warning in 128 updates of the same region and in 128 of a new one.
WORSE = 0.05

# Logarithms of probabilities that are kept of earlier calls at most, and rows that are at least.
MOST_KEPT, LEAST_KEPT = 4_000, 40

# A mean of fewer losses is mostly chance.
LEAST_MEAN_ROWS = 20

REMEDY = (
    "update holds the student to what it predicted at the rows of fit. If y means something else "
    "now ({}), call reset_update, and adapt with all rows of the new meaning. If it means the "
    "same, the student was far off here: compare its predictions with y at further rows."
)


def warn_of_other_values(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    noise: TargetNoise | None,
    members: Any,
    fitted: Any,
    update: ValueUpdate,
) -> bool:
    """Warn if values of y are far from all that the student thought possible, and say whether.

    Parameters
    ----------
    rows : tuple of arrays (n, *row_shape), (n, n_outputs) and (n,)
        Standardised rows, values and weights.
    noise : TargetNoise
        Noise of y around the members.
    members, fitted : StudentMembers
        Members of the student before this update, and as it was fitted.
    update : ValueUpdate
        Tells which rows are unlike those of `fit`.
    """
    X, y = some_rows(rows, rows[2] > 0, MOST_ROWS)
    if not len(X):
        return False
    unknown, is_old = update.unknown_variance(fitted, X)
    is_few = len(X) < LEAST_ROWS
    # Rows that come one at a time are compared with what was known before any of them.
    center, unit = center_and_unit(X, fitted if is_few else members, noise)
    distances = np.abs(y - center) / np.sqrt(unit**2 + unknown)
    if is_few:
        distances, is_old = _with_recent(update, distances, is_old)
        if len(distances) < LEAST_ROWS:
            return False
    is_known = np.count_nonzero(is_old) >= max(LEAST_ROWS, LEAST_OLD * len(X))
    distance = np.median(distances[is_old] if is_known else distances, axis=0)
    if distance.max() <= (MAX_DISTANCE if is_known else MAX_NEW_DISTANCE):
        return False
    update.recent = None
    where = f" of output {distance.argmax()}" if len(distance) > 1 else ""
    warn_user(
        f"New values of y{where} are far from all that the student thought possible: half of "
        f"them are more than {distance.max():.2g} standard deviations away. "
        + REMEDY.format("such as other units")
    )
    return True


def _with_recent(
    update: ValueUpdate, distances: np.ndarray, is_old: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the last rows of all calls of few rows, and keep them in the update."""
    parts = [(distances, is_old)] if update.recent is None else [update.recent, (distances, is_old)]
    found, old = (np.concatenate(each)[-LEAST_ROWS:] for each in zip(*parts, strict=True))
    update.recent = found, old
    return found, old


def warn_of_other_labels(
    rows: tuple[np.ndarray, np.ndarray], classes: Any, members: Any, update: Update
) -> bool:
    """Warn if labels are far less likely than under a guess, and return whether that is so.

    The guess does not know the rows. Rows of several calls count together.

    Parameters
    ----------
    rows : tuple of arrays (n, *row_shape) and (n, n_classes)
        Standardised rows, and the weight of their label.
    classes : array of shape (n_classes,)
        Labels.
    members : StudentMembers
        Members of the student before this update.
    update : Update
        Keeps the last rows of earlier calls.
    """
    X, labels = some_rows(rows, rows[1].any(axis=1), MOST_LABELS)
    if not len(X):
        return False
    new = Labels(labels.argmax(axis=1), members.log_probabilities(X), labels.sum(axis=1))
    joined = new if update.recent_labels is None else new.after(update.recent_labels)
    reason = _find_other_labels(new, classes) or _find_other_labels(joined, classes)
    update.recent_labels = joined.latest() if reason is None else None
    if reason is None:
        return False
    warn_user(f"By the student, {reason}. " + REMEDY.format("such as labels with other names"))
    return True


class Labels(NamedTuple):
    """Labels of some rows, and what a student predicted that had not learnt them.

    Attributes
    ----------
    codes : int array of shape (n,)
        Numbers of the labels' classes.
    logarithms : array of shape (n, n_classes)
        Logarithms of the probabilities.
    weights : array of shape (n,)
        Weights of the rows.
    """

    codes: np.ndarray
    logarithms: np.ndarray
    weights: np.ndarray

    def after(self, earlier: Labels) -> Labels:
        """Return earlier rows and these."""
        return Labels(*map(np.concatenate, zip(earlier, self, strict=True)))

    def latest(self) -> Labels:
        """Return the last rows, as few and as small as a file needs them."""
        n_rows = min(MOST_ROWS, max(MOST_KEPT // self.logarithms.shape[1], LEAST_KEPT))
        codes, logarithms, weights = (each[-n_rows:] for each in self)
        return Labels(codes.astype(np.int32), logarithms.astype(np.float32), weights.copy())


def _find_other_labels(found: Labels, classes: Any) -> str | None:
    """Return what shows that labels are far less likely than under a guess, or None."""
    codes, logarithms, weights = found
    if len(codes) < LEAST_ROWS:
        return None
    what = _find_other_names(codes, logarithms, weights, classes)
    if what is not None:
        return what
    some = spaced_rows(len(codes), MOST_ROWS)
    codes, logarithms = codes[some], logarithms[some]
    losses = -logarithms[np.arange(len(codes)), codes]
    log_frequency = logsumexp(logarithms, axis=0) - np.log(len(codes))
    excess = np.array(
        [
            np.median(losses[codes == code]) + log_frequency[code]
            if np.count_nonzero(codes == code) >= LEAST_ROWS
            else -np.inf
            for code in range(len(classes))
        ]
    )
    mean_excess = losses.mean() - np.log(len(classes))
    if excess.max() > MAX_LABEL_EXCESS:
        what = f"label {classes[excess.argmax()]!s} is less likely by {excess.max():.2g} nats"
    elif mean_excess > MAX_MEAN_EXCESS and len(codes) >= LEAST_MEAN_ROWS:
        what = f"labels are less likely by {mean_excess:.2g} nats"
    else:
        return None
    return f"the new {what} than by a guess that does not know the rows"


def _find_other_names(
    codes: np.ndarray, logarithms: np.ndarray, weights: np.ndarray, classes: Any
) -> str | None:
    """Return what many rows show: labels with other names, or labels in another order; or None."""
    probabilities = np.exp(logarithms)
    renamed = find_renamed(probabilities, codes, weights)
    if renamed:
        pairs = ", ".join(f"{classes[a]!s} for {classes[b]!s}" for a, b in renamed.items())
        return f"the new labels are likelier if they stand for others: {pairs}"
    # A class that is more or less frequent than it was is another matter (`levels`).
    fair = with_frequencies(probabilities, codes, weights)
    frequencies = np.bincount(codes, weights, minlength=len(classes)) / weights.sum()
    own = np.maximum(fair[np.arange(len(codes)), codes], TINY)
    losses = np.log(frequencies[codes]) - np.log(own)
    excess = np.average(losses, weights=weights)
    is_clear = mean_in_errors(losses, weights) > ERRORS and len(codes) >= LEAST_LABELS
    if excess > WORSE and is_clear:
        return (
            f"the new labels are less likely by {excess:.2g} nats than by their frequencies, as in "
            "another order than the rows"
        )
    return None
