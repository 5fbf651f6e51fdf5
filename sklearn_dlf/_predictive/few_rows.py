"""Moments and probabilities of a latent factor model at few rows, in few operations.

The time of one row is that of the calls to torch and numpy. So the columns of all heads leave torch
as one array, and the rest is written out in numpy, with everything prepared that is the same at all
rows. Results are those of `Heads.moments` and of `average_probabilities`, but for rounding.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .._network.heads import MIN_OWN_SHARE, Units
from .averaged_probabilities import BITS_PER_NAT, coefficients
from .fixed_draws import N_DRAWS
from .two_classes import average_of_odds

# Numbers of logits of half of the draws, up to which numpy takes less time than torch.
MAX_LOGITS = 2**13

# Logits in bits whose powers of two, and their sums, are numbers of float64.
MAX_BITS = 1000.0


def few_rows_of(network: Any, units: Units) -> FewRows | None:
    """Return what evaluates a frozen network at few rows; None if it has separable loadings.

    It is kept with the network.
    """
    kept = network.__dict__.get("_few_rows")
    if kept is not None and all(map(operator.is_, kept.units, units)):
        return kept
    if network.mixing is not None:
        return None
    kept = network.__dict__["_few_rows"] = FewRows(network, units)
    return kept


class FewRows:
    """Evaluates a frozen network of full loadings.

    Parameters
    ----------
    network : StudentNetwork
        Frozen network, in float64.
    units : Units
        Units of its heads.
    """

    def __init__(self, network: Any, units: Units):
        self.units = units
        self._network = network
        self._shape = len(units.center), 2 + network.q
        self._max_log_noise = network.max_log_noise.cpu().numpy().astype(np.float64)
        self._squared_spread = np.square(units.spread)
        shares = network.factor_shares.cpu().numpy().astype(np.float64)
        self._local_shares = np.maximum(1 - shares, 0.0)
        self._draws = np.empty((0, 0, 0))

    def moments(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the members at standardised rows, in their units, (n, c)."""
        columns = self._network.evaluate_columns(X)[0].reshape(len(X), *self._shape)
        center, scale, _ = self.units
        loadings = columns[..., 2:]
        variance = np.exp(np.minimum(columns[..., 1], self._max_log_noise))
        variance += np.einsum("ncq,ncq->nc", loadings, loadings)
        return center + scale * columns[..., 0], self._squared_spread * variance

    def features_and_columns(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of the body (n, f), and columns of the heads (n, c, 2 + q), in their units."""
        features, columns = self._network.evaluate_with_columns(X)
        return features, columns.reshape(len(X), *self._shape)

    def local_variance(self, columns: np.ndarray) -> np.ndarray:
        """Variance (n, c) that members have at each row alone, in squared units of the spread."""
        variance = np.exp(np.minimum(columns[..., 1], self._max_log_noise))
        return variance + np.square(columns[..., 2:]) @ self._local_shares

    def probabilities(self, X: np.ndarray) -> np.ndarray | None:
        """Mean probabilities (n, K) at standardised rows; None for more than a few rows.

        Also None where logits leave the range of float64.
        """
        if self._shape[0] == 1:
            return self._probabilities_of_two(X)
        if len(X) * self._shape[0] * N_DRAWS // 2 > MAX_LOGITS:
            return None
        columns, *shares = self._network.evaluate_columns(X, with_shares=True)
        columns = columns.reshape(len(X), *self._shape)
        deviations = self._deviations(columns, *shares)
        center, scale, _ = self.units
        mean = BITS_PER_NAT * (center + scale * columns[..., 0]).T
        mean -= (mean.min(axis=0) + mean.max(axis=0)) / 2
        largest = np.abs(deviations).max() + mean.max()
        if not largest < MAX_BITS:
            return None
        powers, mean = np.exp2(deviations), np.exp2(mean)[:, None]
        one, other = mean * powers, mean / powers  # a member and its mirror image
        one /= one.sum(axis=0)
        other /= other.sum(axis=0)
        one += other
        averaged = one.sum(axis=1)
        averaged /= averaged.sum(axis=0)
        return averaged.T

    def _probabilities_of_two(self, X: np.ndarray) -> np.ndarray:
        """Mean probabilities (n, 2) of two classes, whose log-odds are one normal variable."""
        mean, variance = self.moments(X)
        averaged = average_of_odds(mean, np.sqrt(variance))
        return averaged / averaged.sum(axis=1, keepdims=True)

    def _deviations(self, columns: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
        """Deviations (c, n_pairs, n) from the mean of one member of each pair, in bits."""
        n_rows, n_outputs, q = len(columns), self._shape[0], self._shape[1] - 2
        r = 0 if shares is None else shares.shape[1] // n_outputs
        if not self._draws.size:
            draws = coefficients(n_outputs, q, N_DRAWS // 2, None, r)[..., 1:]
            self._draws = self.units.spread[:, None, None] * draws
        std = np.exp(0.5 * np.minimum(columns[..., 1], self._max_log_noise))
        factors = np.empty((n_outputs, q + r + 1, n_rows))
        factors[:, :q] = columns[..., 2:].transpose(1, 2, 0)
        if shares is not None:  # as in `heads.noise_shares`
            shares = shares.reshape(n_rows, n_outputs, r)
            squares = np.einsum("ncr,ncr->nc", shares, shares)
            std /= np.sqrt(1 + squares)
            together = (np.sqrt(1 - MIN_OWN_SHARE) * std)[..., None] * shares
            factors[:, q:-1] = together.transpose(1, 2, 0)
            std *= np.sqrt(1 + MIN_OWN_SHARE * squares)
        factors[:, -1] = std.T
        return self._draws @ factors
