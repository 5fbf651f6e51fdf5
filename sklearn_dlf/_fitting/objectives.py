"""The objective of the M-step: least squares on the E-step's moments, and a noise likelihood.

An objective takes the columns of all heads of a batch, as the network's `for_loss` returns them,
and a tuple of targets, whose last one are the rows' weights (m,), of mean one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .._latent.deviations import factor_variance
from .._network.students import StudentNetwork

# Smallest variance of member noise that the noise head learns, in units of the members' mean
# variance. A smaller spread is not worth the network's capacity.
MIN_MEMBER_NOISE = 1e-4

# The ratio of the unexplained variance to the noise head's is clipped to this. One step can move
# the head by orders of magnitude at a row far from all others, whose loss would drown all else.
MAX_VARIANCE_RATIO = 100.0


class ExpectedLikelihood(nn.Module):
    """Restricted M-step: least squares on the posterior's moments, and a Gaussian noise likelihood.

    Its targets are the wanted values of the heads, as `targets` joins them (m, n_columns), and the
    weights.

    Parameters
    ----------
    network : StudentNetwork
        Network whose heads are trained. Its parameters are not the objective's.
    loadings_weight : float
        Weight of the loadings' squared error, in units of the members' mean variance, against the
        mean's squared error, in units of the variance of the members' mean over rows.
    fit_noise : bool
        Whether the noise head is trained.

    Attributes
    ----------
    metric_root : array of shape (q, q) or None
        The loadings' error is multiplied by it before it is squared. Set by the EM loop.
    """

    def __init__(self, network: StudentNetwork, loadings_weight: float, fit_noise: bool):
        super().__init__()
        self.metric_root: np.ndarray | None = None
        self.split = network.split
        self.join = network.layout.join
        self.loadings = network.layout.loadings
        self.noise_columns = network.layout.noise_columns
        self.fit_noise = fit_noise
        mean = torch.ones(1, network.n_outputs, dtype=torch.float32)
        loadings = torch.ones(1, *network.layout.loadings_shape, dtype=torch.float32)
        self.register_buffer("column_weights", self.join(mean, 0 * mean, loadings))
        # Shared loadings are part of every output, so that their error counts for all of them.
        self.n_sharing = network.n_outputs / loadings.shape[1]
        self.weigh_loadings(loadings_weight)

    def weigh_loadings(self, loadings_weight: float) -> None:
        """Set the weight of the loadings' squared error and of the noise likelihood."""
        self.loadings_weight = loadings_weight
        self.loadings(self.column_weights).fill_(loadings_weight).mul_(self.n_sharing)

    def targets(self, mean, loadings, variance):
        """Join members' mean (m, c), expected loadings (m, c or 1, q), members' variance (m, c).

        The variance takes the columns of the noise's logarithm.
        """
        heads = (torch.as_tensor(head, dtype=torch.float32) for head in (mean, variance, loadings))
        return self.join(*heads)

    def forward(self, columns, targets):
        """Return the weighted mean over rows and outputs."""
        return _ExpectedLikelihood.apply(columns, targets, self)

    def with_slope(self, columns, targets):
        """Return the weighted mean over rows and outputs, and its derivative by the columns.

        The noise head is fitted to the variance that the network's own factors leave unexplained.
        That variance counts as a constant in the derivative by the loadings. Where the ratio of the
        two variances is clipped, the derivative by the noise head is not zero.
        """
        wanted, weights = targets
        error, log_noise = columns - wanted, columns[:, self.noise_columns]
        if not self.fit_noise:  # the column is not trained, and may be infinite
            error[:, self.noise_columns] = 0.0
        if self.metric_root is not None:
            root = torch.as_tensor(self.metric_root).to(error)
            loadings_error = self.loadings(error)
            loadings_error.copy_(loadings_error @ root)
        slope = error * self.column_weights
        row_loss = error.mul_(slope).sum(dim=1)
        if self.metric_root is not None:
            loadings_slope = self.loadings(slope)
            loadings_slope.copy_(loadings_slope @ root.T)
        if self.fit_noise:
            heads = self.split(columns)
            unexplained = wanted[:, self.noise_columns] - factor_variance(
                heads.loadings, heads.mixing
            )
            ratio = unexplained.clamp_min_(MIN_MEMBER_NOISE).div_(log_noise.exp())
            ratio.clamp_max_(MAX_VARIANCE_RATIO)
            slope[:, self.noise_columns] = (1 - ratio).mul_(0.25 * self.loadings_weight)
            noise_loss = ratio.add_(log_noise).sum(dim=1)
            row_loss.add_(noise_loss, alpha=0.5 * self.loadings_weight)
        row_weights = weights / log_noise.numel()
        return row_loss @ row_weights, slope.mul_(2 * row_weights[:, None])


class _ExpectedLikelihood(torch.autograd.Function):
    """`with_slope` as an operation of autograd, for objectives that contain this one."""

    @staticmethod
    def forward(ctx, columns, targets, objective):
        """Return the loss of a batch; keep its derivative by the columns."""
        loss, slope = objective.with_slope(columns, targets)
        ctx.save_for_backward(slope)
        return loss

    @staticmethod
    def backward(ctx, slope):
        """Return the derivative by the columns."""
        return ctx.saved_tensors[0] * slope, None, None


def class_logits(latent: torch.Tensor) -> torch.Tensor:
    """Return logits (m, K, S) of latent outputs (m, c, S); the first of two classes has zero."""
    if latent.shape[1] > 1:
        return latent
    return torch.cat([torch.zeros_like(latent), latent], dim=1)
