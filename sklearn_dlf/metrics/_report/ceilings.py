"""How far a teacher agrees with itself: noise of its mean, and ceilings of correlations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

# Random halvings of the members over which correlations are averaged; a choice.
N_HALVINGS = 20

# A spread needs two members in each half.
MIN_MEMBERS = 4

# With fewer rows, a correlation over rows is chance: that of two rows is one or minus one. 10 was
# chosen.
MIN_ROWS = 10

# Below this ceiling, halves of the members say little about what there is to find; a choice.
MIN_CEILING = 0.3

Correlate = Callable[[np.ndarray, np.ndarray], float]


class Halves(NamedTuple):
    """How far a statistic of one half of the members agrees with that of the other.

    Attributes
    ----------
    ceiling : float
        Largest expected correlation with the statistic of these members: that between it and the
        statistic of infinitely many members. NaN for fewer than four members or ten rows.
    square : float
        Mean product of the statistic of both halves. It is the mean square of the statistic of
        infinitely many members, since the noise of the halves is independent. NaN for fewer than
        four members.
    factor : float
        By how much the mean of the statistic differs between two ensembles of this size, as a
        factor of at least one. NaN for fewer than four members.
    """

    ceiling: float
    square: float
    factor: float


def pearson(left: np.ndarray, right: np.ndarray) -> float:
    """Return the correlation of two vectors, NaN if one of them is constant."""
    left, right = left - left.mean(), right - right.mean()
    length = np.sqrt((left**2).sum() * (right**2).sum())
    return float((left * right).sum() / length) if length > 0 else float("nan")


def spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Return the correlation of the ranks of two vectors, NaN if one of them is constant."""
    return pearson(rankdata(left), rankdata(right))


def agreement_of_halves(
    members: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    correlate: Correlate,
    random_state: np.random.RandomState,
) -> Halves:
    """Compare a statistic, which takes members (..., n_members), of random halves of them.

    The formula of Spearman and Brown turns the correlation ``r`` of halves into that of two whole
    ensembles, ``2 r / (1 + r)``. Its root is the ceiling.
    """
    n_members = members.shape[-1]
    if n_members < MIN_MEMBERS:
        return Halves(float("nan"), float("nan"), float("nan"))
    correlations, squares, log_ratios = [], [], []
    for _ in range(N_HALVINGS):
        halves = np.array_split(random_state.permutation(n_members), 2)
        left, right = (statistic(members[..., half]) for half in halves)
        correlations.append(correlate(left, right))
        squares.append(np.mean(left * right))
        means = abs(left.mean()), abs(right.mean())
        log_ratios.append(np.log(means[0] / means[1]) if min(means) > 0 else np.nan)
    half = max(float(np.mean(correlations)), 0.0) if len(members) >= MIN_ROWS else np.nan
    # The variance of a difference between halves is twice that between whole ensembles.
    factor = np.exp(np.sqrt(np.mean(np.square(log_ratios)) / 2))
    ceiling = np.sqrt(2 * half / (1 + half))
    return Halves(float(ceiling), float(np.mean(squares)), float(factor))


def noise_of_mean(members: np.ndarray) -> float:
    """Return by how much the means of two ensembles of this size differ, root mean square.

    Members are (n, k, n_members). Means of random halves differ by the root of two times this: the
    variance of their difference, averaged over all halvings, has the closed form used here.
    """
    return float(np.sqrt(2 * members.var(axis=-1, ddof=1).mean() / members.shape[-1]))
