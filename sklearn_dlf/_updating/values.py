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
from typing import NamedTuple

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

# Sums of squared residuals, in units of the noise, that can be multiplied by sums over rows.
MAX_SQUARE = 1e250


class ValueSums(NamedTuple):
    """All that a linear model takes from rows, in coordinates of size k.

    Attributes
    ----------
    information : array of shape (k, k)
        Sum of ``D' R^-1 D``, for the design D and the covariance R of a row.
    slope : array of shape (k,)
        Sum of ``D' R^-1 r``, for residuals r.
    square : float
        Sum of ``r' R^-1 r``.
    unknown : array of shape (c,)
        Sum of the variance that a discrepancy has at a row, as far as `fit` tells.
    n_entries : float
        Sum of the weights of all values.
    """

    information: np.ndarray
    slope: np.ndarray
    square: float
    unknown: np.ndarray
    n_entries: float

    def discounted(self, share: float) -> ValueSums:
        """Return the sums with all weights multiplied by a share."""
        return ValueSums(
            share * self.information,
            share * self.slope,
            share * self.square,
            share * self.unknown,
            share * self.n_entries,
        )

    def plus(self, other: ValueSums) -> ValueSums:
        """Return the sums over the rows of both."""
        return ValueSums(
            self.information + other.information,
            self.slope + other.slope,
            self.square + other.square,
            self.unknown + other.unknown,
            self.n_entries + other.n_entries,
        )


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
    inverse_root = np.linalg.solve(np.linalg.cholesky(covariance), np.eye(n_outputs)[None])
    inverse_root *= np.sqrt(weights)[:, None, None]
    precision = inverse_root.swapaxes(1, 2) @ inverse_root
    with np.errstate(over="ignore", invalid="ignore"):
        slopes = np.einsum("ncd,nd->nc", precision, residuals)
        square = float(np.sum(slopes * residuals))
    if not square < MAX_SQUARE:
        raise ValueError(
            "y is too far from what the student predicts to be squared; expected values in the "
            f"units of the y of fit; got a residual of {np.abs(residuals).max():.3g}."
        )
    return ValueSums(
        coordinates.information(features, precision),
        coordinates.gradient(features, slopes),
        square,
        weights @ variance_along(unknown, features),
        float(n_outputs * weights.sum()),
    )


def factor_posterior(coordinates: Coordinates, sums: ValueSums) -> Normal:
    """Return the posterior of the factors alone, under the student's own noise."""
    root = coordinates.factor_root()
    model = Model(root, np.eye(root.shape[1]))
    return model.posterior(Likelihood(sums.information, sums.slope, 0.0))


def value_posterior(
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
        models.append(LinearModel(root, sums))
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


def log_prior(n_hypotheses: int) -> np.ndarray:
    """Logarithm of the prior masses: half for the first, the rest for all others alike."""
    return np.log(np.r_[0.5, np.full(n_hypotheses - 1, 0.5 / (n_hypotheses - 1))])


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
    """

    def __init__(
        self, root: np.ndarray, sums: ValueSums, multiples: Sequence[float] = NOISE_MULTIPLES
    ):
        self.sums, self.multiples = sums, multiples
        information = root.T @ sums.information @ root
        values, vectors = eigh(0.5 * (information + information.T))
        self.values = np.maximum(values, 0.0)
        self.slope = vectors.T @ (root.T @ sums.slope)
        self.root, self.vectors = root, vectors

    def log_evidence(self) -> np.ndarray:
        """Log-evidence under each multiple, in nats, less what is the same for all models."""
        multiples = np.array(self.multiples)[:, None]
        precision = 1 + self.values / multiples
        explained = (np.square(self.slope / multiples) / precision).sum(axis=1)
        multiples = multiples[:, 0]
        misfit = self.sums.square / multiples + self.sums.n_entries * np.log(multiples)
        return 0.5 * (explained - np.log(precision).sum(axis=1) - misfit)

    def variables(self, multiple: float) -> np.ndarray:
        """Posterior mean (r,) of the coefficients under one multiple."""
        return self.vectors @ (self.slope / (multiple + self.values))

    def normal(self, multiple: float) -> Normal:
        """Posterior of the vectors under one multiple."""
        precision = 1 + self.values / multiple
        turned = self.root @ self.vectors
        return Normal(turned @ (self.slope / multiple / precision), turned / np.sqrt(precision))


def scale_loadings(coordinates: Coordinates, multiples: np.ndarray) -> Coordinates:
    """Return coordinates whose loadings are multiplied, those of each output by its own number."""
    heads = coordinates.heads
    scaled = heads._replace(loadings=multiples[:, None, None] * heads.loadings)
    if coordinates.basis is None:
        return coordinates._replace(heads=scaled)
    basis = coordinates.basis.copy()
    basis[..., : heads.loadings.shape[-1]] *= multiples[:, None, None]
    return Coordinates(scaled, basis)
