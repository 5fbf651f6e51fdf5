"""The distribution of y around members whose law is not Gaussian: a mixture over members and noise.

At a row, y is a mixture of normals: one for each member of the ensemble and each node of the noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, ndtr

from .._utils.blocks import row_blocks
from .scale_mixture import node_weights

# Every so many nodes of the noise are used: the trapezoidal rule is exact to 1e-8 with this step.
NODE_STEP = 4

# Normals that are held at a time: 32 MB in float64.
BLOCK_SIZE = 2**22

# Quantiles are found to this share of the standard deviation of y, by at most this many steps.
TOLERANCE, MAX_STEPS = 1e-7, 100


def _nodes(std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes that are used, of standard deviations (..., n_nodes), and weights."""
    if std.shape[-1] > 1 and np.ptp(std, axis=-1).max() == 0:  # the noise is normal
        return std[..., :1], np.ones(1)
    weights = node_weights()[::NODE_STEP]
    return std[..., ::NODE_STEP], weights / weights.sum()


def mixture_log_density(values: np.ndarray, offsets: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Log-density (n,) of values (n,) less the mean.

    Offsets are (n, n_components), and standard deviations (n, n_nodes).
    """
    std, weights = _nodes(std)
    logarithms = np.empty(len(values))
    for rows in row_blocks(len(values), max(1, BLOCK_SIZE // (offsets.shape[1] * len(weights)))):
        unit = std[rows][:, None]
        scaled = (values[rows, None] - offsets[rows])[..., None] / unit
        each = -0.5 * (np.square(scaled) + np.log(2 * np.pi)) - np.log(unit)
        logarithms[rows] = logsumexp(each, b=weights, axis=(1, 2)) - np.log(offsets.shape[1])
    return logarithms


def mixture_quantiles(offsets: np.ndarray, std: np.ndarray, levels: ArrayLike) -> np.ndarray:
    """Quantiles (n, n_levels), less the mean, of the mixtures that `mixture_log_density` takes."""
    std, weights = _nodes(std)
    levels = np.asarray(levels, dtype=np.float64)
    quantiles = np.empty((len(offsets), len(levels)))
    for rows in row_blocks(len(offsets), max(1, BLOCK_SIZE // (offsets.shape[1] * len(weights)))):
        for column, level in enumerate(levels):
            quantiles[rows, column] = _quantile(offsets[rows], std[rows], weights, level)
    return quantiles


def _quantile(
    offsets: np.ndarray, std: np.ndarray, weights: np.ndarray, level: float
) -> np.ndarray:
    """Quantile (n,) by Newton's method, which falls back on halving a bracket."""
    unit = np.sqrt(np.square(offsets).mean(axis=1) + np.square(std) @ weights)
    # all normals are below the level at one end of the bracket, and above it at the other
    reach = np.sqrt(2) * std.max(axis=1) * max(1.0, np.sqrt(-np.log(min(level, 1 - level))))
    low, high = offsets.min(axis=1) - reach, offsets.max(axis=1) + reach
    at = np.quantile(offsets, level, axis=1)
    for _ in range(MAX_STEPS):
        scaled = (at[:, None] - offsets)[..., None] / std[:, None]
        excess = (ndtr(scaled) @ weights).mean(axis=1) - level
        density = np.exp(-0.5 * np.square(scaled)) / std[:, None]
        slope = (density @ weights).mean(axis=1) / np.sqrt(2 * np.pi)
        low, high = np.where(excess < 0, at, low), np.where(excess < 0, high, at)
        step = excess / np.maximum(slope, np.finfo(np.float64).tiny)
        new = np.where((at - step > low) & (at - step < high), at - step, 0.5 * (low + high))
        moved, at = np.abs(new - at), new
        if np.all(moved <= TOLERANCE * unit):
            break
    return at
