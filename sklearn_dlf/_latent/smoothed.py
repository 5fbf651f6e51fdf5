"""A law of the latent variables that keeps what is not Gaussian in them: a smoothed bootstrap.

The posterior means ``z_i`` of the members are standardised, so that they have mean zero and
identity covariance. A draw is ``(z_i + b e) / sqrt(1 + b^2)``, factor by factor, with a member
``i`` chosen at random and standard normal ``e``, Eq. (35). It has mean zero and identity covariance
as well. Factors are in the order of their variances ``d_k``, and ``b_k = h d_1 / d_k``: what is
small in the functions is Gaussian. The Gaussian law is the limit of a large ``h``.

Equation numbers are those of ``docs/equations.md``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.special import logsumexp, ndtr

# Bandwidths that are compared. Below the first, members would be copied.
BANDWIDTHS = np.geomspace(0.05, 5.0, 24)

# Directions, and draws of the statistic, of the test of normality.
N_DIRECTIONS, N_SIMULATIONS = 3, 500


class LatentLaw(NamedTuple):
    """A mixture of normals with equal weights, mean zero and identity covariance.

    Attributes
    ----------
    centers : array of shape (n_members, q)
        Means of the normals.
    std : array of shape (q,)
        Their standard deviations, the same for all.
    """

    centers: np.ndarray
    std: np.ndarray

    def draw(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw latent variables (q, n_samples). Each member is chosen about as often as others."""
        n_members = len(self.centers)
        n_each, n_rest = divmod(n_samples, n_members)
        rest = random_state.permutation(n_members)[:n_rest]
        chosen = np.concatenate([np.repeat(np.arange(n_members), n_each), rest])
        noise = random_state.standard_normal((n_samples, len(self.std)))
        draws = self.centers[chosen] + self.std * noise
        return draws[random_state.permutation(n_samples)].T


def standardise(latent: np.ndarray) -> np.ndarray:
    """Return latent variables (n_members, q) with mean zero and identity covariance.

    What a factor has in common with those before it is removed. Factors come in the order of their
    variances, so that those that the functions hardly use do not touch the others.
    """
    n_members = len(latent)
    orthonormal, triangle = np.linalg.qr(np.column_stack([np.ones(n_members), latent]))
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)
    return np.sqrt(n_members) * (orthonormal * signs)[:, 1:]


def smoothed_law(latent: np.ndarray, variances: np.ndarray) -> tuple[LatentLaw, float]:
    """Return the law of the best bandwidth, and its gain over the Gaussian, in nats.

    The gain is the logarithm of the likelihood ratio of all members, each under the law of the
    others. It is about zero, or below, for Gaussian members.

    Parameters
    ----------
    latent : array of shape (n_members, q)
        Standardised latent variables.
    variances : array of shape (q,)
        Variances of the functions along the factors, largest first.
    """
    least = np.finfo(np.float64).eps * variances.max()
    ratios = variances.max() / np.maximum(variances, least)
    gains = [_gain(latent, h * ratios) for h in BANDWIDTHS]
    best = int(np.argmax(gains))
    width = BANDWIDTHS[best] * ratios
    shrink = np.sqrt(1 + width**2)
    return LatentLaw(latent / shrink, width / shrink), float(gains[best])


def _gain(latent: np.ndarray, width: np.ndarray) -> float:
    """Log-likelihood of members under the law of the others less that under the Gaussian."""
    shrink = np.sqrt(1 + width**2)
    std = width / shrink
    scaled, centers = latent / std, latent / width  # the latter: centers in units of std
    squares = np.square(scaled).sum(axis=1)[:, None] + np.square(centers).sum(axis=1)
    exponents = -0.5 * np.maximum(squares - 2 * scaled @ centers.T, 0.0)
    np.fill_diagonal(exponents, -np.inf)
    densities = logsumexp(exponents, axis=1) - np.log(len(latent) - 1) - np.log(std).sum()
    return float((densities + 0.5 * np.square(latent).sum(axis=1)).sum())


def normality_p_value(latent: np.ndarray, random_state: np.random.RandomState) -> float:
    """P-value of the normality of standardised latent variables (n_members, q).

    The statistic is the largest of Anderson and Darling's along the first three factors. Its
    distribution is that of normal variables which were standardised in the same way.
    """
    n_members, q = latent.shape
    statistic = _anderson_darling(latent[:, :N_DIRECTIONS])
    simulated = [
        _anderson_darling(
            standardise(random_state.standard_normal((n_members, q)))[:, :N_DIRECTIONS]
        )
        for _ in range(N_SIMULATIONS)
    ]
    return float((1 + np.count_nonzero(np.array(simulated) >= statistic)) / (1 + N_SIMULATIONS))


def _anderson_darling(columns: np.ndarray) -> float:
    """Return the largest statistic of columns (n, k) against the standard normal."""
    n = len(columns)
    ordered = np.sort(columns, axis=0)
    tails = (
        np.log(np.maximum(ndtr(ordered), 1e-300)),
        np.log(np.maximum(ndtr(-ordered[::-1]), 1e-300)),
    )
    ranks = (2 * np.arange(1, n + 1) - 1)[:, None]
    return float((-n - (ranks * (tails[0] + tails[1])).mean(axis=0)).max())


def law_log_likelihood(loadings: np.ndarray, deviations: np.ndarray, law: LatentLaw) -> float:
    """Log-likelihood of members under a law, in nats per entry and member.

    Parameters
    ----------
    loadings : array of shape (n_entries, q)
        Loadings at entries whose own noise is standard normal and independent.
    deviations : array of shape (n_entries, n_members)
        Members less their mean.
    law : LatentLaw
        Law of the latent variables.
    """
    n_entries, q = loadings.shape
    scaled = loadings * law.std
    root = cholesky(np.eye(q) + scaled.T @ scaled, lower=True)
    means = loadings @ law.centers.T  # (n_entries, n_components)

    def product(left, right):
        projected = cho_solve((root, True), scaled.T @ right)
        return left.T @ right - (scaled.T @ left).T @ projected

    own = np.square(deviations).sum(axis=0)
    own = own - np.einsum(
        "km,km->m", scaled.T @ deviations, cho_solve((root, True), scaled.T @ deviations)
    )
    of_means = np.diag(product(means, means))
    squares = own[:, None] - 2 * product(deviations, means) + of_means
    densities = logsumexp(-0.5 * squares, axis=1) - np.log(len(law.centers))
    log_det = 2 * np.log(np.diag(root)).sum()
    constant = 0.5 * (log_det + n_entries * np.log(2 * np.pi))
    return float((densities - constant).mean() / n_entries)
