"""Members' outputs at rows that they were fitted to.

A member that was fitted to a row has learnt its y, noise included, and differs less from the other
members there than elsewhere. Members that did not see the row have the mean and the spread there
that the ensemble has on fresh rows. So either the members' deviations are widened at such rows by
one multiplier an output (``out_of_bag="widen"``), or each row's members are matched to the mean and
spread of those that did not see it (``out_of_bag="match"``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import gammaln

# Mean and spread at a row are taken from at least this many members that did not see it.
MIN_UNSEEN = 5

# The multiplier of an output is found from at least this many degrees of freedom. Its standard
# error is then about 7 %.
MIN_DEGREES = 100


class Adjustment(ABC):
    """Adjusts members' outputs at rows of their own fit; other rows are left as they are.

    Parameters
    ----------
    unseen : bool array of shape (n_own, n_members) or None
        Rows of the fit that each member did not see. None if that is not known: then nothing is
        adjusted.
    weights : array of shape (n_own,) or None
        Weights of the rows.
    """

    def __init__(self, unseen: np.ndarray | None, weights: np.ndarray | None = None):
        self.unseen = unseen
        self.weights = weights

    def __call__(self, rows: slice, outputs: np.ndarray) -> np.ndarray:
        """Return adjusted outputs (n_block, n_outputs, n_members) at a slice of rows."""
        if self.unseen is None:
            return outputs
        unseen = self.unseen[rows]
        if not len(unseen):
            return outputs
        own = self.adjust(rows, outputs[: len(unseen)], unseen)
        return np.concatenate([own, outputs[len(unseen) :]])

    @abstractmethod
    def adjust(self, rows: slice, outputs: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        """Return adjusted outputs at rows of the fit."""


class Widening(Adjustment):
    """Widens deviations from the mean to the spread of members that did not see the row.

    The multiplier of each output is found at the first block: 65,536 rows of an ensemble.
    """

    def adjust(self, rows, outputs, unseen):
        if rows.start == 0:
            weights = None if self.weights is None else self.weights[: len(unseen)]
            self._multiplier = spread_at_unseen(outputs, unseen, weights)
        if (self._multiplier <= 1).all():
            return outputs
        centre = outputs.mean(axis=-1, keepdims=True)
        return centre + (outputs - centre) * self._multiplier[:, None]


class Matching(Adjustment):
    """Matches each row's members to the mean and spread of those that did not see it."""

    def adjust(self, rows, outputs, unseen):
        return match_unseen(outputs, unseen)


def make_adjustment(
    out_of_bag: str | None, unseen: np.ndarray | None, weights: np.ndarray | None
) -> Adjustment:
    """Return the adjustment that ``out_of_bag`` names, or raise if it needs unknown facts."""
    if out_of_bag == "match":
        if unseen is None:
            raise ValueError(
                "out_of_bag='match' needs an ensemble that knows which rows its members did not "
                "see (bagging, forests with bootstrap=True, deep ensembles), and the rows of its "
                "own fit as X. It is not known of this teacher, or its members have seen all "
                "rows. Use out_of_bag='widen' or None."
            )
        return Matching(unseen)
    return Widening(unseen if out_of_bag == "widen" else None, weights)


def spread_at_unseen(
    outputs: np.ndarray, unseen: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Ratio of the spread of members that did not see a row to that of all members, (c,).

    Both are mean standard deviations over rows that two or more members did not see. Each is
    corrected for the bias that few members have under normality. Means of variances would be
    dominated by a few rows. The ratio is at least one.

    Parameters
    ----------
    outputs : array of shape (n, c, n_members)
        Members' outputs at rows of their fit.
    unseen : bool array of shape (n, n_members)
        True where the member did not see the row.
    weights : array of shape (n,), default=None
        Weights of the rows.

    Returns
    -------
    array of shape (c,)
        Ones if there are fewer than `MIN_DEGREES` degrees of freedom.
    """
    counts = unseen.sum(axis=1)
    rows = counts >= 2
    if weights is not None:
        rows &= weights > 0
        weights = weights[rows]
    some, counts = outputs[rows], counts[rows]
    multiplier = np.ones(outputs.shape[1])
    if (counts - 1).sum() < MIN_DEGREES:
        return multiplier
    fresh = np.sqrt(moments_of_some(some, unseen[rows])[1]) / _std_bias(counts)[:, None]
    fresh = np.average(fresh, axis=0, weights=weights)
    spread = np.average(some.std(axis=-1, ddof=1), axis=0, weights=weights)
    spread /= _std_bias(outputs.shape[-1])
    np.divide(fresh, spread, out=multiplier, where=spread > 0)
    return np.maximum(multiplier, 1.0)


def _std_bias(n: int | np.ndarray) -> np.ndarray:
    """Return the expected standard deviation of ``n`` standard normal draws."""
    return np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))


def unseen_mean(outputs: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Return the mean (n, c) over members that did not see a row.

    It is the mean over all members if fewer than `MIN_UNSEEN` did not see the row. ``outputs`` are
    (n, c, n_members), ``unseen`` (n, n_members).
    """
    return moments_of_some(outputs, np.where(_enough(unseen)[:, None], unseen, True))[0]


def match_unseen(outputs: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Move members that saw a row to the mean and standard deviation of those that did not.

    Parameters
    ----------
    outputs : array of shape (n, c, n_members)
        Members' outputs.
    unseen : bool array of shape (n, n_members)
        True where the member did not see the row.

    Returns
    -------
    array of shape (n, c, n_members)
        Equal to ``outputs`` for members that did not see the row, and at rows that fewer than
        `MIN_UNSEEN` members, or all but one of them, did not see.
    """
    rows = _enough(unseen) & ((~unseen).sum(axis=1) > 1)
    some, others = outputs[rows], unseen[rows]
    centre, variance = moments_of_some(some, others)
    seen_centre, seen_variance = moments_of_some(some, ~others)
    seen_spread = np.sqrt(seen_variance)
    unit = np.divide(
        np.sqrt(variance), seen_spread, out=np.ones_like(variance), where=seen_spread > 0
    )
    moved = centre[..., None] + (some - seen_centre[..., None]) * unit[..., None]
    matched = outputs.copy()
    matched[rows] = np.where(others[:, None], some, moved)
    return matched


def _enough(unseen: np.ndarray) -> np.ndarray:
    """Return whether at least `MIN_UNSEEN` members did not see each row, (n,)."""
    return unseen.sum(axis=1) >= MIN_UNSEEN


def moments_of_some(outputs: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (n, c) over chosen members.

    ``outputs`` are (n, c, n_members), ``chosen`` (n, n_members) is boolean. The mean of no members
    and the variance of fewer than two are zero.
    """
    counts = chosen.sum(axis=1)[:, None]
    mean = np.einsum("jci,ji->jc", outputs, chosen) / np.maximum(counts, 1)
    squares = np.einsum("jci,ji->jc", (outputs - mean[..., None]) ** 2, chosen)
    return mean, squares / np.maximum(counts - 1, 1)
