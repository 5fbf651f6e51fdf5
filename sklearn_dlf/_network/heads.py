"""Heads of a student's network, their units, and their columns in one matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import Bunch

from .._latent.deviations import factor_variance
from .._utils.devices import has_float64

# Smallest share of an output's noise variance that is its own. It bounds correlations by 0.99, and
# keeps their matrix positive definite in float32.
MIN_OWN_SHARE = 0.01


class Units(NamedTuple):
    """Units of the heads in units of the members' outputs, each of shape (n_outputs,).

    Attributes
    ----------
    center : array
        Mean over design points of the members' mean. The mean head is zero there.
    scale : array
        Standard deviation over design points of the members' mean: the unit of the mean head.
    spread : array
        Root mean square over design points of the members' standard deviation: the unit of the
        loadings, and its square that of the member noise's variance.
    """

    center: np.ndarray
    scale: np.ndarray
    spread: np.ndarray


class Heads(NamedTuple):
    """Outputs of a student's network for m rows, c outputs and q factors; tensors or arrays.

    Attributes
    ----------
    mean, log_noise : shape (m, c)
        Mean of the members, and logarithm of the variance of the member noise.
    loadings : shape (m, c, q)
        Loadings. With a mixing, all outputs share them and the shape is (m, 1, q).
    mixing : shape (c, c), or None
        A member deviates from the mean by ``mixing Z loadings`` with Z (c, q).
    noise_shares : shape (m, c, r), or None
        Shares of factors that are drawn anew at each row in the standard deviation of the member
        noise. None stands for a noise that is independent from output to output.
    """

    mean: Any
    log_noise: Any
    loadings: Any
    mixing: Any = None
    noise_shares: Any = None

    def at(self, rows) -> Heads:
        """Those of some rows."""
        shares = None if self.noise_shares is None else self.noise_shares[rows]
        parts = self.mean[rows], self.log_noise[rows], self.loadings[rows]
        return Heads(*parts, self.mixing, shares)

    def moments(self):
        """Mean and float64 variance of the members (m, c), as squares may overflow float32."""
        log_noise, loadings = _double(self.log_noise), _double(self.loadings)
        mixing = None if self.mixing is None else _double(self.mixing)
        return self.mean, log_noise.exp() + factor_variance(loadings, mixing)

    def in_units(self, units: Units) -> Bunch:
        """Mean, loadings, mixing and member variance in units of the members' outputs, float64.

        The shares of the noise have no unit.
        """
        center, scale, spread = units
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
            noise_shares=self.noise_shares,
        )


class HeadLayout(NamedTuple):
    """Columns of each head in one matrix (m, n_columns): all heads of an output together.

    Attributes
    ----------
    n_outputs, q : int
        Outputs, latent factors.
    """

    n_outputs: int
    q: int

    @property
    def n_columns(self) -> int:
        """Columns of all heads."""
        return self.n_outputs * (2 + self.q)

    @property
    def loadings_shape(self) -> tuple[int, int]:
        """Shape of the loadings at one row."""
        return self.n_outputs, self.q

    @property
    def mean_columns(self) -> slice:
        """Columns of the mean."""
        return slice(None, None, 2 + self.q)

    @property
    def noise_columns(self) -> slice:
        """Columns of the logarithm of the noise variance."""
        return slice(1, None, 2 + self.q)

    def loadings(self, columns):
        """Loadings (..., c or 1, q) as a view of ``columns``."""
        return columns.unflatten(-1, (self.n_outputs, 2 + self.q))[..., 2:]

    def split(self, columns, mixing=None) -> Heads:
        """Heads as views of ``columns`` (..., n_columns)."""
        mean, log_noise = columns[..., self.mean_columns], columns[..., self.noise_columns]
        return Heads(mean, log_noise, self.loadings(columns), mixing)

    def join(self, mean, log_noise, loadings):
        """Columns of all heads (m, n_columns), from tensors of each head."""
        parts = mean[..., None], log_noise[..., None], loadings
        return torch.cat(parts, dim=-1).flatten(start_dim=-2)


class SharedHeadLayout(HeadLayout):
    """Columns of each head: the means, then the noises, then loadings that all outputs share."""

    @property
    def n_columns(self) -> int:
        return 2 * self.n_outputs + self.q

    @property
    def loadings_shape(self) -> tuple[int, int]:
        return 1, self.q

    @property
    def mean_columns(self) -> slice:
        return slice(self.n_outputs)

    @property
    def noise_columns(self) -> slice:
        return slice(self.n_outputs, 2 * self.n_outputs)

    def loadings(self, columns):
        return columns[..., 2 * self.n_outputs :].unsqueeze(-2)

    def join(self, mean, log_noise, loadings):
        return torch.cat([mean, log_noise, loadings.squeeze(-2)], dim=-1)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float64, on the CPU if its own device does not have it."""
    return tensor.double() if has_float64(tensor.device) else tensor.cpu().double()


def noise_shares(head: torch.Tensor) -> torch.Tensor:
    """Shares (m, c, r) of the noise's factors in the noise of each output, from a head. Eq. (28).

    Any finite head gives rows shorter than one. It is divided by its largest entry first, since
    squares may overflow at rows far from all others.
    """
    largest = head.abs().amax(dim=-1, keepdim=True).clamp_min(1.0)
    scaled = head / largest
    length = (scaled.square().sum(dim=-1, keepdim=True) + largest.reciprocal().square()).sqrt()
    return (1 - MIN_OWN_SHARE) ** 0.5 * scaled / length
