"""What loadings say of the members' spread, be they of every output or shared and mixed.

``loadings`` are (n, c, q), and a member deviates from the mean by ``loadings z`` with z (q,); or
they are (n, 1, q) beside a ``mixing`` (c, c), and it deviates by ``mixing Z loadings`` with Z
(c, q). All z and Z are standard normal. Within one row the latter is normal with covariance
``|loadings|^2 mixing mixing'``, so that c draws do there for Z's c q.
"""

from __future__ import annotations

import numpy as np


def factor_variance(loadings, mixing=None):
    """Variance of each output, (n, c); arrays or tensors."""
    variance = (loadings**2).sum(-1)
    return variance if mixing is None else variance * (mixing**2).sum(-1)


def factor_covariance(loadings, mixing=None):
    """Covariance over rows of each output, (n, n, c)."""
    covariance = np.einsum("icq,jcq->ijc", loadings, loadings, optimize=True)
    return covariance if mixing is None else covariance * np.square(mixing).sum(axis=-1)


def draw_deviations(loadings, mixing, latent):
    """Deviations (n, c, S) of members with latent variables (q, S) or (c, q, S).

    Arrays or tensors.
    """
    if mixing is None:
        return loadings @ latent
    n_outputs, q, n_members = latent.shape
    mixed = (mixing @ latent.reshape(n_outputs, -1)).reshape(latent.shape)
    mixed = mixed.swapaxes(0, 1).reshape(q, -1)
    return (loadings[:, 0] @ mixed).reshape(-1, n_outputs, n_members)


def count_dimensions(loadings, mixing=None):
    """How many normal draws a deviation within one row takes."""
    return loadings.shape[-1] if mixing is None else len(mixing)


def draw_within_rows(loadings, mixing, z):
    """Deviations (n, c, S) whose law is right in every row, of z (`count_dimensions`, S); tensors.

    With a mixing, rows take no product of their own with it.
    """
    if mixing is None:
        return (loadings.flatten(0, 1) @ z).unflatten(0, loadings.shape[:2])
    return loadings.norm(dim=-1, keepdim=True) * (mixing @ z)


def dense_loadings(loadings, mixing=None):
    """Loadings of every output, (n, c, q) or (n, c, c q), under which all is full."""
    if mixing is None:
        return loadings
    dense = np.einsum("kl,nq->nklq", mixing, loadings[:, 0])
    return dense.reshape(*dense.shape[:2], -1)
