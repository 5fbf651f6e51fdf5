"""Pure functions of the model with full loadings: posterior, normalisation, targets, likelihood.

The ``n_members`` members of an ensemble are known at the same ``n_entries`` entries. A design point
and an output make one entry. The members are draws of

    f_i = mu + Lambda z_i + e_i,    z_i ~ N(0, I_q),    e_i ~ N(0, s2 I),         Eq. (1) [Park2025]

and the functions take their *contrasts*, ``residuals[:, i] = f_i - mean_i f_i``, Eq. (3). Contrasts
do not involve ``mu``, sum to zero over members and have ``n_members - 1`` degrees of freedom, as in
restricted maximum likelihood (REML). Equation numbers are those of ``docs/equations.md``.

Shapes, the same in all private modules: ``residuals`` (n_entries, n_members), ``loadings``
(n_entries, q), latent means (n_members, q). Only systems of size ``q x q`` and
``n_members x n_members`` are solved, in float64. Sums over entries are accumulated in blocks, so
that float32 residuals are never copied as a whole. A weight ``w`` of an entry divides its noise
variance: callers multiply the entry's row of residuals and of loadings by ``sqrt(w)``.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
.. [Tipping1999] Tipping, Bishop. "Probabilistic Principal Component Analysis". JRSS B 61, 1999.
.. [Liu1998] Liu, Rubin, Wu. "Parameter expansion to accelerate EM". Biometrika 85, 1998.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from .._utils.blocks import row_blocks

# Size of a block, in numbers. Blocks are copied to float64 one at a time. A copy takes 2 MB, small
# enough to stay in a processor's cache.
BLOCK_SIZE = 2**18

LOG_2PI = float(np.log(2 * np.pi))


class Projection(NamedTuple):
    """Products of loadings Lambda by which posterior and likelihood depend on entries, Eq. (5).

    Attributes
    ----------
    gram : array of shape (q, q)
        ``Lambda' Lambda``.
    members : array of shape (q, n_members)
        ``Lambda' residuals``.
    """

    gram: np.ndarray
    members: np.ndarray


class FullPosterior(NamedTuple):
    """Posterior of the latent variables: ``mean`` (n_members, q) and the shared ``cov`` (q, q)."""

    mean: np.ndarray
    cov: np.ndarray


class SpectralSolution(NamedTuple):
    """Maximum likelihood solution with free loadings, and its log-likelihood.

    Attributes
    ----------
    loadings : array of shape (n_entries, q)
    noise_variance : float
    log_likelihood : float
        In nats per entry and degree of freedom.
    """

    loadings: np.ndarray
    noise_variance: float
    log_likelihood: float


def _entry_blocks(rows: np.ndarray) -> Iterator[slice]:
    """Slices of rows, each of about `BLOCK_SIZE` numbers."""
    return row_blocks(len(rows), max(1, BLOCK_SIZE // rows.shape[1]))


def cross_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Product ``left' right``, a sum over entries in float64, (n_left, n_right)."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for block in _entry_blocks(right):
        rows = np.asarray(right[block], dtype=np.float64)
        # numpy takes less time for the product of an array with itself.
        others = rows if left is right else np.asarray(left[block], dtype=np.float64)
        total += others.T @ rows
    return total


def contrast_variance(residuals: np.ndarray) -> np.ndarray:
    """Unbiased variance of the members at each entry, (n_entries,). Eq. (4)."""
    variance = np.empty(len(residuals))
    for block in _entry_blocks(residuals):
        rows = np.asarray(residuals[block], dtype=np.float64)
        variance[block] = np.einsum("ji,ji->j", rows, rows)
    return variance / (residuals.shape[1] - 1)


def project(loadings: np.ndarray, residuals: np.ndarray) -> Projection:
    """Sum over entries all that the posterior and the likelihood need. Eq. (5)."""
    return Projection(cross_product(loadings, loadings), cross_product(loadings, residuals))


def _cholesky_of_precision(gram, noise_variance):
    """Cholesky factor of the precision ``I + Lambda' Lambda / s2`` (q, q), inverse of C, Eq. (6).

    It needs no jitter: the eigenvalues of the precision are at least one.
    """
    return cho_factor(np.eye(len(gram)) + gram / noise_variance, lower=True)


def posterior(projection: Projection, noise_variance: float) -> FullPosterior:
    """E-step: Gaussian posterior of every member's latent variables given all entries. Eq. (6)."""
    factor = _cholesky_of_precision(projection.gram, noise_variance)
    mean = cho_solve(factor, projection.members / noise_variance).T
    cov = cho_solve(factor, np.eye(len(projection.gram)))
    return FullPosterior(mean, cov)


def symmetric_root(moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric square root of a second moment (q, q), and the inverse of the root."""
    values, vectors = eigh(moment)
    # A posterior covariance is positive definite, and so is the second moment. Only rounding can
    # make an eigenvalue too small, where a factor explains nothing at all. The floor is the
    # rounding error of the largest eigenvalue, or the smallest normal float64 where all are zero.
    floor = max(np.finfo(np.float64).eps * values[-1], np.finfo(np.float64).tiny)
    root = np.sqrt(np.maximum(values, floor))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def normalise(latent: FullPosterior) -> tuple[FullPosterior, np.ndarray]:
    """Transform the latent variables so that their second moment is the prior's [Liu1998]. Eq. (7).

    Returns the posterior in the new coordinates and the symmetric ``transform`` T (q, q). Loadings
    times T describe the same functions: ``Lambda z = (Lambda T)(T^-1 z)``.
    """
    n_contrasts = len(latent.mean) - 1
    transform, inverse = symmetric_root(latent.mean.T @ latent.mean / n_contrasts + latent.cov)
    return FullPosterior(latent.mean @ inverse, inverse @ latent.cov @ inverse), transform


def expected_loadings(residuals: np.ndarray, latent_mean: np.ndarray) -> np.ndarray:
    """Regress the residuals on the latent means: the M-step's targets (n_entries, q). Eq. (8).

    With a normalised posterior the expected complete log-likelihood is, up to a constant, minus the
    squared distance of the loadings to these targets over ``2 s2``. The targets have the precision
    of the residuals.
    """
    n_contrasts = len(latent_mean) - 1
    return residuals @ (latent_mean / n_contrasts).astype(residuals.dtype)


def expected_residual_variance(
    variance: np.ndarray, targets: np.ndarray, loadings: np.ndarray
) -> np.ndarray:
    """Expected squared contrast that the factors leave at each entry, (n_entries,). Eq. (9).

    ``v_j - 2 a_j' lambda_j + lambda_j' lambda_j`` under a normalised posterior, where v is
    ``variance`` and a are the ``targets``.
    """
    explained = np.empty(len(variance))
    for block in _entry_blocks(loadings):
        double = 2.0 * targets[block] - loadings[block]
        explained[block] = np.einsum("jq,jq->j", loadings[block], double, dtype=np.float64)
    return variance - explained


def restricted_log_likelihood(
    projection: Projection, total_variance: float, noise_variance: float, n_entries: int
) -> float:
    """Log-likelihood of the contrasts, in nats per entry and degree of freedom. Eq. (10).

    The density is that of ``N(0, Lambda Lambda' + s2 I)``, with determinant and inverse by the
    Woodbury identities. ``total_variance`` is the sum of `contrast_variance` over entries.
    """
    n_contrasts = projection.members.shape[1] - 1
    factor = _cholesky_of_precision(projection.gram, noise_variance)
    log_det = n_entries * np.log(noise_variance) + 2 * np.log(np.diag(factor[0])).sum()
    explained = np.sum(projection.members * cho_solve(factor, projection.members)) / noise_variance
    quadratic = (total_variance - explained / n_contrasts) / noise_variance
    return float(-0.5 * (LOG_2PI + (log_det + quadratic) / n_entries))


def member_log_likelihood(
    loadings: np.ndarray, deviations: np.ndarray, noise_variance: np.ndarray
) -> float:
    """Log-likelihood of members around a known mean, in nats per entry and member. Eq. (11).

    The density is that of ``N(0, Lambda Lambda' + diag(noise_variance))``. ``deviations``
    (n_entries, n_members) need not sum to zero; ``noise_variance`` is (n_entries,).
    """
    n_entries, n_members = deviations.shape
    root = np.sqrt(noise_variance)[:, None]
    loadings, deviations = loadings / root, deviations / root
    gram, projected = project(loadings, deviations)
    factor = _cholesky_of_precision(gram, 1.0)
    log_det = np.log(noise_variance).sum() + 2 * np.log(np.diag(factor[0])).sum()
    explained = np.sum(projected * cho_solve(factor, projected))
    quadratic = (np.sum(deviations**2) - explained) / n_members
    return float(-0.5 * (LOG_2PI + (log_det + quadratic) / n_entries))


def spectral_solution(residuals: np.ndarray, q: int, noise_floor: float = 0.0) -> SpectralSolution:
    """Probabilistic PCA of the members by their Gram matrix [Tipping1999]. Eqs. (12) and (13).

    The loadings are free at every entry. The log-likelihood is therefore an upper bound of what any
    network reaches at these entries, with a constant noise variance of at least ``noise_floor``.
    Takes O(n_members^2 n_entries) operations.
    """
    n_entries, n_members = residuals.shape
    values, vectors = eigh(cross_product(residuals, residuals) / (n_members - 1))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    noise_variance = max(values[q:].sum() / (n_entries - q), noise_floor)
    leading = values[:q]
    rotation = spectral_rotation(leading, vectors[:, :q], noise_variance)
    loadings = residuals @ rotation.astype(residuals.dtype)
    # The sign of an eigenvector depends on the order of the members. The sign of the largest
    # loading does not: it is made positive.
    loadings *= np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(q)])
    used = np.maximum(leading, noise_variance)  # t_k of Eq. (13)
    log_det = np.log(used).sum() + (n_entries - q) * np.log(noise_variance)
    quadratic = (leading / used).sum() + values[q:].sum() / noise_variance
    log_likelihood = -0.5 * (LOG_2PI + (log_det + quadratic) / n_entries)
    return SpectralSolution(loadings, float(noise_variance), float(log_likelihood))


def spectral_rotation(values: np.ndarray, vectors: np.ndarray, noise_variance: float) -> np.ndarray:
    """Return the matrix (n_members, q) that turns members' deviations into loadings. Eq. (12).

    Takes the q largest eigenvalues l of the members' covariance, and eigenvectors u
    (n_members, q) of their Gram matrix. ``R u / sqrt((n - 1) l)`` has unit length. A factor below
    the noise has zero loadings.
    """
    gain = np.sqrt(np.maximum(values - noise_variance, 0.0))
    norm = np.sqrt((len(vectors) - 1) * np.maximum(values, np.finfo(np.float64).tiny))
    return vectors * (gain / norm)
