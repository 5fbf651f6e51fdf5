"""The student network: a body of features, and linear heads that speak of an ensemble.

All that the body sees is standardised, and all heads are in training units; units of X and y are
the caller's business.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import Bunch
from torch import nn

from .._latent.deviations import factor_variance
from .base import Network
from .bodies import count_body_features


class Heads(NamedTuple):
    """What a student says of a batch: ``mean``, ``log_noise`` (m, c) and ``loadings`` (m, c, q).

    With a ``mixing`` of outputs (c, c) all outputs share loadings (m, 1, q), and a member deviates
    from the mean by ``mixing Z loadings`` with Z (c, q).
    """

    mean: torch.Tensor
    log_noise: torch.Tensor
    loadings: torch.Tensor
    mixing: torch.Tensor | None = None

    def moments(self):
        """Mean and float64 variance of the members (m, c): float32 has no room for all squares."""
        log_noise, loadings = self.log_noise.cpu().double(), self.loadings.cpu().double()
        mixing = None if self.mixing is None else self.mixing.cpu().double()
        return self.mean, log_noise.exp() + factor_variance(loadings, mixing)

    def in_units(self, center, scale, spread):
        """Arrays in units of the ensemble's outputs: mean, loadings, mixing, member variance.

        Float64. Units (c,) are those of `Contrasts`.
        """
        loadings, mixing = np.array(self.loadings, dtype=np.float64), self.mixing
        if mixing is None:
            loadings *= spread[:, None]
        else:
            mixing = spread[:, None] * mixing
        return Bunch(
            mean=center + scale * self.mean,
            loadings=loadings,
            mixing=mixing,
            member_variance=spread**2 * np.exp(self.log_noise, dtype=np.float64),
        )


class Layout(NamedTuple):
    """Which columns of one matrix (m, n_columns) belong to which head: all of an output together.

    Attributes
    ----------
    n_outputs, q : int
        Outputs, latent factors.
    """

    n_outputs: int
    q: int

    @property
    def n_columns(self):
        """Columns of all heads."""
        return self.n_outputs * (2 + self.q)

    @property
    def loadings_shape(self):
        """Shape of the loadings at one row."""
        return self.n_outputs, self.q

    @property
    def mean_columns(self):
        """Which columns are those of the mean."""
        return slice(None, None, 2 + self.q)

    @property
    def noise_columns(self):
        """Which columns are those of the logarithm of the noise."""
        return slice(1, None, 2 + self.q)

    def loadings(self, columns):
        """Loadings (..., c or 1, q) that are a view of ``columns``."""
        return columns.unflatten(-1, (self.n_outputs, 2 + self.q))[..., 2:]

    def split(self, columns, mixing=None):
        """Heads that are views of ``columns``, whose last axis is that of all heads' columns."""
        mean, log_noise = columns[..., self.mean_columns], columns[..., self.noise_columns]
        return Heads(mean, log_noise, self.loadings(columns), mixing)

    def join(self, mean, log_noise, loadings):
        """Columns of all heads (m, n_columns), from tensors of each head."""
        parts = mean[..., None], log_noise[..., None], loadings
        return torch.cat(parts, dim=-1).flatten(start_dim=-2)


class SharedLayout(Layout):
    """The means, the noises, and then the loadings that all outputs share."""

    @property
    def n_columns(self):
        return 2 * self.n_outputs + self.q

    @property
    def loadings_shape(self):
        return 1, self.q

    @property
    def mean_columns(self):
        return slice(self.n_outputs)

    @property
    def noise_columns(self):
        return slice(self.n_outputs, 2 * self.n_outputs)

    def loadings(self, columns):
        return columns[..., 2 * self.n_outputs :].unsqueeze(-2)

    def join(self, mean, log_noise, loadings):
        return torch.cat([mean, log_noise, loadings.squeeze(-2)], dim=-1)


class Student(Network):
    """A body of features, and one linear layer with the heads of every output.

    Each output has a row for its mean, one for the log variance of its member noise, and ``q``
    for its loadings. The mean and the loadings grow about linearly away from the design points, but
    the noise would do so exponentially; outside training its logarithm is clipped from above.

    Parameters
    ----------
    body : nn.Module
        Maps standardised rows (m, n_features) to features (m, n_body_features).
    n_features, n_outputs, q : int
        Columns of X, outputs of the ensemble, latent factors.

    Attributes
    ----------
    layout : Layout
        Of the heads in the rows of their layer.
    max_log_noise : buffer of shape (n_outputs,)
        Largest log variance of member noise outside training; infinite until it is set.

    Raises
    ------
    ValueError
        If the body's output is not a float32 matrix with a row for each row of its input.
    """

    mixing: torch.Tensor | None
    max_log_noise: torch.Tensor
    layout_class = Layout

    # Of a frozen student.
    _mean_head: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(self, body, n_features, n_outputs, q):
        super().__init__()
        self.register_buffer("mixing", None)
        self.register_buffer("max_log_noise", torch.full((n_outputs,), math.inf))
        self.body = body
        self.n_outputs = n_outputs
        self.q = q
        self.layout = self.layout_class(n_outputs, q)
        self.heads = nn.Linear(count_body_features(body, n_features), self.layout.n_columns)

    @property
    def latent_shape(self):
        """Shape of the latent variables of one member."""
        return (self.q,)

    def split(self, columns):
        """Heads that are views of a batch's columns of all of them."""
        return self.layout.split(columns, self.mixing)

    def _parameters_by_head(self):
        """Views of the weights (n_body_features, ...) and of the biases (...) of each head."""
        return self.layout.split(self.heads.weight.T), self.layout.split(self.heads.bias)

    def forward(self, X):
        """Heads of a batch of standardised rows (m, n_features)."""
        heads = self.split(self.for_loss(X))
        if self.training:
            return heads
        return heads._replace(log_noise=torch.minimum(heads.log_noise, self.max_log_noise))

    def for_loss(self, X):
        """All heads of a batch in one matrix (m, n_columns), which has one derivative."""
        return self.heads(self.body(X))

    def forward_mean(self, X):
        """Mean head alone, (m, c), at the cost of c columns instead of those of all heads."""
        return nn.functional.linear(self.body(X), *self.mean_head())

    def mean_head(self):
        """Weights and biases of the mean."""
        if self._mean_head is not None:
            return self._mean_head
        rows = self.layout.mean_columns
        return self.heads.weight[rows], self.heads.bias[rows]

    def freeze(self):
        super().freeze()
        self._mean_head = self.mean_head()

    @torch.no_grad()
    def transform_loadings(self, transform):
        """Multiply the loadings by ``transform`` (q, q), exactly, in the heads' own parameters."""
        for _, _, loadings, _ in self._parameters_by_head():
            matrix = torch.as_tensor(transform, dtype=loadings.dtype, device=loadings.device)
            loadings.copy_(loadings @ matrix)

    @torch.no_grad()
    def set_noise(self, noise_variance):
        """Make the member noise the same at all inputs; zero is allowed."""
        weight, bias = self._parameters_by_head()
        weight.log_noise[:] = 0.0
        bias.log_noise[:] = math.log(noise_variance) if noise_variance > 0 else -math.inf

    @torch.no_grad()
    def scale_mean(self, factor, center):
        """Multiply ``center`` (n_outputs,) and the mean by ``factor``, and take the former off."""
        weight, bias = self._parameters_by_head()
        weight.mean.mul_(factor)
        bias.mean.mul_(factor).add_((factor - 1) * torch.as_tensor(center).to(bias.mean))

    @torch.no_grad()
    def scale_spread(self, factor):
        """Multiply the standard deviation of members by ``factor``, at all inputs."""
        self.transform_loadings(factor * np.eye(self.q))
        shift = 2 * math.log(factor)
        self._parameters_by_head()[1].log_noise.add_(shift)
        self.max_log_noise.add_(shift)

    def limit_noise(self, max_log_noise):
        """Let the log variance of member noise nowhere exceed ``max_log_noise`` (n_outputs,)."""
        self.max_log_noise.copy_(torch.as_tensor(max_log_noise))

    def evaluate(self, X):
        """Heads of any number of rows (m, n_features), as arrays."""
        heads = self.in_blocks(X, lambda rows: self(rows)[:3])
        heads.append(None if self.mixing is None else self.mixing.cpu().numpy())
        return Heads(*heads)

    def evaluate_moments(self, X):
        """Mean and variance of the members at any number of rows, arrays (m, c)."""
        return self.in_blocks(X, lambda rows: self(rows).moments())

    def evaluate_mean(self, X):
        """Mean of any number of rows (m, n_features), as an array (m, c)."""
        return self.in_blocks(X, lambda rows: (self.forward_mean(rows),))[0]


class SeparableStudent(Student):
    """A student whose outputs share their loadings, and are mixed in one way at all inputs.

    It has a row for each output's mean, one for each log variance of member noise, and ``q`` rows
    for the loadings. The mixing is a buffer: it is not learnt by gradients.

    Parameters
    ----------
    body, n_features, n_outputs, q
        As in `Student`.
    """

    mixing: torch.Tensor
    layout_class = SharedLayout

    def __init__(self, body, n_features, n_outputs, q):
        super().__init__(body, n_features, n_outputs, q)
        self.mixing = torch.eye(n_outputs)

    @property
    def latent_shape(self):
        return self.n_outputs, self.q

    @torch.no_grad()
    def set_mixing(self, mixing):
        """Mix outputs by a matrix (c, c)."""
        self.mixing.copy_(torch.as_tensor(mixing))
