"""Objectives of the published algorithm: likelihoods of all members' values [Park2025].

.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .._network.students import StudentNetwork
from .._utils.seeding import Draws


class MemberLikelihood(nn.Module):
    """Gaussian likelihood of all members' values, with a constant noise variance that is learnt.

    Its targets are the members' outputs (m, c, n_members), in units of the mean head, and the
    weights (m,).

    Parameters
    ----------
    network : StudentNetwork
        Network whose heads are trained.
    spread_scale : array of shape (n_outputs,)
        Unit of the loadings, the members' spread, in units of the mean head.
    noise_variance : float
        First value of the noise variance, in units of the members' mean variance.
    """

    def __init__(
        self, network: StudentNetwork, spread_scale: np.ndarray, noise_variance: float = 1.0
    ):
        super().__init__()
        self.split = network.split
        scale = torch.as_tensor(np.asarray(spread_scale), dtype=torch.float32)
        self.register_buffer("spread_scale", scale[:, None])
        self.log_noise_variance = nn.Parameter(
            torch.tensor(float(np.log(noise_variance)), dtype=torch.float32)
        )

    @property
    def noise_variance(self):
        """Noise variance as learnt so far, in units of the members' mean variance."""
        return float(self.log_noise_variance.detach().exp())

    def _residuals(self, heads, members):
        """Members less the network's mean, in units of their spread."""
        return (members - heads.mean[..., None]) / self.spread_scale

    def _negative_log_likelihood(self, squared_error, weights):
        """Return it per entry; ``squared_error`` (m, c) is a mean over members."""
        scaled = squared_error * torch.exp(-self.log_noise_variance)
        return 0.5 * ((scaled.mean(dim=1) * weights).mean() + self.log_noise_variance)


class MinibatchLikelihood(MemberLikelihood):
    """The published M-step: its posterior is that given the mini-batch alone."""

    def forward(self, columns, targets):
        """Return the negative expected complete log-likelihood per entry."""
        members, weights = targets
        heads = self.split(columns)
        residuals = self._residuals(heads, members)
        with torch.no_grad():
            root = weights.sqrt()[:, None, None]
            latent_mean, latent_cov = self._posterior(root * heads.loadings, root * residuals)
        fitted = heads.loadings @ latent_mean
        squared_error = (residuals - fitted).square().mean(dim=-1)
        squared_error = squared_error + ((heads.loadings @ latent_cov) * heads.loadings).sum(dim=-1)
        return self._negative_log_likelihood(squared_error, weights)

    def _posterior(self, loadings, residuals):
        """Return latent means (q, n_members) and covariance (q, q) given the batch."""
        loadings = loadings.flatten(0, 1).double()
        residuals = residuals.flatten(0, 1).double()
        noise_variance = self.log_noise_variance.double().exp()
        identity = torch.eye(loadings.shape[1], dtype=torch.float64, device=loadings.device)
        factor = torch.linalg.cholesky(identity + loadings.T @ loadings / noise_variance)
        mean = torch.cholesky_solve(loadings.T @ residuals / noise_variance, factor)
        return mean.float(), torch.cholesky_solve(identity, factor).float()


class PenalisedLikelihood(MemberLikelihood):
    """The published start: free latent variables under a penalty on their distance to the prior.

    Parameters
    ----------
    network, spread_scale
        As in `MemberLikelihood`.
    n_members, q : int
        Shape of the free latent variables.
    mmd_weight : float
        Weight of the squared maximum mean discrepancy between them and standard normal draws.
    n_entries : int
        Design points times outputs. The prior of the latent variables is divided by it, as the
        likelihood is a mean per entry.
    draws : Draws, default=None
        Generators of the first latent variables and of the prior's draws; None is torch's own.
    """

    def __init__(
        self,
        network: StudentNetwork,
        spread_scale: np.ndarray,
        n_members: int,
        q: int,
        mmd_weight: float,
        n_entries: int,
        draws: Draws | None = None,
    ):
        super().__init__(network, spread_scale)
        self.draws = draws or Draws()
        latent = torch.empty(n_members, q, dtype=torch.float32)
        self.latent = nn.Parameter(latent.normal_(generator=self.draws.cpu))
        self.mmd_weight = mmd_weight
        self.n_entries = n_entries

    def forward(self, columns, targets):
        """Return the negative complete log-likelihood per entry, with the penalty."""
        members, weights = targets
        heads = self.split(columns)
        residuals = self._residuals(heads, members)
        squared_error = (residuals - heads.loadings @ self.latent.T).square().mean(dim=-1)
        prior = 0.5 * self.latent.square().sum(dim=1).mean() / self.n_entries
        prior_draws = torch.empty_like(self.latent).normal_(generator=self.draws.device)
        penalty = squared_mmd(self.latent, prior_draws)
        likelihood = self._negative_log_likelihood(squared_error, weights)
        return likelihood + prior + self.mmd_weight * penalty


def squared_mmd(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the squared maximum mean discrepancy of two sets (n, q), by a Gaussian kernel.

    The squared bandwidth is ``2 q``, the mean squared distance of two standard normal draws. Pairs
    of a point with itself are left out, which makes the estimate unbiased.
    """
    n, q = left.shape

    def kernel(a, b):
        return torch.exp(-torch.cdist(a, b).square() / (2 * 2 * q))

    within = kernel(left, left).sum() + kernel(right, right).sum() - 2 * n
    return within / (n * (n - 1)) - 2 * kernel(left, right).mean()
