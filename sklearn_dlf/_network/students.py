"""Networks of latent factor students: a body of features, and linear heads on them.

A network sees standardised rows of a table, or raw rows of any shape. Its heads are in the units of
`heads.Units`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.linalg import eigh
from torch import nn

from .._latent.process import Process
from .._latent.row_correlation import RowCorrelation
from .base import Network
from .bodies import RowsOrShape
from .heads import HeadLayout, Heads, SharedHeadLayout, noise_shares
from .layers import make_linear

# Added to the variances of features, as a share of their mean, before distances are measured.
GROWTH_RIDGE = 1e-3

# Features that differ by less than this share of their size differ by rounding.
ROUNDING = 1e-6

# Directions of largest variance that distances know; all others have their mean variance. A
# transformer has hundreds of features, and all directions of them would be most of a small file.
MAX_DIRECTIONS = 64


class StudentNetwork(Network):
    """A body of features, and one linear layer that holds the heads of every output.

    Each output has a row of this layer for its mean, one for the log variance of its member noise,
    and ``q`` for its loadings. Mean and loadings grow about linearly away from the design points.
    The noise variance would grow exponentially, so its logarithm is clipped outside training.

    Parameters
    ----------
    body : nn.Module
        Maps rows (m, *row_shape) to features (m, n_body_features).
    rows : int, tuple of int or array of shape (n, *row_shape)
        Number of columns, shape of a row, or rows at which the body is tried; see `measure_body`.
    n_outputs, q : int
        Outputs of the members, latent factors.
    generator : torch.Generator, default=None
        Draws the first parameters of the heads. None is torch's own.

    Attributes
    ----------
    layout : HeadLayout
        Rows of the layer that belong to each head.
    max_log_noise : buffer of shape (n_outputs,)
        Largest log variance of member noise outside training; infinite until it is set.
    factor_shares : buffer of shape (q,)
        Share of each factor's variance that is common to all rows; one until it is set.
    row_correlation : buffer of shape (2,)
        Share and length scale of the correlation of all else between rows, as of `RowCorrelation`.
    growth_center, growth_root, growth_rest : buffers of shapes (f,), (f, r) and ()
        Of a body of the user's own, once `set_growth` has set them. The squared distance of
        features from those of the design points is ``growth_rest`` times the squares of
        ``features - growth_center``, less those of this difference times ``growth_root``.
    noise_head : nn.Linear or None
        Maps features to (m, n_outputs * r) numbers, which give the correlations of the member noise
        over outputs by `heads.noise_shares`. None until it is set: the noise is independent.

    Raises
    ------
    ValueError
        If the body's output is not a float32 matrix with a row for each row of its input.
    """

    mixing: torch.Tensor | None
    factor_shares: torch.Tensor
    row_correlation: torch.Tensor
    noise_head: nn.Linear | None
    max_log_noise: torch.Tensor
    growth_center: torch.Tensor
    growth_root: torch.Tensor
    growth_rest: torch.Tensor
    layout_class: type[HeadLayout] = HeadLayout

    # Weights and biases of the mean head, of a frozen network.
    _mean_head: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(
        self,
        body: nn.Module,
        rows: RowsOrShape,
        n_outputs: int,
        q: int,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.register_buffer("mixing", None)
        self.register_buffer(
            "max_log_noise", torch.full((n_outputs,), math.inf, dtype=torch.float32)
        )
        self.register_buffer("factor_shares", torch.ones(q, dtype=torch.float32))
        row_correlation = torch.tensor(RowCorrelation(), dtype=torch.float32)
        self.register_buffer("row_correlation", row_correlation)
        self.register_module("noise_head", None)
        n_features = self.set_body(body, rows)
        self.n_outputs = n_outputs
        self.q = q
        self.layout = self.layout_class(n_outputs, q)
        self.heads = make_linear(n_features, self.layout.n_columns, generator)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latent variables of one member."""
        return (self.q,)

    def split(self, columns: torch.Tensor) -> Heads:
        """Heads as views of the columns of all heads, as `for_loss` returns them."""
        return self.layout.split(columns, self.mixing)

    def _parameters_by_head(self) -> tuple[Heads, Heads]:
        """Weights (n_body_features, ...) and biases (...) of each head, as views."""
        return self.layout.split(self.heads.weight.T), self.layout.split(self.heads.bias)

    def forward(self, X: torch.Tensor) -> Heads:
        """Heads at standardised rows (m, n_features)."""
        return self.heads_of(self.body(X))

    def heads_of(self, features: torch.Tensor) -> Heads:
        """Heads at features (m, n_body_features)."""
        heads = self._heads(features)
        if self.noise_head is None:
            return heads
        shares = self.noise_head(features).unflatten(-1, (self.n_outputs, -1))
        return heads._replace(noise_shares=noise_shares(shares))

    def _heads(self, features: torch.Tensor) -> Heads:
        """Heads of features, without the shares of the noise, which moments do not need."""
        heads = self.split(self.heads(features))
        if self.training:
            return heads
        log_noise = torch.minimum(heads.log_noise, self.max_log_noise)
        growth = self.growth(features)
        if growth is None:
            return heads._replace(log_noise=log_noise)
        return heads._replace(
            log_noise=log_noise + growth.log(), loadings=heads.loadings * growth.sqrt()[..., None]
        )

    def growth(self, features: torch.Tensor) -> torch.Tensor | None:
        """Multiple (m, 1) of the members' variance at features; None unless it was set."""
        if self.has_own_layers or not hasattr(self, "growth_root"):
            return None
        deviations = features - self.growth_center
        distances = self.growth_rest * deviations.square().sum(dim=1)
        distances = distances - (deviations @ self.growth_root).square().sum(dim=1)
        return distances.clamp_min(1.0)[:, None]

    def for_loss(self, X: torch.Tensor) -> torch.Tensor:
        """All heads in one matrix (m, n_columns), so that a loss has one derivative."""
        return self.heads(self.body(X))

    def forward_mean(self, X: torch.Tensor) -> torch.Tensor:
        """Mean (m, c) alone, at the cost of c columns instead of all."""
        return nn.functional.linear(self.body(X), *self.mean_head())

    def mean_head(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and biases of the mean."""
        if self._mean_head is not None:
            return self._mean_head
        rows = self.layout.mean_columns
        return self.heads.weight[rows], self.heads.bias[rows]

    def freeze(self) -> None:
        super().freeze()
        self._mean_head = self.mean_head()

    @torch.no_grad()
    def transform_loadings(self, transform: np.ndarray) -> None:
        """Multiply the loadings by ``transform`` (q, q) at every row.

        The heads are linear, so that it is done exactly in their weights and biases.
        """
        for heads in self._parameters_by_head():
            loadings = heads.loadings
            matrix = torch.as_tensor(transform, dtype=loadings.dtype, device=loadings.device)
            loadings.copy_(loadings @ matrix)

    @torch.no_grad()
    def set_noise(self, noise_variance: float) -> None:
        """Set the variance of the member noise to a constant; zero is allowed."""
        weight, bias = self._parameters_by_head()
        weight.log_noise[:] = 0.0
        bias.log_noise[:] = math.log(noise_variance) if noise_variance > 0 else -math.inf

    @torch.no_grad()
    def scale_mean(self, factor: float, center: np.ndarray) -> None:
        """Multiply the mean by a factor, in units of the mean head.

        The mean is ``center + head`` with a fixed ``center`` (n_outputs,). So the head becomes
        ``factor * head + (factor - 1) * center``; the last term goes into the biases.
        """
        weight, bias = self._parameters_by_head()
        weight.mean.mul_(factor)
        bias.mean.mul_(factor).add_((factor - 1) * torch.as_tensor(center).to(bias.mean))

    @torch.no_grad()
    def shift_mean(self, shift: np.ndarray) -> None:
        """Add a constant (n_outputs,) to the mean at every row, in units of the mean head."""
        bias = self._parameters_by_head()[1]
        bias.mean.add_(torch.as_tensor(shift).to(bias.mean))

    @torch.no_grad()
    def scale_spread(self, factor: float) -> None:
        """Multiply the members' standard deviation by a factor at every row."""
        self.transform_loadings(factor * np.eye(self.q))
        shift = 2 * math.log(factor)
        self._parameters_by_head()[1].log_noise.add_(shift)
        self.max_log_noise.add_(shift)

    @torch.no_grad()
    def set_process(self, process: Process) -> None:
        """Set what factors and noise have in common at different rows."""
        self.factor_shares.copy_(torch.as_tensor(process.factor_shares))
        self.row_correlation.copy_(torch.tensor(process.row_correlation, dtype=torch.float32))

    def set_growth(self, X: np.ndarray) -> None:
        """Let the members' variance grow with the distance of a row from design points X.

        The distance is that of Mahalanobis, of features, squared, in units of its mean over design
        points, each left out of the covariance. Within the unit, the variance is the learnt one.
        Beyond, it is multiplied by the distance: the variance of linear heads whose weights are
        uncertain grows so with the features. There is no distance if features are the same at all
        design points.
        """
        features = self.evaluate_body(X).astype(np.float64)
        n_rows, n_features = features.shape
        center = features.mean(axis=0)
        if np.ptp(features, axis=0).max() <= ROUNDING * np.abs(center).max():
            return
        covariance = np.atleast_2d(np.cov(features, rowvar=False))
        ridge = GROWTH_RIDGE * np.trace(covariance) / n_features + np.finfo(np.float32).tiny
        variances, directions = eigh(covariance + ridge * np.eye(n_features))
        n_others = max(n_features - MAX_DIRECTIONS, 1)
        rest = 1 / variances[:n_others].mean()
        # rounding may leave a little less than nothing
        shares = np.maximum(rest - 1 / variances[n_others:], 0.0)
        root = directions[:, n_others:] * np.sqrt(shares)
        deviations = np.square(features - center).sum(axis=1)
        distances = rest * deviations - np.square((features - center) @ root).sum(axis=1)
        left_out = distances / np.maximum(1 - distances / n_rows, 1 / n_rows)
        unit = max(left_out.mean(), np.finfo(np.float32).tiny)
        parts = ("center", center), ("root", root / np.sqrt(unit)), ("rest", rest / unit)
        for name, values in parts:
            buffer = torch.as_tensor(values, dtype=torch.float32, device=self.device)
            self.register_buffer(f"growth_{name}", buffer)

    def limit_noise(self, max_log_noise: np.ndarray) -> None:
        """Set the largest log variance of member noise outside training, (n_outputs,)."""
        self.max_log_noise.copy_(torch.as_tensor(max_log_noise))

    def evaluate(self, X: np.ndarray | torch.Tensor) -> Heads:
        """Heads at any number of rows (m, n_features), as arrays."""
        parts = self.in_blocks(X, lambda rows: _changing(self(rows)))
        mean, log_noise, loadings, *shares = parts
        return Heads(mean, log_noise, loadings, self._fixed_mixing(), *shares)

    def evaluate_with_body(self, X: np.ndarray) -> tuple[np.ndarray, Heads]:
        """Features (m, n_body_features), and heads, at any number of rows."""

        def both(rows):
            features = self.body(rows)
            return features, *_changing(self.heads_of(features))

        features, mean, log_noise, loadings, *shares = self.in_blocks(X, both)
        return features, Heads(mean, log_noise, loadings, self._fixed_mixing(), *shares)

    def _fixed_mixing(self) -> np.ndarray | None:
        """Mixing of the outputs as an array, which is the same at all rows."""
        return None if self.mixing is None else self.mixing.cpu().numpy()

    def evaluate_columns(self, X: np.ndarray, with_shares: bool = False) -> list[np.ndarray]:
        """Columns of all heads (m, n_columns); also those of the noise's head, if there is one.

        They are as the layers compute them: the noise is not limited.
        """
        noise_head = self.noise_head if with_shares else None

        def columns(rows):
            features = self.body(rows)
            heads = self.heads(features)
            return (heads,) if noise_head is None else (heads, noise_head(features))

        return self.in_blocks(X, columns)

    def evaluate_with_columns(self, X: np.ndarray) -> list[np.ndarray]:
        """Features (m, n_body_features), and columns of all heads as of `evaluate_columns`."""

        def both(rows):
            features = self.body(rows)
            return features, self.heads(features)

        return self.in_blocks(X, both)

    def evaluate_body(self, X: np.ndarray) -> np.ndarray:
        """Features (m, n_body_features) at any number of rows, as an array."""
        return self.in_blocks(X, lambda rows: (self.body(rows),))[0]

    def evaluate_moments(self, X: np.ndarray) -> list[np.ndarray]:
        """Mean and variance of the members at any number of rows, arrays (m, c)."""
        return self.in_blocks(X, lambda rows: self._heads(self.body(rows)).moments())

    def evaluate_mean(self, X: np.ndarray) -> np.ndarray:
        """Mean of the members at any number of rows, an array (m, c)."""
        return self.in_blocks(X, lambda rows: (self.forward_mean(rows),))[0]


class SeparableStudentNetwork(StudentNetwork):
    """A student's network whose outputs share their loadings and are mixed by one matrix.

    The linear layer has a row for each output's mean, one for each output's log variance of member
    noise, and ``q`` rows for the loadings. The mixing does not depend on the row. EM sets it in
    closed form, so that it is a buffer and no parameter.

    Parameters
    ----------
    body, rows, n_outputs, q, generator
        As in `StudentNetwork`.
    """

    mixing: torch.Tensor
    layout_class = SharedHeadLayout

    def __init__(
        self,
        body: nn.Module,
        rows: RowsOrShape,
        n_outputs: int,
        q: int,
        generator: torch.Generator | None = None,
    ):
        super().__init__(body, rows, n_outputs, q, generator)
        self.mixing = torch.eye(n_outputs, dtype=torch.float32)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return self.n_outputs, self.q

    @torch.no_grad()
    def set_mixing(self, mixing: np.ndarray) -> None:
        """Set the matrix (c, c) that mixes outputs."""
        self.mixing.copy_(torch.as_tensor(mixing))


def _changing(heads: Heads) -> tuple[torch.Tensor, ...]:
    """Heads that there are, without the mixing, which is the same at all rows."""
    parts = heads.mean, heads.log_noise, heads.loadings
    return parts if heads.noise_shares is None else (*parts, heads.noise_shares)
