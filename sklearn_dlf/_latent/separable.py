"""Pure functions of the separable latent factor model, the paper's for several outputs.

The members of an ensemble, seen at ``n_rows`` design points with ``n_outputs`` outputs each, are

    R_i = L Z_i Phi' + E_i,    Z_i (n_outputs, q) and E_i / s standard normal            [Park2025]

with ``R_i`` (n_outputs, n_rows) the member's contrasts, a ``mixing`` L (n_outputs, n_outputs) that
is the same at all design points, and ``loadings`` Phi (n_rows, q). A member's covariance is
``Phi Phi' (x) L L' + s2 I``. It is diagonal in the Kronecker product of the eigenvectors of
``Phi' Phi`` and ``L' L``: O(q^3 + n_outputs^3) operations, and nothing of the size of
``q n_outputs`` squared is ever formed.

Posterior of Z. In that basis its precisions are ``1 + a_k g_l / s2`` for the eigenvalues a of
``L' L`` and g of ``Phi' Phi``.

Parameter expansion. With ``Z_i ~ MN(0, Omega, Gamma)`` the functions are those of ``L Omega^1/2``
and ``Phi Gamma^1/2``. The posterior's second moment is no Kronecker product in general, so that no
pair makes all of it the prior's; but each of Omega given Gamma and Gamma given Omega has a closed
form that maximises the expected likelihood of Z, and one after the other is a conditional
maximisation that never lowers the likelihood of the members [Liu1998]_ [Dutilleul1999]_.

Residuals are (n_rows, n_outputs, n_members), float32 or float64; the rest is float64. Weights of
rows are those of `_latent`.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
.. [Liu1998] Liu, Rubin, Wu. "Parameter expansion to accelerate EM". Biometrika 85, 1998.
.. [Dutilleul1999] Dutilleul. "The MLE algorithm for the matrix normal distribution". Journal of
   Statistical Computation and Simulation 64, 1999.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from .full import LOG_2PI, cross_product, symmetric_root

EPSILON, TINY = np.finfo(np.float64).eps, np.finfo(np.float64).tiny


class Posterior(NamedTuple):
    """Posterior of every Z_i: its ``mean`` (n_members, n_outputs, q), and what is around it.

    That is ``left W right'`` for all members, W (n_outputs, q) of independent normals of the given
    ``variance`` (n_outputs, q).
    """

    mean: np.ndarray
    left: np.ndarray
    right: np.ndarray
    variance: np.ndarray

    def left_moment(self, metric):
        """``E[Z metric Z']`` over the contrasts of the members, (n_outputs, n_outputs)."""
        around = self.variance @ _quadratic_forms(self.right, metric)
        between = np.tensordot(self.mean @ metric, self.mean, axes=((0, 2), (0, 2)))
        return between / (len(self.mean) - 1) + (self.left * around) @ self.left.T

    def right_moment(self, metric):
        """``E[Z' metric Z]`` over the contrasts of the members, (q, q)."""
        around = _quadratic_forms(self.left, metric) @ self.variance
        between = np.tensordot(metric @ self.mean, self.mean, axes=((0, 1), (0, 1)))
        return between / (len(self.mean) - 1) + (self.right * around) @ self.right.T

    def transform(self, left, right):
        """Posterior of ``left Z right``."""
        return Posterior(
            left @ self.mean @ right, left @ self.left, right.T @ self.right, self.variance
        )


def _quadratic_forms(vectors, metric):
    """``v' metric v`` of every column v."""
    return np.einsum("ak,ak->k", vectors, metric @ vectors)


def project(loadings, residuals):
    """``R_i Phi`` of every member, (n_members, n_outputs, q): the only look at all rows."""
    n_rows, n_outputs, n_members = residuals.shape
    projection = cross_product(loadings, residuals.reshape(n_rows, -1))
    projection = projection.reshape(-1, n_outputs, n_members)
    return np.ascontiguousarray(projection.transpose(2, 1, 0))


class Eigenbasis(NamedTuple):
    """Where the members' covariance is diagonal, and the members in it.

    Attributes
    ----------
    left : array of shape (n_outputs, n_outputs)
        Eigenvectors of ``L' L``.
    right : array of shape (q, q)
        Eigenvectors of ``Phi' Phi``.
    values : array of shape (n_outputs, q)
        Products of their eigenvalues.
    members : array of shape (n_members, n_outputs, q)
        ``left' L' R_i Phi right``.
    """

    left: np.ndarray
    right: np.ndarray
    values: np.ndarray
    members: np.ndarray


def eigenbasis(mixing, gram, projection):
    """Eigenbasis of a model, from ``gram`` Phi' Phi and the members' `project`."""
    left_values, left = eigh(mixing.T @ mixing)
    right_values, right = eigh(gram)
    values = np.outer(np.maximum(left_values, 0.0), np.maximum(right_values, 0.0))
    return Eigenbasis(left, right, values, (mixing @ left).T @ projection @ right)


def posterior(basis, noise_variance):
    """E-step: posterior of every Z_i."""
    left, right, values, members = basis
    variance = 1.0 / (1.0 + values / noise_variance)
    mean = members * (variance / noise_variance)
    return Posterior(left @ mean @ right.T, left, right, variance)


def restricted_log_likelihood(basis, total_variance, noise_variance, n_rows):
    """Log-likelihood of the contrasts, in nats per entry and degree of freedom.

    ``total_variance`` is the sum over entries of `_latent.contrast_variance`.
    """
    n_members, n_outputs, _ = basis.members.shape
    n_entries = n_rows * n_outputs
    precision = 1.0 + basis.values / noise_variance
    along = np.square(basis.members).sum(axis=0)
    log_det = n_entries * np.log(noise_variance) + np.log(precision).sum()
    explained = np.sum(along / precision) / (noise_variance * (n_members - 1))
    quadratic = (total_variance - explained) / noise_variance
    return float(-0.5 * (LOG_2PI + (log_det + quadratic) / n_entries))


def normalise(latent):
    """Set the second moments of Z over each side to the prior's, outputs first.

    Returns the posterior in the new coordinates, Omega^1/2 (n_outputs, n_outputs), by which L is
    multiplied from the right, and Gamma^1/2 (q, q), by which Phi is.
    """
    _, n_outputs, q = latent.mean.shape
    left, left_inverse = symmetric_root(latent.left_moment(np.eye(q)) / q)
    moment = latent.right_moment(left_inverse @ left_inverse) / n_outputs
    right, right_inverse = symmetric_root(moment)
    return latent.transform(left_inverse, right_inverse), left, right


def _cholesky(moment):
    """Cholesky factor of a moment, positive definite but for rounding or where nothing is left."""
    jitter = EPSILON * np.trace(moment) + TINY
    return cho_factor(moment + jitter * np.eye(len(moment)))


def expected_loadings(residuals, latent, mixing):
    """M-step's targets of the loadings (n_rows, q), and the metric of their error (q, q).

    The expected squared error of a row is, up to a constant, ``(phi - target)' metric (phi -
    target)`` summed over outputs. The residuals' precision is kept.
    """
    n_rows, n_outputs, n_members = residuals.shape
    metric = latent.right_moment(mixing.T @ mixing)
    weights = (mixing @ latent.mean).transpose(1, 0, 2).reshape(n_outputs * n_members, -1)
    weights = cho_solve(_cholesky(metric), weights.T / (n_members - 1)).T
    return residuals.reshape(n_rows, -1) @ weights.astype(residuals.dtype), metric


def expected_mixing(latent, gram, projection):
    """M-step of the mixing, and the variance that it explains of the contrasts' total."""
    cross = np.tensordot(projection, latent.mean, axes=((0, 2), (0, 2))) / (len(projection) - 1)
    mixing = cho_solve(_cholesky(latent.left_moment(gram)), cross.T).T
    return mixing, float(np.sum(mixing * cross))


def rough_solution(residuals, q):
    """First mixing, loadings and noise variance, from the truncated higher-order SVD.

    The leading ``q`` pairs of a direction of outputs and one of members give the loadings, and the
    outputs' covariance the mixing; half of the variance is taken for noise.
    """
    n_rows, n_outputs, n_members = residuals.shape
    flat = residuals.reshape(n_rows, -1)
    by_member = residuals.reshape(-1, n_members)
    member_values, member_vectors = eigh(cross_product(by_member, by_member))
    # Outputs' covariance from the rows' mean over members of r r', summed one member at a time.
    output_gram = sum(cross_product(part, part) for part in np.moveaxis(residuals, -1, 0))
    output_values, output_vectors = eigh(output_gram)
    pairs = np.outer(np.maximum(output_values, 0.0), np.maximum(member_values, 0.0))
    leading = np.unravel_index(np.argsort(pairs, axis=None)[::-1][:q], pairs.shape)
    directions = output_vectors[:, None, leading[0]] * member_vectors[None, :, leading[1]]
    loadings = flat @ directions.reshape(-1, q).astype(residuals.dtype)

    variance = np.trace(output_gram) / (n_members - 1)
    loadings *= np.sqrt(0.5 * variance / (n_outputs * max(np.square(loadings).sum(), TINY)))
    mixing = symmetric_root(output_gram)[0]
    mixing *= np.sqrt(n_outputs / max(np.square(mixing).sum(), TINY))
    return mixing, loadings, 0.5 * variance / (n_rows * n_outputs)
