"""The posterior of what new rows can change, as a change of a student's linear heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._network.heads import Units
from .._utils.cholesky import lower_factor

# Hypotheses with less of the posterior mass are left out of averages.
LEAST_WEIGHT = 1e-12

# Ratio of unknown variances at which the multiple of the noise has faded, at least.
LEAST_RATIO = 2.5

# Added to variances of one, so that matrices of correlations that are singular have a factor.
JITTER = 1e-12

# No columns of the rows.
NO_COLUMNS = np.empty(0, dtype=np.intp)


class Posterior(NamedTuple):
    """A normal distribution of the coefficients that are added to a student's mean.

    It takes the place of the factors that are common to all rows.

    Attributes
    ----------
    mean : array of shape (c, p)
        Coefficients that are added to those of the mean, or take their place if there are `units`.
    loadings : array of shape (c, p, r)
        Root of the covariance of the members' coefficients: the loadings of the posterior's
        factors.
    noise_multiple : float or array of shape (c,)
        Multiple of the noise of y where all of it counts. One for classes.
    unknown : array of shape (c, p, m), or None
        Root of the covariance of coefficients of which the rows of `fit` tell nothing. The multiple
        counts by the variance that they have at a row, relative to `typical_unknown`.
    typical_unknown : array of shape (c,), or None
        Harmonic mean of that variance over the rows of the update: rows like those of `fit` show
        noise there, too.
    slope : array of shape (c,), or None
        Multiple of what members have at near rows only, where y has got other units; None for one.
    units : Units or None
        Units of the members where y has got other ones; None for those of the student. So small
        values are not differences of large ones.
    counted : array of shape (c, p, r), or None
        Root of the covariance that counts for y; None if it is that of the members, times the share
        that counted in `fit`.
    columns : int array of shape (n_columns,)
        Columns of the rows that are features too, behind those of the body; see `coordinates`.
    unknown_of_fit : array of shape (c,), or None
        Mean of that variance over the rows of `fit`, where the multiple hardly counts if new rows
        are unlike them. None if the memory of them is not used.
    typical_relative : array of shape (c,), or None
        `typical_unknown` in units of the variance that y has around the factors at each row. The
        multiple counts by the smaller of both shares: where y is noisy, or hardly noisy, in `fit`,
        one of them is large however many rows `fit` had there.
    relative_of_fit : array of shape (c,), or None
        `unknown_of_fit` in the same units.
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise_multiple: float | np.ndarray = 1.0
    unknown: np.ndarray | None = None
    typical_unknown: np.ndarray | None = None
    slope: np.ndarray | None = None
    units: Units | None = None
    counted: np.ndarray | None = None
    columns: np.ndarray = NO_COLUMNS
    unknown_of_fit: np.ndarray | None = None
    typical_relative: np.ndarray | None = None
    relative_of_fit: np.ndarray | None = None

    def multiples(self, features: np.ndarray, variance: ArrayLike = 1.0) -> np.ndarray:
        """Multiples of the noise (n, c) at rows with features (n, p).

        ``variance`` (n, c) is that of y around the factors; it counts if `typical_relative` does.

        New rows may be noisier than those of `fit`, but these are not noisier than they were: where
        the features are like those of `fit`, the multiple is near one.
        """
        if self.unknown is None:
            return np.ones((len(features), len(self.mean))) * self.noise_multiple
        unknown = variance_along(self.unknown, features)
        share = _share_of_unlike(unknown, self.typical_unknown, self.unknown_of_fit)
        if self.typical_relative is not None:
            relative = unknown / np.asarray(variance)
            other = _share_of_unlike(relative, self.typical_relative, self.relative_of_fit)
            share = np.minimum(share, other)
        return 1 + (self.noise_multiple - 1) * share


def _share_of_unlike(unknown: np.ndarray, typical: Any, of_fit: np.ndarray | None) -> np.ndarray:
    """Return how unlike those of `fit` rows are (n, c): one where they are as unlike as new rows.

    It falls with the logarithm of the unknown variance (n, c), from the typical one (c,) of new
    rows to that of `fit` (c,), or to a `LEAST_RATIO`-th of the former if both are alike.
    """
    if of_fit is None:
        return np.minimum(unknown / typical, 1.0)
    tiny = np.finfo(np.float64).tiny
    ratio = np.maximum(typical / np.maximum(of_fit, tiny), LEAST_RATIO)
    fallen = np.log(np.maximum(typical, tiny) / np.maximum(unknown, tiny)) / np.log(ratio)
    return np.clip(1 - fallen, 0.0, 1.0)


def variance_along(root: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Variances (n, c) at features (n, p) of heads whose coefficients have a root (c, p, m)."""
    return np.stack([np.square(features @ each).sum(axis=1) for each in root], axis=1)


class Normal(NamedTuple):
    """A normal distribution of vectors of coordinates: mean (k,), root (k, r) of the covariance."""

    mean: np.ndarray
    root: np.ndarray


def weights_of(log_evidence: np.ndarray) -> np.ndarray:
    """Return the posterior masses of hypotheses; negligible ones are zero."""
    weights = np.exp(log_evidence - np.max(log_evidence))
    weights = np.where(weights < LEAST_WEIGHT * weights.sum(), 0.0, weights)
    return weights / weights.sum()


def average_normals(normals: Sequence[Normal], weights: np.ndarray) -> Normal:
    """Return the normal distribution with mean and covariance of a mixture.

    The root of more than one is the Cholesky factor of the correlations, times the standard
    deviations, so that coordinates may have units of any size.
    """
    if len(normals) == 1:
        return normals[0]
    mean = sum(weight * each.mean for weight, each in zip(weights, normals, strict=True))
    parts = [
        np.sqrt(weight) * np.column_stack([each.root, each.mean - mean])
        for weight, each in zip(weights, normals, strict=True)
    ]
    joined = np.concatenate(parts, axis=1)
    std = np.linalg.norm(joined, axis=1, keepdims=True)
    joined = np.divide(joined, std, out=np.zeros_like(joined), where=std > 0)
    correlation = joined @ joined.T
    correlation.flat[:: len(mean) + 1] += JITTER
    return Normal(mean, std * lower_factor(correlation))


def square_root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric roots of covariances (..., k, k), which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    return scaled @ vectors.swapaxes(-1, -2)
