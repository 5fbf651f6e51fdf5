"""Averages of the members' probabilities and entropies, whose difference is their disagreement.

The epistemic uncertainty is the small difference of two averages, and needs more draws than
probabilities do. At one row, logits are Gaussian with a covariance of their own. Only differences
of logits count. They are written as a triangular matrix times independent normals, such that the
first normals matter most: the classes that are likely and vary come first. This needs one
dimension less than there are classes, whatever the number of factors. Fixed draws fill the first
dimensions best.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from .._latent.deviations import factor_variance
from .._network.heads import Heads, Units
from .._utils.blocks import row_blocks
from .fixed_draws import weighted_pairs

# The factorisation takes time in proportion to the cube of the number of classes. Up to this many
# it takes less than the averages.
MAX_CLASSES = 32

# Logits of one member of each pair that are held at a time: 1 MB in float32.
BLOCK_SIZE = 2**18

# Rows whose covariances are factorised at a time.
FACTOR_ROWS = 2**10

# From this many rows, the zeros of a triangular factor are left out of products.
LONG_ROWS = 64

# Smallest variance, so that its logarithm is finite.
TINY = np.finfo(np.float64).tiny

# Variance added to each difference of logits, relative to the largest one at the row. Covariances
# may be singular, and are known to about 1e-7 in float32.
JITTER = 1e-6

BITS_PER_NAT = float(1 / np.log(2))

# A normal variable with standard deviation s has a mean probability of about
# sigmoid(mean / sqrt(1 + PROBIT s^2)).
PROBIT = np.pi / 8


def average_two_classes(
    heads: Heads, units: Units, with_entropy: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return averages over the members of one log-odds, as `average_probabilities` does.

    Factors and noise are one normal deviation, so that a sum over a line is nearly exact.
    """
    mean, loadings, std, mixing = _in_units(heads, units)
    std = np.sqrt(std**2 + factor_variance(loadings, mixing))
    means, stds = torch.from_numpy(mean[:, 0]), torch.from_numpy(std[:, 0])
    points, weights = _line(mean.dtype)
    probabilities = np.empty((len(mean), 2))
    entropy = np.empty(len(mean)) if with_entropy else None
    for rows in row_blocks(len(mean), BLOCK_SIZE // len(points)):
        odds = torch.addcmul(means[rows], points[:, None], stds[rows])
        for label, sign in ((0, -1.0), (1, 1.0)):
            probabilities[rows, label] = (weights @ torch.sigmoid(sign * odds)).numpy()
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
    mean, loadings, std, mixing = _in_units(heads, units)
    std = np.sqrt(std**2 + factor_variance(loadings, mixing))
    points, weights = _line(mean.dtype)
    logarithms = np.empty((len(mean), 2))
    for rows in row_blocks(len(mean), BLOCK_SIZE // len(points)):
        odds = torch.from_numpy(mean[rows]) + points * torch.from_numpy(std[rows])
        for label, sign in ((0, -1.0), (1, 1.0)):
            logs = torch.nn.functional.logsigmoid(sign * odds) + weights.log()
            logarithms[rows, label] = logs.logsumexp(dim=1).numpy()
    return np.minimum(logarithms, 0.0)  # weights sum to one but for rounding


def average_with_entropy(heads: Heads, units: Units) -> tuple[np.ndarray, np.ndarray]:
    """Return averaged probabilities (n, K) and entropies (n,) of three to MAX_CLASSES classes."""
    n_samples, n_classes = heads.mean.shape
    mean, loadings, std, mixing = _in_units(heads, units)
    pairs = _Pairs(n_classes - 1, heads.mean.dtype, min(n_samples, FACTOR_ROWS))
    probabilities, entropy = np.empty((n_samples, n_classes)), np.empty(n_samples)
    for rows in row_blocks(n_samples, FACTOR_ROWS):
        centred, factor, order = triangular_factor(mean[rows], loadings[rows], std[rows], mixing)
        averaged, entropy[rows] = pairs.average(centred, factor)
        np.put_along_axis(probabilities[rows], order, averaged, axis=1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, entropy


def triangular_factor(
    mean: np.ndarray, loadings: np.ndarray, std: np.ndarray, mixing: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distribution of the logits less that of the likeliest class, in bits.

    Parameters
    ----------
    mean, std : arrays of shape (m, K)
        Mean of the members' logits, and the standard deviation of the member noise.
    loadings : array of shape (m, K, q), or (m, 1, q) with a mixing
        Loadings.
    mixing : array of shape (K, K) or None
        Mixing of outputs.

    Returns
    -------
    tuple of arrays of shape (m, K - 1), (m, K - 1, K - 1) and (m, K)
        Means and triangular factor of the covariance, without the likeliest class; and the order
        of the classes, the likeliest class first.
    """
    if mixing is not None:
        loadings = np.linalg.norm(loadings, axis=2, keepdims=True) * mixing
    rows, noise = np.arange(len(mean)), np.square(std)
    variance = np.square(loadings).sum(axis=2) + noise
    first = (mean / np.sqrt(1 + PROBIT * variance)).argmax(axis=1)
    first_noise = noise[rows, first][:, None]
    mean = mean - mean[rows, first][:, None]
    loadings = loadings - loadings[rows, first][:, None]
    variance = np.square(loadings).sum(axis=2) + noise + first_noise
    # The logarithm of the variance times about the probability, up to a constant of the row.
    importance = mean / np.sqrt(1 + PROBIT * variance) + np.log(np.maximum(variance, TINY))
    importance[rows, first] = np.inf
    order = np.argsort(-importance, axis=1)
    others, rows = order[:, 1:], rows[:, None]
    loadings = loadings[rows, others]
    covariance = (loadings @ loadings.transpose(0, 2, 1)).astype(np.float64)
    covariance += first_noise[:, None]
    diagonal = np.arange(others.shape[1])
    jitter = JITTER * variance.max(axis=1, keepdims=True) + TINY
    covariance[:, diagonal, diagonal] += noise[rows, others] + jitter
    factor = BITS_PER_NAT * np.linalg.cholesky(covariance)
    return BITS_PER_NAT * mean[rows, others], factor.astype(mean.dtype), order


class _Pairs:
    """Averages over pairs of members, mirror images of each other about the mean.

    Logits are those of `triangular_factor`: in bits, since powers of two take less time than powers
    of e. The likeliest class has a logit of zero. The rows of a block come last in memory, so that
    loops over them are long.

    Parameters
    ----------
    n_others : int
        Classes other than the likeliest one.
    dtype : dtype
        Of the logits.
    n_most : int
        Most rows at a time.
    """

    def __init__(self, n_others: int, dtype: np.dtype, n_most: int):
        self.draws, self.weights, self.farthest = _pairs_as_tensors(n_others, dtype)
        # Powers of two of logits up to this size are floats, and so are their sums.
        self.limit = np.finfo(dtype).maxexp - 8
        size = n_others * len(self.draws)
        self.n_rows = max(1, min(n_most, BLOCK_SIZE // size))
        # Memory that all blocks use: deviations, and powers of both members of each pair.
        self._space = torch.empty(3, size * self.n_rows, dtype=self.draws.dtype)

    def average(self, mean: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Averaged probabilities (m, K), the likeliest class first, and entropies (m,) in nats."""
        probabilities, entropy = np.empty((len(mean), mean.shape[1] + 1)), np.empty(len(mean))
        reach = self.farthest * np.sqrt(np.square(factor).sum(axis=2)) + np.maximum(mean, 0)
        is_near = reach.max(axis=1) < self.limit
        for rows, average in ((is_near, self._average_near), (~is_near, self._average_far)):
            indices = np.flatnonzero(rows)
            for block in row_blocks(len(indices), self.n_rows):
                part = indices[block]
                columns = torch.from_numpy(np.ascontiguousarray(factor[part].transpose(1, 2, 0)))
                averaged, first, bits = average(
                    torch.from_numpy(mean[part]).T.contiguous(), columns
                )
                probabilities[part, 1:], probabilities[part, 0] = averaged.numpy().T, first.numpy()
                entropy[part] = bits.numpy() / BITS_PER_NAT
        return probabilities, entropy

    def _deviations(self, columns: torch.Tensor) -> torch.Tensor:
        """Deviations (K - 1, n_pairs, m) of one member of each pair, from columns of factors."""
        n_others, _, n_rows = columns.shape
        size = n_others * len(self.draws) * n_rows
        deviations = self._space[0, :size].view(n_others, -1, n_rows)
        if n_rows < LONG_ROWS:
            return torch.matmul(self.draws, columns, out=deviations)
        for k in range(n_others):  # the factor is triangular
            torch.mm(self.draws[:, : k + 1], columns[k, : k + 1], out=deviations[k])
        return deviations

    def _average_near(self, mean: torch.Tensor, columns: torch.Tensor):
        """Average over members whose powers of two are floats; means (K - 1, m).

        Return averaged probabilities (K - 1, m), those of the likeliest class, and entropies in
        bits. It takes few passes over memory.
        """
        deviations = self._deviations(columns)
        one, other = self._space[1:, : deviations.numel()].view(2, *deviations.shape)
        powers = mean.exp2()[:, None]
        torch.exp2(deviations, out=one)
        torch.div(powers, one, out=other)
        one_sum, other_sum = one.mul_(powers).sum(dim=0), other.sum(dim=0)
        logs = (one_sum.log1p() + other_sum.log1p()).mul_(self.weights).sum(dim=0) * BITS_PER_NAT
        one_share, other_share = self.weights / one_sum.add_(1), self.weights / other_sum.add_(1)
        averaged = one.mul_(one_share).sum(dim=1) + other.mul_(other_share).sum(dim=1)
        # Logits averaged over each member's own classes: what the means and deviations contribute.
        expected = (mean * averaged).sum(dim=0)
        expected += one.sub_(other).mul_(deviations).sum(dim=(0, 1))
        return averaged, (one_share + other_share).sum(dim=0), logs - expected

    def _average_far(self, mean: torch.Tensor, columns: torch.Tensor):
        """Average as `_average_near` does, over members with logits of any size."""
        deviations, mean = self._deviations(columns), mean[:, None]
        logits = torch.cat([mean + deviations, mean - deviations], dim=1) / BITS_PER_NAT
        logs = torch.cat([torch.zeros_like(logits[:1]), logits]).log_softmax(dim=0)
        weights, members = torch.cat([self.weights, self.weights]), logs.exp()
        bits = -(members * logs).sum(dim=0).mul_(weights).sum(dim=0) * BITS_PER_NAT
        averaged = members.mul_(weights).sum(dim=1)
        return averaged[1:], averaged[0], bits


@cache
def _line(dtype: np.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points of a line and their weights, which sum to one, each (n_points,)."""
    points, weights = (torch.from_numpy(part.astype(dtype)) for part in weighted_pairs(1))
    return torch.cat([points[0], -points[0]]), torch.cat([weights, weights])


@cache
def _pairs_as_tensors(
    n_dimensions: int, dtype: np.dtype
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return draws (n_pairs, n_dimensions), weights (n_pairs, 1), and a draw's largest norm."""
    points, weights = (part.T.astype(dtype) for part in weighted_pairs(n_dimensions))
    farthest = float(np.linalg.norm(points, axis=1).max())
    return torch.from_numpy(points), torch.from_numpy(weights[:, None]), farthest


def _in_units(heads: Heads, units: Units):
    """Return mean, loadings, standard deviation of the noise, and mixing in units of the logits."""
    center, scale, spread = (unit.astype(heads.mean.dtype) for unit in units)
    mean = scale * heads.mean + center
    std = spread * np.exp(0.5 * heads.log_noise)
    if heads.mixing is None:
        return mean, spread[:, None] * heads.loadings, std, None
    return mean, heads.loadings, std, spread[:, None] * heads.mixing
