"""The objective of the M-step: least squares on the E-step's moments, and a noise likelihood.

An objective takes the columns of all heads of a batch, as the network's `for_loss` returns them,
and a tuple of targets, whose last one are the rows' weights (m,), of mean one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

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

    column_weights: torch.Tensor

    def __init__(self, network: StudentNetwork, loadings_weight: float, fit_noise: bool):
        super().__init__()
        self.metric_root: np.ndarray | None = None
        self.split = network.split
        self.join = network.layout.join
        self.loadings = network.layout.loadings
        self.noise_columns = network.layout.noise_columns
        self.fit_noise = fit_noise
        self.n_outputs = network.n_outputs
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
        """Return the weighted mean over rows and outputs, and its derivative by the columns."""
        slope = torch.empty_like(columns)
        return self.plan(columns, targets, slope)(True), slope

    def plan(self, columns, targets, slope):
        """Return a function that writes the derivative by the columns to ``slope``.

        It reads columns and targets, whose values may change between calls, and returns the
        weighted mean over rows and outputs if its argument is true. The objective itself must not
        change in between.

        The noise head is fitted to the variance that the network's own factors leave unexplained.
        That variance counts as a constant in the derivative by the loadings. Where the ratio of the
        two variances is clipped, the derivative by the noise head is not zero.
        """
        wanted, weights = targets
        error, share = torch.empty_like(columns), 1 / (len(columns) * self.n_outputs)
        row_weights, column_weights = weights[:, None], 2 * share * self.column_weights
        noise_error, metric_root = error[:, self.noise_columns], self.metric_root
        loadings_error, loadings_slope = self.loadings(error), self.loadings(slope)
        root = None if metric_root is None else torch.as_tensor(metric_root).to(error)
        find_noise_slope = self._plan_noise(columns, wanted, slope) if self.fit_noise else None
        noise_share = 0.5 * self.loadings_weight * share

        def find_slope(with_loss):
            torch.sub(columns, wanted, out=error)
            if find_noise_slope is None:  # the column is not trained, and may be infinite
                noise_error.zero_()
            if root is not None:
                loadings_error.copy_(loadings_error @ root)
            torch.mul(error, column_weights, out=slope)
            loss = 0.5 * ((error * slope).sum(dim=1) @ weights) if with_loss else None
            if root is not None:
                loadings_slope.copy_(loadings_slope @ root.T)
            if find_noise_slope is not None:
                noise_loss = find_noise_slope(noise_share, with_loss)
                loss = loss + noise_share * (noise_loss @ weights) if with_loss else None
            slope.mul_(row_weights)
            return loss

        return find_slope

    def _plan_noise(self, columns, wanted, slope):
        """Return a function that writes the derivative by the noise head, times a number.

        It returns the loss of each row in units of this number.
        """
        heads = self.split(columns)
        wanted, slope = wanted[:, self.noise_columns], slope[:, self.noise_columns]
        squares = torch.empty_like(heads.loadings)
        ratio, noise = columns.new_empty(2, *wanted.shape)
        mixed = None if heads.mixing is None else heads.mixing.square().sum(dim=-1)

        def find_slope(share, with_loss):
            torch.mul(heads.loadings, heads.loadings, out=squares)
            explained = squares.sum(dim=-1)
            if mixed is not None:
                explained = explained * mixed
            torch.sub(wanted, explained, out=ratio).clamp_min_(MIN_MEMBER_NOISE)
            torch.exp(heads.log_noise, out=noise)
            ratio.div_(noise).clamp_max_(MAX_VARIANCE_RATIO)
            torch.mul(ratio, -share, out=slope).add_(share)
            return (ratio + heads.log_noise).sum(dim=1) if with_loss else None

        return find_slope


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
