"""Pure functions of the model with separable loadings, the published one for several outputs.

The members of an ensemble are known at ``n_rows`` design points with ``n_outputs`` outputs each.
They are draws of

    R_i = L Z_i Phi' + E_i,   Z_i (n_outputs, q) and E_i / s standard normal,    Eq. (16) [Park2025]

with the member's contrasts ``R_i`` (n_outputs, n_rows), a ``mixing`` L (n_outputs, n_outputs) that
is the same at all design points, and ``loadings`` Phi (n_rows, q). Equation numbers are those of
``docs/equations.md``.

Covariance. A member's covariance is ``Phi Phi' (x) L L' + s2 I``, Eq. (17). All algebra is done in
the Kronecker product of the eigenvectors of ``Phi' Phi`` and ``L' L``, where the covariance is
diagonal. This takes O(q^3 + n_outputs^3 + n_members n_outputs q (n_outputs + q)) operations, and no
array has the size of ``q n_outputs`` squared.

Posterior of Z. Its precisions in this basis are ``1 + a_k g_l / s2`` for the eigenvalues a of
``L' L`` and g of ``Phi' Phi``, Eqs. (18) and (19).

Parameter expansion. With ``Z_i ~ MN(0, Omega, Gamma)`` the functions are those of ``L Omega^1/2``
and ``Phi Gamma^1/2``. In general the posterior's second moment is not a Kronecker product, and then
no pair makes all of it the prior's. But Omega given Gamma, and Gamma given Omega, each have a
closed form that maximises the expected likelihood of Z. One after the other is a conditional
maximisation that never lowers the likelihood of the members [Liu1998]_ [Dutilleul1999]_, Eq. (22).

Residuals are (n_rows, n_outputs, n_members), in float32 or float64. All else is float64. Rows are
weighted as in the module ``full``.

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

# Relative rounding error and smallest positive normal number of float64. They bound jitter and
# denominators from below.
EPSILON, TINY = np.finfo(np.float64).eps, np.finfo(np.float64).tiny

# Share of the members' variance that the start takes for member noise; the factors get the rest. A
# choice: the sweeps that follow move it.
START_NOISE_SHARE = 0.5


class SeparablePosterior(NamedTuple):
    """Posterior of every Z_i: ``mean`` (n_members, n_outputs, q) and a common covariance.

    The deviation of Z_i from its mean is distributed as ``left Y right'`` for every member. Y
    (n_outputs, q) has independent normal entries of ``variance`` (n_outputs, q), Eq. (19).
    ``left`` (n_outputs, n_outputs) and ``right`` (q, q) are U and W of Eq. (18) before a transform.
    """

    mean: np.ndarray
    left: np.ndarray
    right: np.ndarray
    variance: np.ndarray

    def left_moment(self, metric: np.ndarray) -> np.ndarray:
        """``E[Z metric Z']`` over the members' contrasts, (n_outputs, n_outputs). Eq. (21)."""
        around = self.variance @ _quadratic_forms(self.right, metric)
        between = np.tensordot(self.mean @ metric, self.mean, axes=((0, 2), (0, 2)))
        return between / (len(self.mean) - 1) + (self.left * around) @ self.left.T

    def right_moment(self, metric: np.ndarray) -> np.ndarray:
        """``E[Z' metric Z]`` over the members' contrasts, (q, q). Eq. (21)."""
        around = _quadratic_forms(self.left, metric) @ self.variance
        between = np.tensordot(metric @ self.mean, self.mean, axes=((0, 1), (0, 1)))
        return between / (len(self.mean) - 1) + (self.right * around) @ self.right.T

    def transform(self, left: np.ndarray, right: np.ndarray) -> SeparablePosterior:
        """Posterior of ``left Z right``."""
        return SeparablePosterior(
            left @ self.mean @ right, left @ self.left, right.T @ self.right, self.variance
        )


def _quadratic_forms(vectors, metric):
    """``v' metric v`` of every column v."""
    return np.einsum("ak,ak->k", vectors, metric @ vectors)


def project(loadings: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """``R_i Phi`` of every member, (n_members, n_outputs, q).

    Posterior, mixing and likelihood read the residuals through this product only.
    """
    n_rows, n_outputs, n_members = residuals.shape
    projection = cross_product(loadings, residuals.reshape(n_rows, -1))
    projection = projection.reshape(-1, n_outputs, n_members)
    return np.ascontiguousarray(projection.transpose(2, 1, 0))


class Eigenbasis(NamedTuple):
    """Basis in which the members' covariance is diagonal, and the members in it. Eq. (18).

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


def eigenbasis(mixing: np.ndarray, gram: np.ndarray, projection: np.ndarray) -> Eigenbasis:
    """Eigenbasis of a model, from ``gram`` Phi' Phi and the members' `project`. Eq. (18)."""
    left_values, left = eigh(mixing.T @ mixing)
    right_values, right = eigh(gram)
    values = np.outer(np.maximum(left_values, 0.0), np.maximum(right_values, 0.0))
    return Eigenbasis(left, right, values, (mixing @ left).T @ projection @ right)


def posterior(basis: Eigenbasis, noise_variance: float) -> SeparablePosterior:
    """E-step: posterior of every Z_i. Eq. (19)."""
    left, right, values, members = basis
    variance = 1.0 / (1.0 + values / noise_variance)
    mean = members * (variance / noise_variance)
    return SeparablePosterior(left @ mean @ right.T, left, right, variance)


def restricted_log_likelihood(
    basis: Eigenbasis, total_variance: float, noise_variance: float, n_rows: int
) -> float:
    """Log-likelihood of the contrasts, in nats per entry and degree of freedom. Eq. (20).

    ``total_variance`` is the sum of `full.contrast_variance` over entries.
    """
    n_members, n_outputs, _ = basis.members.shape
    n_entries = n_rows * n_outputs
    precision = 1.0 + basis.values / noise_variance
    along = np.square(basis.members).sum(axis=0)
    log_det = n_entries * np.log(noise_variance) + np.log(precision).sum()
    explained = np.sum(along / precision) / (noise_variance * (n_members - 1))
    quadratic = (total_variance - explained) / noise_variance
    return float(-0.5 * (LOG_2PI + (log_det + quadratic) / n_entries))


def normalise(
    latent: SeparablePosterior,
) -> tuple[SeparablePosterior, np.ndarray, np.ndarray]:
    """Set the second moments of Z over each side to the prior's, outputs first. Eq. (22).

    Returns the posterior in the new coordinates, Omega^1/2 (n_outputs, n_outputs), by which L is
    multiplied from the right, and Gamma^1/2 (q, q), by which Phi is multiplied from the right.
    """
    _, n_outputs, q = latent.mean.shape
    left, left_inverse = symmetric_root(latent.left_moment(np.eye(q)) / q)
    moment = latent.right_moment(left_inverse @ left_inverse) / n_outputs
    right, right_inverse = symmetric_root(moment)
    return latent.transform(left_inverse, right_inverse), left, right


def _cholesky(moment):
    """Cholesky factor of a moment, with jitter.

    A moment is positive definite except for rounding, or where the factors explain nothing. The
    jitter is the rounding error of the trace plus the smallest normal float64, for a zero moment.
    """
    jitter = EPSILON * np.trace(moment) + TINY
    return cho_factor(moment + jitter * np.eye(len(moment)))


def expected_loadings(
    residuals: np.ndarray, latent: SeparablePosterior, mixing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """M-step's targets of the loadings (n_rows, q), and the metric of their error (q, q). Eq. (24).

    The expected squared error of a row, summed over outputs, is ``(phi - target)' metric (phi -
    target)`` up to a constant. The targets have the precision of the residuals.
    """
    n_rows, n_outputs, n_members = residuals.shape
    metric = latent.right_moment(mixing.T @ mixing)
    weights = (mixing @ latent.mean).transpose(1, 0, 2).reshape(n_outputs * n_members, -1)
    weights = cho_solve(_cholesky(metric), weights.T / (n_members - 1)).T
    return residuals.reshape(n_rows, -1) @ weights.astype(residuals.dtype), metric


def expected_mixing(
    latent: SeparablePosterior, gram: np.ndarray, projection: np.ndarray
) -> tuple[np.ndarray, float]:
    """M-step of the mixing, and the part of the total variance that it explains. Eq. (25)."""
    cross = np.tensordot(projection, latent.mean, axes=((0, 2), (0, 2))) / (len(projection) - 1)
    mixing = cho_solve(_cholesky(latent.left_moment(gram)), cross.T).T
    return mixing, float(np.sum(mixing * cross))


def initial_solution(residuals: np.ndarray, q: int) -> tuple[np.ndarray, np.ndarray, float]:
    """First mixing, loadings and noise variance, by the truncated higher-order SVD. Eq. (26).

    A pair is one principal direction of outputs and one of members. The ``q`` leading pairs give
    the loadings, and the outputs' covariance gives the mixing. `START_NOISE_SHARE` of the variance
    is taken for noise.
    """
    n_rows, n_outputs, n_members = residuals.shape
    flat = residuals.reshape(n_rows, -1)
    by_member = residuals.reshape(-1, n_members)
    member_values, member_vectors = eigh(cross_product(by_member, by_member))
    # Second moment of the outputs, sum_i R_i R_i', one member at a time.
    output_gram = np.zeros((n_outputs, n_outputs))
    for part in np.moveaxis(residuals, -1, 0):
        output_gram += cross_product(part, part)
    output_values, output_vectors = eigh(output_gram)
    pairs = np.outer(np.maximum(output_values, 0.0), np.maximum(member_values, 0.0))
    leading = np.unravel_index(np.argsort(pairs, axis=None)[::-1][:q], pairs.shape)
    directions = output_vectors[:, None, leading[0]] * member_vectors[None, :, leading[1]]
    loadings = flat @ directions.reshape(-1, q).astype(residuals.dtype)

    variance = np.trace(output_gram) / (n_members - 1)
    factor_variance = (1 - START_NOISE_SHARE) * variance
    loadings *= np.sqrt(factor_variance / (n_outputs * max(np.square(loadings).sum(), TINY)))
    mixing = symmetric_root(output_gram)[0]
    mixing *= np.sqrt(n_outputs / max(np.square(mixing).sum(), TINY))  # Eq. (23)
    return mixing, loadings, START_NOISE_SHARE * variance / (n_rows * n_outputs)
