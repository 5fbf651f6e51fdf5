"""What the student is trained to minimise: criteria of its heads, in training units.

Each takes the columns of all heads of a batch, which its student splits, and the tuple of targets
that belongs to it, whose last is the rows' weights (m,), of mean one.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from .._latent.deviations import (
    count_dimensions,
    draw_deviations,
    draw_within_rows,
    factor_variance,
)

# The smallest member noise variance that the noise head learns, in units of the members' mean
# variance: below it spread is not worth the network's attention.
MIN_MEMBER_NOISE = 1e-4

# The unexplained variance counts as so many times the noise head's at the most: a row far from all
# others, where one step moves the head by orders of magnitude, would drown all else.
MAX_VARIANCE_RATIO = 100.0

# Draws of members, each with its mirror image, by which a step averages probabilities. Fresh ones
# in every step make up for their small number.
N_PAIRS = 4


class ExpectedLikelihood(nn.Module):
    """Restricted M-step: least squares on the posterior's moments, and a Gaussian noise likelihood.

    Targets: what the heads should say, as `targets` joins them (m, n_columns), and weights.

    Parameters
    ----------
    student : Student
        Whose heads they are; its parameters are not the objective's.
    loadings_weight : float
        Of the loadings' squared error, in units of the members' mean variance, against the mean's,
        in units of the variance of the ensemble's mean over rows.
    fit_noise : bool
        Whether the noise head takes part.

    Attributes
    ----------
    metric_root : array of shape (q, q) or None
        The loadings' error is multiplied by it before it is squared. Set by the EM loop.
    """

    def __init__(self, student, loadings_weight, fit_noise):
        super().__init__()
        self.metric_root = None
        self.split = student.split
        self.join = student.layout.join
        self.loadings = student.layout.loadings
        self.noise_columns = student.layout.noise_columns
        self.fit_noise = fit_noise
        mean = torch.ones(1, student.n_outputs)
        loadings = torch.ones(1, *student.layout.loadings_shape)
        self.register_buffer("column_weights", self.join(mean, 0 * mean, loadings))
        # Outputs that share their loadings all have the error of these.
        self.n_sharing = student.n_outputs / loadings.shape[1]
        self.weigh_loadings(loadings_weight)

    def weigh_loadings(self, loadings_weight):
        """Set the weight of the loadings' squared error, and so that of the noise's likelihood."""
        self.loadings_weight = loadings_weight
        self.loadings(self.column_weights).fill_(loadings_weight).mul_(self.n_sharing)

    def targets(self, mean, loadings, variance):
        """Ensemble mean (m, c), expected loadings (m, c or 1, q), member variance (m, c), joined.

        The variance stands in the columns of the noise's logarithm.
        """
        heads = (torch.as_tensor(head, dtype=torch.float32) for head in (mean, variance, loadings))
        return self.join(*heads)

    def forward(self, columns, targets):
        """Weighted mean over rows and outputs."""
        return _ExpectedLikelihood.apply(columns, targets, self)

    def with_slope(self, columns, targets):
        """Weighted mean over rows and outputs, and its derivative by columns that ask for none.

        The noise head is fitted to the variance that the student's own factors leave unexplained,
        which is a constant to the loadings. A bounded ratio of the two still moves the head.
        """
        wanted, weights = targets
        error, log_noise = columns - wanted, columns[:, self.noise_columns]
        if not self.fit_noise:  # is no error, and infinite where there is no noise
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
            unexplained = wanted[:, self.noise_columns] - factor_variance(*heads[2:])
            ratio = unexplained.clamp_min_(MIN_MEMBER_NOISE).div_(log_noise.exp())
            ratio.clamp_max_(MAX_VARIANCE_RATIO)
            slope[:, self.noise_columns] = (1 - ratio).mul_(0.25 * self.loadings_weight)
            noise_loss = ratio.add_(log_noise).sum(dim=1)
            row_loss.add_(noise_loss, alpha=0.5 * self.loadings_weight)
        row_weights = weights / log_noise.numel()
        return row_loss @ row_weights, slope.mul_(2 * row_weights[:, None])


class _ExpectedLikelihood(torch.autograd.Function):
    """The loss with its derivative, for objectives that it is a part of."""

    @staticmethod
    def forward(ctx, columns, targets, objective):
        """Loss of a batch; keeps its derivative by the columns."""
        loss, slope = objective.with_slope(columns, targets)
        ctx.save_for_backward(slope)
        return loss

    @staticmethod
    def backward(ctx, slope):
        """Derivative by the columns."""
        return ctx.saved_tensors[0] * slope, None, None


class AveragedProbabilities(nn.Module):
    """Cross-entropies of averaged and members' probabilities, beside the M-step's criterion.

    Probabilities are averaged over a few fresh draws of members and their mirror images; some of
    the ensemble's own members are met at the latent variables that EM found for them, which keeps
    the spread where logits say little of probabilities. Targets: averaged probabilities of the
    ensemble (m, K), residuals of the members (m, c, S), then those of the M-step.

    Parameters
    ----------
    regression : ExpectedLikelihood
        Keeps mean, loadings and noise where probabilities do not tell them.
    anchor : float
        Its weight, against the cross-entropies in nats.
    center, scale, spread : arrays of shape (n_outputs,)
        Units of the student's heads, as in `Contrasts`.
    """

    def __init__(self, regression, anchor, center, scale, spread):
        super().__init__()
        self.regression = regression
        self.anchor = anchor
        for name, unit in (("center", center), ("scale", scale), ("spread", spread)):
            self.register_buffer(name, torch.as_tensor(unit, dtype=torch.float32)[:, None])

    def set_members(self, latent_mean):
        """Tell the latent variables, (q, S) or (c, q, S), of the members among the targets."""
        latent = torch.as_tensor(latent_mean, dtype=torch.float32)
        self.register_buffer("latent", latent.to(self.get_buffer("center").device))

    def forward(self, columns, targets):
        """Weighted mean over rows."""
        probabilities, residuals, *targets = targets
        split = self.regression.split
        heads, ensemble_mean = split(columns), split(targets[0]).mean
        averaged = self._log_probabilities(heads.mean, self._deviations(heads))
        averaged = averaged.logsumexp(dim=-1) - math.log(averaged.shape[-1])
        members = self._log_probabilities(ensemble_mean, residuals).exp()
        own = self._log_probabilities(
            heads.mean, draw_deviations(heads.loadings, heads.mixing, self.latent)
        )
        cross_entropy = -(probabilities * averaged).sum(dim=1)
        cross_entropy = cross_entropy - (members * own).sum(dim=1).mean(dim=-1)
        loss = (cross_entropy * targets[-1]).mean()
        return loss + self.anchor * self.regression(columns, targets)

    def _log_probabilities(self, mean, deviations):
        """Of classes (m, K, S), from a mean (m, c) and members' deviations (m, c, S)."""
        latent = self.center + self.scale * mean[..., None] + self.spread * deviations
        return class_logits(latent).log_softmax(dim=1)

    def _deviations(self, heads):
        """Draws of members around their mean (m, c, S), in units of their spread."""
        factors = heads.loadings, heads.mixing
        z = _mirrored_normal(heads.loadings.new_empty(count_dimensions(*factors), N_PAIRS))
        noise = _mirrored_normal(heads.mean.new_empty(*heads.mean.shape, N_PAIRS))
        log_noise = heads.log_noise if self.regression.fit_noise else heads.log_noise.detach()
        return draw_within_rows(*factors, z) + (0.5 * log_noise).exp()[..., None] * noise


def class_logits(latent):
    """Logits (m, K, S) of latent outputs (m, c, S): log-odds stand against a logit of zero."""
    if latent.shape[1] > 1:
        return latent
    return torch.cat([torch.zeros_like(latent), latent], dim=1)


def _mirrored_normal(empty):
    """Fill with standard normal draws, and put their mirror images beside them."""
    draws = empty.normal_()
    return torch.cat([draws, -draws], dim=-1)


class _MemberLikelihood(nn.Module):
    """Gaussian likelihood of all members' values with a learnt constant noise variance.

    Targets: members' outputs (m, c, n_members) in units of the ensemble's mean, weights (m,).

    Parameters
    ----------
    student : Student
        Whose heads they are.
    spread_scale : array of shape (n_outputs,)
        Members' spread, the unit of the loadings, in units of the ensemble's mean.
    noise_variance : float
        First value, in units of the members' mean variance.
    """

    def __init__(self, student, spread_scale, noise_variance=1.0):
        super().__init__()
        self.split = student.split
        scale = torch.as_tensor(np.asarray(spread_scale), dtype=torch.float32)
        self.register_buffer("spread_scale", scale[:, None])
        self.log_noise_variance = nn.Parameter(torch.tensor(float(np.log(noise_variance))))

    @property
    def noise_variance(self):
        """Learnt noise variance, in units of the members' mean variance."""
        return float(self.log_noise_variance.detach().exp())

    def _residuals(self, heads, members):
        """Members around the student's mean, in units of their spread."""
        return (members - heads.mean[..., None]) / self.spread_scale

    def _negative_log_likelihood(self, squared_error, weights):
        """Per entry; ``squared_error`` (m, c) is a mean over members."""
        scaled = squared_error * torch.exp(-self.log_noise_variance)
        return 0.5 * ((scaled.mean(dim=1) * weights).mean() + self.log_noise_variance)


class MinibatchLikelihood(_MemberLikelihood):
    """The published M-step: the posterior comes from the mini-batch alone [Park2025].

    .. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep
       Latent Factor Model". NeurIPS 2025, arXiv:2510.19290.
    """

    def forward(self, columns, targets):
        """Negative expected complete log-likelihood per entry."""
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
        """Latent means (q, n_members) and covariance (q, q) given the batch."""
        loadings = loadings.flatten(0, 1).double()
        residuals = residuals.flatten(0, 1).double()
        noise_variance = self.log_noise_variance.double().exp()
        identity = torch.eye(loadings.shape[1], dtype=torch.float64, device=loadings.device)
        factor = torch.linalg.cholesky(identity + loadings.T @ loadings / noise_variance)
        mean = torch.cholesky_solve(loadings.T @ residuals / noise_variance, factor)
        return mean.float(), torch.cholesky_solve(identity, factor).float()


class PenalisedLikelihood(_MemberLikelihood):
    """The published start: free latent variables, drawn towards the prior by a kernel distance.

    Parameters
    ----------
    student, spread_scale
        As above.
    n_members, q : int
        Shape of the free latent variables.
    mmd_weight : float
        Of the squared maximum mean discrepancy between them and as many standard normal draws.
    n_entries : int
        Design points times outputs: the prior's share of the complete likelihood per entry.
    """

    def __init__(self, student, spread_scale, n_members, q, mmd_weight, n_entries):
        super().__init__(student, spread_scale)
        self.latent = nn.Parameter(torch.randn(n_members, q))
        self.mmd_weight = mmd_weight
        self.n_entries = n_entries

    def forward(self, columns, targets):
        """Negative complete log-likelihood per entry, and the penalty."""
        members, weights = targets
        heads = self.split(columns)
        residuals = self._residuals(heads, members)
        squared_error = (residuals - heads.loadings @ self.latent.T).square().mean(dim=-1)
        prior = 0.5 * self.latent.square().sum(dim=1).mean() / self.n_entries
        penalty = squared_mmd(self.latent, torch.randn_like(self.latent))
        likelihood = self._negative_log_likelihood(squared_error, weights)
        return likelihood + prior + self.mmd_weight * penalty


def squared_mmd(left, right):
    """Squared maximum mean discrepancy of two sets of equal size (n, q), by a Gaussian kernel.

    The squared bandwidth is ``2 q``, the mean squared distance of two standard normal draws. Pairs
    of a point with itself are left out, so that the estimate is unbiased.
    """
    n, q = left.shape

    def kernel(a, b):
        return torch.exp(-torch.cdist(a, b).square() / (2 * 2 * q))

    within = kernel(left, left).sum() + kernel(right, right).sum() - 2 * n
    return within / (n * (n - 1)) - 2 * kernel(left, right).mean()
