"""Averages of the members' probabilities of two classes, whose log-odds are one normal variable."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.special import expit, logsumexp

from .._latent.deviations import factor_variance
from .._network.heads import Heads, Units
from .._utils.blocks import row_blocks
from .averaged_entropies import BLOCK_SIZE, in_units
from .fixed_draws import LINE_PAIRS, enough_pairs, line_for

# Smallest average whose terms are floats, too.
SMALLEST = 1e-250


def average_two_classes(
    heads: Heads, units: Units, with_entropy: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return averages over the members of one log-odds, as `average_probabilities` does.

    Factors and noise are one normal deviation, so that a sum over a line is nearly exact.
    """
    mean, loadings, std, mixing = in_units(heads, units)
    std = np.sqrt(std**2 + factor_variance(loadings, mixing))
    means, stds = torch.from_numpy(mean[:, 0]), torch.from_numpy(std[:, 0])
    is_single = mean.dtype == np.float32
    points, weights = _line(mean.dtype, enough_pairs(std.max()) if is_single else LINE_PAIRS)
    probabilities = np.empty((len(mean), 2))
    entropy = np.empty(len(mean)) if with_entropy else None
    for rows in row_blocks(len(mean), BLOCK_SIZE // len(points)):
        odds = torch.addcmul(means[rows], points[:, None], stds[rows])
        probabilities[rows, 1] = (weights @ torch.sigmoid(odds)).numpy()
        probabilities[rows, 0] = (weights @ odds.neg().sigmoid_()).numpy()
        if entropy is not None:
            size = odds.abs_()
            power = (-size).exp_()
            # The likelier class has the probability 1 / (1 + power), whose logarithm is -log1p.
            parts = power.log1p().addcdiv_(size.mul_(power), 1 + power)
            entropy[rows] = (weights @ parts).numpy()
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, entropy


def log_average_two_classes(heads: Heads, units: Units) -> np.ndarray:
    """Logarithm of `average_two_classes`, finite where these are too small for a float."""
    mean, loadings, std, mixing = in_units(heads, units)
    return log_average_of_odds(mean, np.sqrt(std**2 + factor_variance(loadings, mixing)))


def average_of_odds(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Averaged probabilities (n, 2), for means and deviations (n, 1) of log-odds, float64."""
    points, weights = line_for(LINE_PAIRS)
    odds = mean + std * points
    return np.stack([expit(-odds) @ weights, expit(odds) @ weights], axis=1)


def log_average_of_odds(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Logarithm of `average_of_odds`, finite where these are too small for a float."""
    points, weights = line_for(LINE_PAIRS)
    logarithms = np.empty((len(mean), 2))
    for rows in row_blocks(len(mean), BLOCK_SIZE // len(points)):
        averages = average_of_odds(mean[rows], std[rows])
        if averages.min() >= SMALLEST:
            logarithms[rows] = np.log(averages)
            continue
        odds = mean[rows] + std[rows] * points
        for label, sign in ((0, -1.0), (1, 1.0)):
            logs = -np.logaddexp(0.0, -sign * odds)
            logarithms[rows, label] = logsumexp(logs, axis=1, b=weights)
    return np.minimum(logarithms, 0.0)  # weights sum to one but for rounding


@cache
def _line(dtype: np.dtype, n_pairs: int = LINE_PAIRS) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points of a line and their weights, which sum to one, each (2 n_pairs,)."""
    points, weights = line_for(n_pairs)
    return torch.from_numpy(points.astype(dtype)), torch.from_numpy(weights.astype(dtype))
