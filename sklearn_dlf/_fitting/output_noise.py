"""The last step of a fit with several outputs: the member noise's correlations over outputs.

Heads are fitted with a noise that is independent from output to output. What factors leave of the
members' covariance over outputs at a row is given to the noise here, by a linear head on the
features that the network has already. Body and other heads stay as they are, and so do mean and
variance of the members. The target has a closed form at every design point, Eq. (29), so that it is
a small least-squares problem in the head alone.

The refinement of classifiers comes before it and draws a noise that is independent. Its students
predict no better if it draws the noise with correlations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .._latent.deviations import output_covariance
from .._network.heads import Heads, noise_shares
from .._network.students import StudentNetwork
from .._transfer.contrasts import Contrasts
from .._utils.blocks import spaced_rows
from .._utils.threads import one_thread

# Factors of the noise, at most one less than there are outputs. Two are too few for five targets,
# and a fourth gains little.
MAX_FACTORS = 3

# Most columns of the head, which bounds its size: with 100 features it has 20 KB.
MAX_COLUMNS = 48

# Design points that are used, spread evenly over all. With twice as many, the correlations at other
# rows do not get nearer to the members'.
MAX_ROWS = 2000

# Iterations of L-BFGS, and earlier steps that it uses. More iterations gain nothing at other rows.
N_ITERATIONS, HISTORY = 40, 20

# Weights of the head's mean squared slope and bias against squared errors of a correlation, summed
# over rows. Features are standardised. They shrink correlations where rows are few.
SLOPE_RIDGE, BIAS_RIDGE = 100.0, 1.0

# Share of an output's noise variance that the factors have at the start.
START_SHARE = 0.5


class CorrelationTargets(NamedTuple):
    """Members' correlations over outputs less what the factors explain of them, Eq. (29).

    Attributes
    ----------
    missing : array of shape (m, c, c)
        Correlation of the members' outputs, less the factors' part of it.
    weight : array of shape (m, c, c)
        What a correlation of one in the noise would add.
    rows : array of shape (m,)
        Weights of the rows.
    """

    missing: np.ndarray
    weight: np.ndarray
    rows: np.ndarray


def learn_output_noise(network: StudentNetwork, X: np.ndarray, contrasts: Contrasts) -> nn.Linear:
    """Return a head of `noise_shares` for a trained network, from its design points X (m, ...)."""
    rows = np.flatnonzero(contrasts.weights > 0)
    rows = rows[spaced_rows(len(rows), MAX_ROWS)]
    targets = correlation_targets(network.evaluate(X[rows]), contrasts, rows)
    with one_thread():
        head = fit_noise_head(network.evaluate_body(X[rows]).astype(np.float64), targets)
    return head.to(network.device)


def correlation_targets(heads: Heads, contrasts: Contrasts, rows: np.ndarray) -> CorrelationTargets:
    """Return what the noise has to explain at some design points, from the heads at them."""
    loadings = np.asarray(heads.loadings, dtype=np.float64)
    explained = output_covariance(loadings, heads.mixing)
    noise = np.exp(0.5 * np.asarray(heads.log_noise, dtype=np.float64))
    factors = np.einsum("mkk->mk", explained)
    std = np.sqrt(factors + noise**2)
    residuals = contrasts.residuals_at(rows)
    length = np.sqrt(np.square(residuals).sum(axis=-1, keepdims=True))
    # An output in which all members agree has no correlation with others.
    residuals = residuals / np.where(length > 0, length, np.inf)
    share = noise / std
    return CorrelationTargets(
        residuals @ residuals.swapaxes(1, 2) - explained / (std[:, :, None] * std[:, None]),
        share[:, :, None] * share[:, None],
        contrasts.weights[rows],
    )


def fit_noise_head(features: np.ndarray, targets: CorrelationTargets) -> nn.Linear:
    """Return a head of `noise_shares`, fitted to features (m, n_body_features). Eqs. (28), (29)."""
    n_outputs = targets.missing.shape[1]
    n_factors = min(MAX_FACTORS, n_outputs - 1, max(1, MAX_COLUMNS // n_outputs))
    center, unit = features.mean(axis=0), features.std(axis=0)
    unit[unit == 0] = 1.0  # a constant feature has no slope
    X = torch.from_numpy((features - center) / unit)
    missing, weight, rows = (torch.from_numpy(np.float64(part)) for part in targets)
    bias = torch.from_numpy(_start(targets, n_factors)).requires_grad_()
    slope = X.new_zeros(X.shape[1], n_outputs * n_factors).requires_grad_()
    upper = torch.triu(torch.ones(n_outputs, n_outputs, dtype=torch.float64), diagonal=1)
    optimizer = torch.optim.LBFGS(
        [slope, bias],
        max_iter=N_ITERATIONS,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )

    def loss():
        optimizer.zero_grad()
        shared = noise_shares((X @ slope).unflatten(1, bias.shape) + bias)
        error = (weight * (shared @ shared.transpose(1, 2)) - missing) * upper
        squares = error.square().sum(dim=(1, 2)) @ rows / upper.sum()
        ridge = SLOPE_RIDGE * slope.square().mean() + BIAS_RIDGE * bias.square().mean()
        total = (squares + ridge) / len(X)
        total.backward()
        return total

    optimizer.step(loss)
    head = nn.utils.skip_init(nn.Linear, X.shape[1], n_outputs * n_factors, dtype=torch.float32)
    with torch.no_grad():
        scaled = slope / torch.from_numpy(unit)[:, None]
        head.weight.copy_(scaled.T)
        head.bias.copy_(bias.flatten() - torch.from_numpy(center) @ scaled)
    return head


def _start(targets: CorrelationTargets, n_factors: int) -> np.ndarray:
    """First biases (c, r): leading directions of correlations that are the same at all rows."""
    rows = targets.rows[:, None, None]
    products = (rows * targets.weight * targets.missing).sum(axis=0)
    squares = (rows * np.square(targets.weight)).sum(axis=0)
    constant = products / np.maximum(squares, np.finfo(np.float64).tiny)
    np.fill_diagonal(constant, 1.0)
    values, vectors = np.linalg.eigh(np.clip(constant, -1.0, 1.0))
    leading = vectors[:, ::-1][:, :n_factors] * np.sqrt(np.maximum(values[::-1][:n_factors], 0.0))
    length = np.sqrt(np.square(leading).sum(axis=1, keepdims=True))
    leading *= np.minimum(1.0, np.sqrt(START_SHARE) / np.maximum(length, START_SHARE))
    return leading / np.sqrt(1 - np.square(leading).sum(axis=1, keepdims=True))
