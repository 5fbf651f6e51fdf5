"""The posterior of a student of regressors, given values of y at new rows.

What new rows show is ``y - mean(x) = loadings(x) z + d(x)'w + noise``: the factors, a discrepancy
of the student from the truth that is linear in the body's features, and noise. How large the
discrepancy is, and by how much the noise exceeds the student's, are hypotheses. Each is a Bayesian
linear model, and they are averaged by their evidence. Half of the prior mass says that there is no
discrepancy, and half that the noise is the student's: it is never below.

Rows enter by sums, so that neither their order nor their batches count.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import eigh

from .coordinates import Coordinates
from .memory import Memory, discrepancy_root
from .models import Likelihood, Model
from .posterior import Normal, average_normals, variance_along, weights_of

# Standard deviations of the discrepancy at a typical row, in units of the standard deviation over
# rows of the members' mean; the first is none.
DISCREPANCIES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)

# Multiples of the noise; the first is the student's own. Those below one are excluded: they trade
# noise for factors that explain new rows too well.
NOISE_MULTIPLES = tuple(np.geomspace(1.0, 90.0, 13))

# Rounds in which the relative noise of several outputs is found, and rows by which it is shrunk.
N_ROUNDS, PRIOR_ROWS = 3, 20

# Least unknown variance of a row, as a share of the largest of its call.
LEAST_UNKNOWN = 1e-6

# Sums of squared residuals, in units of the noise, that can be multiplied by sums over rows.
MAX_SQUARE = 1e250


class ValueSums(NamedTuple):
    """All that a linear model takes from rows, in coordinates of size k.

    Attributes
    ----------
    information : array of shape (k, k)
        Sum of ``D' R^-1 D``, for the design D and the covariance R of a row.
    slope : array of shape (k, c), or (k,)
        Sum of ``D' R^-1 r``, for residuals r: parts of the residuals of each output, if
        `can_scale`, or all of it.
    square : array of shape (c, c), or float
        Sum of ``r' R^-1 r``: parts of each pair of outputs, or all of it.
    unknown : array of shape (c,)
        Sum of the variance that a discrepancy has at a row, as far as `fit` tells.
    n_entries : float
        Sum of the weights of all values.
    inverse_unknown : array of shape (c,), or zero
        Sum of the inverse of the variance that a discrepancy has at a row; zero in files of earlier
        commits.
    inverse_relative : array of shape (c,), or zero
        The same of that variance in units of R; zero if it is not known of all rows.
    """

    information: np.ndarray
    slope: np.ndarray
    square: Any
    unknown: np.ndarray
    n_entries: float
    inverse_unknown: Any = 0.0
    inverse_relative: Any = 0.0

    @property
    def n_rows(self) -> float:
        """Sum of the weights of all rows."""
        return self.n_entries / len(self.unknown)

    @property
    def typical_unknown(self) -> np.ndarray:
        """Harmonic mean (c,) over rows of the variance that a discrepancy has there."""
        inverse = self._known_inverse()
        return np.divide(self.n_rows, inverse, out=np.zeros_like(inverse), where=inverse > 0)

    @property
    def typical_relative(self) -> np.ndarray | None:
        """`typical_unknown` (c,) in units of the noise of each row, or None if it is not known."""
        if not np.ndim(self.inverse_relative) or not np.all(self.inverse_relative > 0):
            return None
        return self.n_rows / self.inverse_relative

    def _known_inverse(self) -> np.ndarray:
        """Return `inverse_unknown`, or what it is if each variance is the mean one."""
        if np.ndim(self.inverse_unknown):
            return self.inverse_unknown
        known = np.where(self.unknown > 0, self.unknown, 1.0)
        return np.where(self.unknown > 0, self.n_rows**2 / known, 0.0)

    @property
    def can_scale(self) -> bool:
        """Whether there are several outputs, and the noise of each can be scaled."""
        return self.slope.ndim == 2

    @property
    def total_slope(self) -> np.ndarray:
        """Sum of ``D' R^-1 r`` (k,)."""
        return self.slope.sum(axis=1) if self.can_scale else self.slope

    @property
    def total_square(self) -> float:
        """Sum of ``r' R^-1 r``."""
        return float(np.sum(self.square))

    def scaled(self, multiples: np.ndarray) -> ValueSums:
        """Return the sums under noise whose variance is multiplied, of each output (c,)."""
        root = 1 / np.sqrt(multiples)
        of_coefficient = np.repeat(root, len(self.slope) // len(root))
        return self._replace(
            information=of_coefficient[:, None] * self.information * of_coefficient,
            slope=of_coefficient[:, None] * self.slope * root,
            square=root[:, None] * self.square * root,
        )

    def misfits(self, normal: Normal) -> np.ndarray:
        """Return the expected sum of squares (c,) of what is left of the residuals of each output.

        They are in units of the noise, and those of pairs of outputs count for both.
        """
        size, n_outputs = self.slope.shape
        mean, root = normal.mean[:size], normal.root[:size]
        explained = (mean[:, None] * self.slope).reshape(n_outputs, -1, n_outputs).sum(axis=1)
        vectors = np.column_stack([mean, root])
        fitted = (self.information @ vectors * vectors).reshape(n_outputs, -1).sum(axis=1)
        return self.square.sum(axis=1) - explained.sum(axis=1) - explained.sum(axis=0) + fitted

    def discounted(self, share: float) -> ValueSums:
        """Return the sums with all weights multiplied by a share."""
        return ValueSums(
            share * self.information,
            share * self.slope,
            share * self.square,
            share * self.unknown,
            share * self.n_entries,
            share * self.inverse_unknown,
            share * self.inverse_relative,
        )

    def plus(self, other: ValueSums) -> ValueSums:
        """Return the sums over the rows of both."""
        if self.can_scale != other.can_scale:  # sums in files of earlier commits cannot be scaled
            return self.totals().plus(other.totals())
        are_known = np.ndim(self.inverse_relative) and np.ndim(other.inverse_relative)
        return ValueSums(
            self.information + other.information,
            self.slope + other.slope,
            self.square + other.square,
            self.unknown + other.unknown,
            self.n_entries + other.n_entries,
            self._known_inverse() + other._known_inverse(),
            self.inverse_relative + other.inverse_relative if are_known else 0.0,
        )

    def totals(self) -> ValueSums:
        """Return the sums of all outputs alone."""
        return self._replace(slope=self.total_slope, square=self.total_square)


def sum_values(
    coordinates: Coordinates,
    features: np.ndarray,
    residuals: np.ndarray,
    covariance: np.ndarray,
    weights: np.ndarray,
    unknown: np.ndarray,
) -> ValueSums:
    """Return the sums over rows with features (n, p), residuals (n, c) and covariances (n, c, c).

    A weight (n,) is a number of equal rows. ``unknown`` (c, p, m) is that of a `Posterior`.
    """
    n_outputs = residuals.shape[1]
    precision = row_precisions(covariance, weights)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.einsum("ncd,nc->cd", precision * residuals[:, None], residuals)
    if not square.sum() < MAX_SQUARE:
        raise ValueError(
            "y is too far from what the student predicts to be squared; expected values in the "
            f"units of the y of fit; got a residual of {np.abs(residuals).max():.3g}."
        )
    information, slope = linear_sums(coordinates, features, residuals, precision)
    at_rows = variance_along(unknown, features)
    largest = at_rows.max(axis=0, initial=0.0)
    least = np.where(largest > 0, LEAST_UNKNOWN * largest, 1.0)
    inverse = np.where(largest > 0, 1 / np.maximum(at_rows, least), 0.0)
    sums = ValueSums(
        information,
        slope,
        square,
        weights @ at_rows,
        float(n_outputs * weights.sum()),
        weights @ inverse,
        weights @ (inverse * np.diagonal(covariance, axis1=1, axis2=2)),
    )
    return sums if _can_scale(coordinates) else sums.totals()


def row_precisions(covariance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return precisions (n, c, c) of rows with covariances (n, c, c), times their weights (n,)."""
    n_outputs = covariance.shape[1]
    inverse_root = np.linalg.solve(np.linalg.cholesky(covariance), np.eye(n_outputs)[None])
    inverse_root *= np.sqrt(weights)[:, None, None]
    return inverse_root.swapaxes(1, 2) @ inverse_root


def linear_sums(
    coordinates: Coordinates, features: np.ndarray, residuals: np.ndarray, precision: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return `ValueSums.information` and `ValueSums.slope`, for precisions (n, c, c) of rows."""
    parts = precision * residuals[:, None]  # (n, c, c): of each output's residuals
    information = coordinates.information(features, precision)
    if not _can_scale(coordinates):
        return information, coordinates.gradient(features, parts.sum(axis=2))
    slopes = [coordinates.gradient(features, each) for each in np.moveaxis(parts, 2, 0)]
    return information, np.stack(slopes, axis=1)


def no_values(coordinates: Coordinates) -> ValueSums:
    """Return the sums over no rows."""
    size, n_outputs = coordinates.size, coordinates.n_outputs
    unknown = np.zeros(n_outputs)
    square = np.zeros((n_outputs, n_outputs))
    sums = ValueSums(
        np.zeros((size, size)), np.zeros((size, n_outputs)), square, unknown, 0.0, unknown, unknown
    )
    return sums if _can_scale(coordinates) else sums.totals()


def _can_scale(coordinates: Coordinates) -> bool:
    """Return whether there are several outputs, each of which has coordinates of its own."""
    return coordinates.basis is None and coordinates.n_outputs > 1


def factor_posterior(coordinates: Coordinates, sums: ValueSums) -> Normal:
    """Return the posterior of the factors alone, under the student's own noise."""
    root = coordinates.factor_root()
    model = Model(root, np.eye(root.shape[1]), coordinates.returned_factors())
    return model.posterior(Likelihood(sums.information, sums.total_slope, 0.0))


def value_posterior(
    coordinates: Coordinates, sums: ValueSums, memory: Memory, unit: np.ndarray
) -> tuple[Normal, Any]:
    """Return the posterior, and multiples of the noise: (c,), or one number for all outputs.

    Outputs may differ in how much more noise they have. What they have relative to each other is
    found in rounds, by the expected misfit of each.

    Parameters
    ----------
    coordinates, sums, memory, unit
        As of `_average_posterior`.
    """
    normal, multiple = _average_posterior(coordinates, sums, memory, unit)
    if not sums.can_scale:
        return normal, multiple
    relative = np.ones(sums.slope.shape[1])
    for _ in range(N_ROUNDS):
        relative = relative * relative_noise(sums.scaled(relative), normal, multiple)
        relative /= relative.min()
        normal, multiple = _average_posterior(coordinates, sums.scaled(relative), memory, unit)
    return normal, multiple * relative


def relative_noise(sums: ValueSums, normal: Normal, multiple: float) -> np.ndarray:
    """Return how much more noise each output (c,) has than a multiple of that of the student.

    It is shrunk to one by `PRIOR_ROWS`.
    """
    misfits = np.maximum(sums.misfits(normal), 0.0) / multiple
    return shrunk_multiple(misfits, sums.n_rows, PRIOR_ROWS)


def shrunk_multiple(squares: np.ndarray, n_rows: float, prior_rows: int) -> np.ndarray:
    """Return mean squares (c,) from sums over rows, as if some further rows had the mean one."""
    return (squares + prior_rows) / (n_rows + prior_rows)


def _average_posterior(
    coordinates: Coordinates, sums: ValueSums, memory: Memory, unit: np.ndarray
) -> tuple[Normal, float]:
    """Return the average posterior over all hypotheses, and the average multiple of the noise.

    Parameters
    ----------
    coordinates : Coordinates
        Of what can change.
    sums : ValueSums
        What the rows tell.
    memory : Memory
        What the rows of `fit` tell.
    unit : array of shape (c,)
        Unit of discrepancies.
    """
    factors = coordinates.factor_root()
    models = []
    for size in DISCREPANCIES:
        root = factors
        if size > 0:
            further = discrepancy_root(coordinates, memory, size * unit)
            root = np.concatenate([factors, further], axis=1)
        models.append(LinearModel(root, sums, factors=coordinates.factors_behind()))
    log_evidence = np.stack([model.log_evidence() for model in models])
    log_evidence += log_prior(len(models))[:, None] + log_prior(len(NOISE_MULTIPLES))
    weights = weights_of(log_evidence.ravel()).reshape(log_evidence.shape)
    chosen = np.argwhere(weights > 0)
    normals = [models[one].normal(NOISE_MULTIPLES[multiple]) for one, multiple in chosen]
    multiple = average_multiple(weights.sum(axis=0), NOISE_MULTIPLES)
    return average_normals(normals, weights[weights > 0]), multiple


def average_multiple(weights: np.ndarray, multiples: Sequence[float]) -> float:
    """Return the geometric mean of multiples of the noise, under weights that sum to one.

    After a few rows the large multiples of the prior are still there, and the mean would be theirs.
    """
    return float(np.exp(weights @ np.log(multiples)))


@cache
def log_prior(n_hypotheses: int) -> np.ndarray:
    """Logarithm of the prior masses: half for the first, the rest for all others alike."""
    masses = np.full(n_hypotheses, 0.5 / (n_hypotheses - 1))
    masses[0] = 0.5
    logarithms = np.log(masses)
    logarithms.setflags(write=False)  # it is shared by all calls
    return logarithms


class LinearModel:
    """A linear model with standard normal coefficients, under some multiples of the noise.

    Parameters
    ----------
    root : array of shape (k, r)
        Vectors that the coefficients multiply.
    sums : ValueSums
        What rows tell.
    multiples : sequence of float
        Multiples of the noise.
    factors : slice, default=slice(0)
        Coefficients that `normal` returns behind the vectors.
    """

    def __init__(
        self,
        root: np.ndarray,
        sums: ValueSums,
        multiples: Sequence[float] = NOISE_MULTIPLES,
        factors: slice = slice(0),
    ):
        self.sums, self.multiples = sums, multiples
        information = root.T @ sums.information @ root
        values, vectors = eigh(0.5 * (information + information.T))
        self.values = np.maximum(values, 0.0)
        self.slope = vectors.T @ (root.T @ sums.total_slope)
        self.root = np.concatenate([root, np.eye(root.shape[1])[factors]])
        self.vectors = vectors

    def log_evidence(self) -> np.ndarray:
        """Log-evidence under each multiple, in nats, less what is the same for all models."""
        multiples = np.array(self.multiples)[:, None]
        precision = 1 + self.values / multiples
        explained = (np.square(self.slope / multiples) / precision).sum(axis=1)
        multiples = multiples[:, 0]
        misfit = self.sums.total_square / multiples + self.sums.n_entries * np.log(multiples)
        return 0.5 * (explained - np.log(precision).sum(axis=1) - misfit)

    def variables(self, multiple: float) -> np.ndarray:
        """Posterior mean (r,) of the coefficients under one multiple."""
        return self.vectors @ (self.slope / (multiple + self.values))

    def normal(self, multiple: float) -> Normal:
        """Posterior of the vectors, and of the factors, under one multiple."""
        precision = 1 + self.values / multiple
        turned = self.root @ self.vectors
        return Normal(turned @ (self.slope / multiple / precision), turned / np.sqrt(precision))
