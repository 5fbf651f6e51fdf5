"""Deviations of the members from their mean at given rows: variance, covariance and draws.

The functions take full loadings (n, c, q), without a mixing: a member deviates from the mean by
``loadings z`` with z (q,), Eq. (1). Or they take separable loadings (n, 1, q) with a ``mixing``
(c, c): a member deviates by ``mixing Z loadings`` with Z (c, q), Eq. (16). All entries of z and Z
are independent standard normals.

Member noise is in the last functions only. With several outputs it has shares (n, c, r) of factors
of its own, which are drawn anew at every row, Eq. (27). A head of the network gives the shares,
Eq. (28), fitted to what the factors leave of the members' correlations, Eq. (29).

Equation numbers are those of ``docs/equations.md``.
"""

from __future__ import annotations

import numpy as np


def factor_variance(loadings, mixing=None):
    """Variance of each output by the factors, (n, c); arrays or tensors. Eqs. (2) and (17)."""
    variance = (loadings**2).sum(-1)
    return variance if mixing is None else variance * (mixing**2).sum(-1)


def factor_covariance(loadings: np.ndarray, mixing: np.ndarray | None = None) -> np.ndarray:
    """Covariance over rows of each output by the factors, (n, n, c). Eqs. (2) and (17)."""
    covariance = np.einsum("icq,jcq->ijc", loadings, loadings, optimize=True)
    return covariance if mixing is None else covariance * np.square(mixing).sum(axis=-1)


def output_covariance(loadings: np.ndarray, mixing: np.ndarray | None = None) -> np.ndarray:
    """Covariance over a row's outputs by the factors, (n, c, c). Eqs. (2) and (17)."""
    if mixing is None:
        return loadings @ loadings.swapaxes(1, 2)
    return np.square(loadings).sum(axis=-1, keepdims=True) * (mixing @ mixing.T)


def draw_deviations(loadings, mixing, latent):
    """Deviations (n, c, S) of members whose latent variables are (q, S) or (c, q, S).

    The same latent variables hold at all rows. Takes arrays or tensors. Eqs. (1) and (16).
    """
    if mixing is None:
        return loadings @ latent
    n_outputs, q, n_members = latent.shape
    mixed = (mixing @ latent.reshape(n_outputs, -1)).reshape(latent.shape)
    mixed = mixed.swapaxes(0, 1).reshape(q, -1)
    return (loadings[:, 0] @ mixed).reshape(-1, n_outputs, n_members)


def count_dimensions(loadings, mixing=None) -> int:
    """Count the standard normals that `draw_within_rows` needs for one deviation."""
    return loadings.shape[-1] if mixing is None else len(mixing)


def draw_within_rows(loadings, mixing, z):
    """Deviations (n, c, S) from standard normals z (`count_dimensions`, S); tensors.

    The deviations at each single row have the right distribution. Their covariance between rows is
    right without a mixing only. With a mixing, c normals take the place of the c q of Z, Eq. (17),
    and the product with the mixing is computed once for all rows.
    """
    if mixing is None:
        return (loadings.flatten(0, 1) @ z).unflatten(0, loadings.shape[:2])
    return loadings.norm(dim=-1, keepdim=True) * (mixing @ z)


def dense_loadings(loadings: np.ndarray, mixing: np.ndarray | None = None) -> np.ndarray:
    """Return the full loadings that describe the same deviations, (n, c, q) or (n, c, c q)."""
    if mixing is None:
        return loadings
    dense = np.einsum("kl,nq->nklq", mixing, loadings[:, 0])
    return dense.reshape(*dense.shape[:2], -1)


def own_share(noise_shares):
    """Standard deviation (n, c) of an output's own noise relative to all of it. Eq. (27)."""
    return (1 - (noise_shares**2).sum(-1)) ** 0.5


def split_noise(
    std: np.ndarray, noise_shares: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return loadings of the shared member noise (n, c, r), or None, and each output's own std."""
    if noise_shares is None:
        return None, std
    return std[..., None] * noise_shares, std * own_share(noise_shares)
