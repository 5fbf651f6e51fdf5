"""Covariances of members between different rows: exact ones, or those of draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .ceilings import agreement_of_halves, pearson


class RowCovariance(NamedTuple):
    """Covariances of one part of the student's members between m rows.

    Attributes
    ----------
    values : ndarray (m * (m - 1) / 2,)
        Covariances between different rows; of classifiers summed over classes.
    square : float
        Their mean square, without the noise of draws. NaN if there are too few draws to tell.
    reliability : float
        Correlation of `values` with those of infinitely many draws; one of exact ones.
    sum_std : float
        Standard deviation of the members' mean over the rows; of classifiers, the root of the sum
        of squares over classes.
    """

    values: np.ndarray
    square: float
    reliability: float
    sum_std: float


def of_moments(covariance: np.ndarray) -> RowCovariance:
    """Return exact covariances (m, m) of one output."""
    values = above_diagonal(covariance)
    square = float(np.mean(values**2)) if len(values) else float("nan")
    return RowCovariance(values, square, 1.0, float(np.sqrt(max(covariance.mean(), 0.0))))


def of_draws(draws: np.ndarray, random_state: np.random.RandomState) -> RowCovariance:
    """Return covariances of draws (m, k, n_draws), summed over k."""
    halves = agreement_of_halves(draws, off_diagonal, pearson, random_state)
    return RowCovariance(off_diagonal(draws), halves.square, halves.ceiling, sum_std(draws))


def off_diagonal(members: np.ndarray) -> np.ndarray:
    """Return covariances between different rows of members (m, k, n_members), summed over k."""
    deviations = members - members.mean(axis=-1, keepdims=True)
    covariance = np.einsum("ikm,jkm->ij", deviations, deviations, optimize=True)
    return above_diagonal(covariance) / (members.shape[-1] - 1)


def above_diagonal(matrix: np.ndarray) -> np.ndarray:
    """Return the entries above the diagonal of a matrix (m, m) as a vector."""
    return matrix[np.triu_indices(len(matrix), 1)]


def sum_std(members: np.ndarray) -> float:
    """Return the standard deviation of the mean over rows of members (m, k, n_members), over k."""
    return float(np.sqrt(members.mean(axis=0).var(axis=-1, ddof=1).sum()))
