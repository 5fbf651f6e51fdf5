"""Pure functions of the latent factor model: posterior, normalisation, likelihood, draws.

The ``n_members`` members of an ensemble, each seen at the same entries (a design point and an
output are one entry; there are ``n_entries``), are draws of

    f_i = mu + Lambda z_i + e_i,    z_i ~ N(0, I_q),    e_i ~ N(0, s2 I)          [Park2025]

Everything here works on *contrasts*, ``residuals[:, i] = f_i - mean_i f_i``, which do not involve
``mu``, sum to zero over members and carry ``n_members - 1`` degrees of freedom (as in REML).

Shapes, the same throughout the package's inside: ``residuals`` (n_entries, n_members),
``loadings`` (n_entries, q), latent means (n_members, q). Only ``q x q`` and
``n_members x n_members`` systems are ever solved, in float64; long sums over entries are
accumulated in blocks, so that float32 residuals are never copied as a whole. A weight ``w`` on an
entry divides its noise variance: callers multiply that entry's row of residuals and loadings by
``sqrt(w)``.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
.. [Tipping1999] Tipping, Bishop. "Probabilistic Principal Component Analysis". JRSS B 61, 1999.
.. [Liu1998] Liu, Rubin, Wu. "Parameter expansion to accelerate EM". Biometrika 85, 1998.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from .._utils.blocks import row_blocks

# Numbers of a block whose float64 copy is made at a time, 2 MB: it stays near the processor.
BLOCK_SIZE = 2**18

LOG_2PI = float(np.log(2 * np.pi))


class Projection(NamedTuple):
    """All that loadings Lambda tell of the members.

    Attributes
    ----------
    gram : array of shape (q, q)
        ``Lambda' Lambda``.
    members : array of shape (q, n_members)
        ``Lambda' residuals``.
    """

    gram: np.ndarray
    members: np.ndarray


class Posterior(NamedTuple):
    """Posterior of the latent variables: ``mean`` (n_members, q) and the shared ``cov`` (q, q)."""

    mean: np.ndarray
    cov: np.ndarray


class Spectral(NamedTuple):
    """Maximum likelihood with free loadings, and the log-likelihood it reaches."""

    loadings: np.ndarray
    noise_variance: float
    log_likelihood: float


def _blocks(rows):
    """Slices of rows that are copied at a time."""
    return row_blocks(len(rows), max(1, BLOCK_SIZE // rows.shape[1]))


def cross_product(left, right):
    """Sum over entries of ``left' right`` in float64, (n_left, n_right)."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for block in _blocks(right):
        rows = np.asarray(right[block], dtype=np.float64)
        # numpy takes less time for the product of an array with itself.
        others = rows if left is right else np.asarray(left[block], dtype=np.float64)
        total += others.T @ rows
    return total


def contrast_variance(residuals):
    """Unbiased variance of the members at each entry, (n_entries,)."""
    variance = np.empty(len(residuals))
    for block in _blocks(residuals):
        rows = np.asarray(residuals[block], dtype=np.float64)
        variance[block] = np.einsum("ji,ji->j", rows, rows)
    return variance / (residuals.shape[1] - 1)


def project(loadings, residuals):
    """All that the posterior and the likelihood need of the entries."""
    return Projection(cross_product(loadings, loadings), cross_product(loadings, residuals))


def _cholesky_of_precision(gram, noise_variance):
    """Cholesky factor of ``I + Lambda' Lambda / s2`` (q, q); its eigenvalues are at least one."""
    return cho_factor(np.eye(len(gram)) + gram / noise_variance, lower=True)


def posterior(projection, noise_variance):
    """E-step: Gaussian posterior of every member's latent variables given all its entries."""
    factor = _cholesky_of_precision(projection.gram, noise_variance)
    mean = cho_solve(factor, projection.members / noise_variance).T
    cov = cho_solve(factor, np.eye(len(projection.gram)))
    return Posterior(mean, cov)


def symmetric_root(moment):
    """Symmetric square root of a second moment (q, q), and the inverse of the root."""
    values, vectors = eigh(moment)
    # A posterior covariance is positive definite, so the second moment is; the floor only guards
    # against rounding where a factor explains nothing at all.
    floor = max(np.finfo(np.float64).eps * values[-1], np.finfo(np.float64).tiny)
    root = np.sqrt(np.maximum(values, floor))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def normalise(latent):
    """Rotate and scale the latent variables until their second moment is the prior's [Liu1998].

    Returns the posterior in the new coordinates and the symmetric ``transform`` C (q, q). Loadings
    times C describe the same functions: ``Lambda z = (Lambda C)(C^-1 z)``.
    """
    n_contrasts = len(latent.mean) - 1
    transform, inverse = symmetric_root(latent.mean.T @ latent.mean / n_contrasts + latent.cov)
    return Posterior(latent.mean @ inverse, inverse @ latent.cov @ inverse), transform


def expected_loadings(residuals, latent_mean):
    """Regression of the residuals on the latent means: the M-step's targets (n_entries, q).

    With a normalised posterior the expected complete log-likelihood is, up to a constant, minus the
    squared distance of the loadings to these targets. The residuals' precision is kept.
    """
    n_contrasts = len(latent_mean) - 1
    return residuals @ (latent_mean / n_contrasts).astype(residuals.dtype)


def expected_residual_variance(variance, targets, loadings):
    """Expected squared contrast left at each entry by the factors, (n_entries,).

    ``v_j - 2 a_j' lambda_j + lambda_j' lambda_j`` under a normalised posterior; ``variance`` is v.
    """
    explained = np.empty(len(variance))
    for block in _blocks(loadings):
        along = 2.0 * targets[block] - loadings[block]
        explained[block] = np.einsum("jq,jq->j", loadings[block], along, dtype=np.float64)
    return variance - explained


def restricted_log_likelihood(projection, total_variance, noise_variance, n_entries):
    """Log-likelihood of the contrasts, in nats per entry and degree of freedom.

    Under ``N(0, Lambda Lambda' + s2 I)``; determinant and inverse by the Woodbury identities.
    ``total_variance`` is the sum over entries of `contrast_variance`.
    """
    n_contrasts = projection.members.shape[1] - 1
    factor = _cholesky_of_precision(projection.gram, noise_variance)
    log_det = n_entries * np.log(noise_variance) + 2 * np.log(np.diag(factor[0])).sum()
    explained = np.sum(projection.members * cho_solve(factor, projection.members)) / noise_variance
    quadratic = (total_variance - explained / n_contrasts) / noise_variance
    return float(-0.5 * (LOG_2PI + (log_det + quadratic) / n_entries))


def member_log_likelihood(loadings, deviations, noise_variance):
    """Log-likelihood of members around a known mean, in nats per entry and member.

    Under ``N(0, Lambda Lambda' + diag(noise_variance))``; ``deviations`` (n_entries, n_members)
    need not sum to zero, ``noise_variance`` is (n_entries,).
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


def spectral_solution(residuals, q, noise_floor=0.0):
    """Probabilistic PCA of the members by their Gram matrix [Tipping1999].

    The loadings are free at every entry, so the log-likelihood is an upper bound of what any
    network reaches at these entries with constant noise of at least ``noise_floor``. Takes
    O(n_members^2 n_entries) operations; returns a `Spectral`.
    """
    n_entries, n_members = residuals.shape
    values, vectors = eigh(cross_product(residuals, residuals) / (n_members - 1))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    noise_variance = max(values[q:].sum() / (n_entries - q), noise_floor)
    leading, vectors = values[:q], vectors[:, :q]
    # Unit directions are R v / sqrt((n - 1) l); a factor below the noise has no loadings.
    gain = np.sqrt(np.maximum(leading - noise_variance, 0.0))
    norm = np.sqrt((n_members - 1) * np.maximum(leading, np.finfo(np.float64).tiny))
    loadings = residuals @ (vectors * (gain / norm)).astype(residuals.dtype)
    # The sign of an eigenvector follows the order of the members; that of the largest loading does
    # not.
    loadings *= np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(q)])
    used = np.maximum(leading, noise_variance)
    log_det = np.log(used).sum() + (n_entries - q) * np.log(noise_variance)
    quadratic = (leading / used).sum() + values[q:].sum() / noise_variance
    log_likelihood = -0.5 * (LOG_2PI + (log_det + quadratic) / n_entries)
    return Spectral(loadings, float(noise_variance), float(log_likelihood))
