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
from scipy.special import entr

from .._latent.deviations import split_noise
from .._network.heads import Heads, Units
from .._utils.blocks import row_blocks
from .fixed_draws import weighted_pairs

# The factorisation takes time in proportion to the cube of the number of classes. Up to this many
# it takes less than the averages.
MAX_CLASSES = 32

# Logits of one member of each pair that are held at a time: 1 MB in float32.
BLOCK_SIZE = 2**18

# A row is averaged over as many pairs as it needs. All rows have the first number of pairs, in
# N_PARTS parts, which tell how many a row needs. Each number of pairs includes those before.
SIZES = (64, 128, 256, 512, 1024, 2048)
N_PARTS = 16

# Errors of the disagreement of ten classes, divided by the root of the sum of squares of the parts'
# deviations; PART_ERROR counts times the share of the disagreement in the total uncertainty. They
# fit the errors at rows of four students. Errors fall with the power RATE of the number of pairs.
PART_ERROR, HALF_ERROR, RATE = 1.3, 1.1, 0.8

# Root mean square error of the disagreement that is allowed, relative to it; disagreement in nats
# below which more is allowed; and a number of pairs is enough if this many times as many are
# needed, since numbers are rounded.
TOLERANCE, LITTLE_DISAGREEMENT, SLACK = 0.01, 0.05, 1.4

# Numbers in the factors of rows that are averaged together: 2 MB in float32. Rows that need many
# pairs are few, and take less time together.
STAGE_SIZE = 2**19

# Rows whose covariances are factorised at a time.
FACTOR_ROWS = 2**10

# From this many rows, the zeros of a triangular factor are left out of products.
LONG_ROWS = 64

# Smallest disagreement in nats, whose square does not vanish: identical members have none.
LEAST_DISAGREEMENT = 1e-100

# Smallest variance, so that its logarithm is finite.
TINY = np.finfo(np.float64).tiny

# Variance added to each difference of logits, relative to the largest one at the row. Covariances
# may be singular, and are known to about 1e-7 in float32.
JITTER = 1e-6

BITS_PER_NAT = float(1 / np.log(2))

# A normal variable with standard deviation s has a mean probability of about
# sigmoid(mean / sqrt(1 + PROBIT s^2)).
PROBIT = np.pi / 8


def average_with_entropy(
    heads: Heads, units: Units, every_row: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return averaged probabilities (n, K) and entropies (n,) of three to MAX_CLASSES classes.

    Averages over many rows need the same few draws at all rows. Where results of `every_row` are
    wanted, and there are four classes or more, a row has as many draws as its disagreement needs.
    """
    n_samples, n_classes = heads.mean.shape
    mean, loadings, std, mixing = in_units(heads, units)
    shared, std = split_noise(std, heads.noise_shares)
    if every_row and n_classes > 3:
        n_most, average = min(n_samples, STAGE_SIZE // n_classes**2), _average_as_needed
    else:
        n_most = min(n_samples, FACTOR_ROWS)
        average = _Pairs(n_classes - 1, heads.mean.dtype, n_most).average
    probabilities, entropy = np.empty((n_samples, n_classes)), np.empty(n_samples)
    for rows in row_blocks(n_samples, n_most):
        parts = [
            triangular_factor(
                mean[rows][part],
                loadings[rows][part],
                std[rows][part],
                mixing,
                None if shared is None else shared[rows][part],
            )
            for part in row_blocks(rows.stop - rows.start, FACTOR_ROWS)
        ]
        centred, factor, order = (
            np.concatenate(columns) if len(columns) > 1 else columns[0]
            for columns in zip(*parts, strict=True)
        )
        averaged, entropies = average(centred, factor)
        entropy[rows] = entropies.sum(axis=0)
        np.put_along_axis(probabilities[rows], order, averaged.sum(axis=0).T, axis=1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, entropy


def triangular_factor(
    mean: np.ndarray,
    loadings: np.ndarray,
    std: np.ndarray,
    mixing: np.ndarray | None,
    shared: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distribution of the logits less that of the likeliest class, in bits.

    Parameters
    ----------
    mean, std : arrays of shape (m, K)
        Mean of the members' logits, and the standard deviation of each logit's own member noise.
    loadings : array of shape (m, K, q), or (m, 1, q) with a mixing
        Loadings.
    mixing : array of shape (K, K) or None
        Mixing of outputs.
    shared : array of shape (m, K, r) or None
        Loadings of the member noise that logits have in common.

    Returns
    -------
    tuple of arrays of shape (m, K - 1), (m, K - 1, K - 1) and (m, K)
        Means and triangular factor of the covariance, without the likeliest class; and the order
        of the classes, the likeliest class first.
    """
    if mixing is not None:
        loadings = np.linalg.norm(loadings, axis=2, keepdims=True) * mixing
    if shared is not None:  # at one row it is a factor like others
        loadings = np.concatenate([loadings, shared], axis=2)
    rows, noise = np.arange(len(mean)), np.square(std)
    variance = np.square(loadings).sum(axis=2) + noise
    first = (mean / np.sqrt(1 + PROBIT * variance)).argmax(axis=1)
    first_noise = noise[rows, first][:, None]
    mean = mean - mean[rows, first][:, None]
    loadings = loadings - loadings[rows, first][:, None]
    variance = np.square(loadings).sum(axis=2) + noise + first_noise
    variance = variance.astype(np.float64)  # TINY is zero in float32
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


def _average_as_needed(mean: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average as `_Pairs.average` does, over as many pairs as each row needs.

    What a row needs depends on that row alone.
    """
    (n_rows, n_others), n_done = mean.shape, SIZES[0]
    pairs = _Pairs(n_others, mean.dtype, n_rows, range(n_done), N_PARTS)
    parts = pairs.average(mean, factor)
    wanted, rows = count_pairs(parts[0], parts[1], n_done), np.arange(n_rows)
    averaged, entropy = (part.sum(axis=0, keepdims=True) for part in parts)
    for size in SIZES[1:]:
        rows = rows[wanted[rows] >= size]
        if len(rows) == 0:
            break
        pairs = _Pairs(n_others, mean.dtype, len(rows), range(n_done, size))
        more = pairs.average(mean[rows], factor[rows])
        # There are as many pairs as before: both are halves.
        halves = [
            np.concatenate([all_rows[..., rows], part]) / 2
            for all_rows, part in zip((averaged, entropy), more, strict=True)
        ]
        averaged[..., rows], entropy[..., rows] = (half.sum(axis=0) for half in halves)
        wanted[rows] = np.maximum(wanted[rows], count_pairs(halves[0], halves[1], size))
        n_done = size
    return averaged, entropy


def count_pairs(averaged: np.ndarray, entropy: np.ndarray, n_done: int) -> np.ndarray:
    """Number of pairs (m,), of SIZES, that a row needs by what averages over parts tell.

    Averages are those of `_Pairs.average` over the first `n_done` pairs. From one row or student to
    another, the error of averages over more pairs is about in proportion to differences between
    parts. It is also in proportion to the share of the disagreement in the total uncertainty: the
    surer the members are, the steeper is the integrand, and the less do low-discrepancy draws gain.
    """
    mean = averaged.sum(axis=0)
    total = np.maximum(entr(mean).sum(axis=0), TINY)
    disagreement = np.maximum(total - entropy.sum(axis=0), LEAST_DISAGREEMENT)
    # Divergence of members from the average, whose mean is the disagreement.
    logs = np.log(np.maximum(mean, TINY))
    deviations = -np.einsum("pkm,km->pm", averaged, logs) - entropy
    deviations -= averaged.sum(axis=1) * disagreement  # probabilities add up to a part's weight
    error = np.sqrt(np.square(deviations).sum(axis=0))
    error *= HALF_ERROR if len(entropy) == 2 else PART_ERROR * disagreement / total
    error *= np.sqrt(len(mean) / 10)  # low-discrepancy draws gain less in more dimensions
    # The allowed error grows as the disagreement falls below LITTLE_DISAGREEMENT.
    allowed = TOLERANCE * np.maximum(disagreement, LITTLE_DISAGREEMENT**3 / disagreement**2)
    wanted = n_done * (error / allowed) ** (1 / RATE)
    return np.array(SIZES)[np.searchsorted(SIZES[:-1], wanted / SLACK)]


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
    pairs : range or None
        Pairs of a long sequence; None for those of `weighted_pairs` by default.
    n_parts : int
        Number of parts of the pairs, of equal size, whose averages are returned.
    """

    def __init__(
        self,
        n_others: int,
        dtype: np.dtype,
        n_most: int,
        pairs: range | None = None,
        n_parts: int = 1,
    ):
        self.draws, self.weights, self.farthest = _pairs_as_tensors(n_others, dtype, pairs)
        self.n_parts = n_parts
        # Parts are consecutive points. Those of one part are n_parts apart here, which makes the
        # loops of sums over them long.
        order = np.arange(len(self.draws)).reshape(n_parts, -1).T.ravel()
        self.draws, self.weights = self.draws[order], self.weights[order]
        # Powers of two of logits up to this size are floats, and so are their sums.
        self.limit = np.finfo(dtype).maxexp - 8
        size = n_others * len(self.draws)
        self.n_rows = max(1, min(n_most, BLOCK_SIZE // size))
        # Memory that all blocks use: deviations, and powers of both members of each pair.
        self._space = torch.empty(3, size * self.n_rows, dtype=self.draws.dtype, device="cpu")

    def average(self, mean: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average over each part of the pairs, of which there is one or N_PARTS.

        Returns
        -------
        tuple of arrays of shape (n_parts, K, m) and (n_parts, m)
            Averaged probabilities, the likeliest class first, and entropies in nats: each part's
            share of the averages over all pairs, which are their sums.
        """
        n_rows, n_others = mean.shape
        probabilities = np.empty((self.n_parts, n_others + 1, n_rows))
        entropy = np.empty((self.n_parts, n_rows))
        std = np.sqrt(np.einsum("mkl,mkl->mk", factor, factor))
        reach = self.farthest * std + np.maximum(mean, 0)
        is_near = reach.max(axis=1) < self.limit
        for rows, average in ((is_near, self._average_near), (~is_near, self._average_far)):
            indices = np.flatnonzero(rows)
            for block in row_blocks(len(indices), self.n_rows):
                part: np.ndarray | slice = indices[block]
                first_row, last_row = indices[block.start], indices[block.stop - 1]
                if last_row - first_row == block.stop - block.start - 1:
                    part = slice(first_row, last_row + 1)  # it takes less time
                columns = torch.from_numpy(np.ascontiguousarray(factor[part].transpose(1, 2, 0)))
                averaged, first, bits = average(
                    torch.from_numpy(mean[part]).T.contiguous(), columns
                )
                probabilities[:, 1:, part] = averaged.transpose(0, 1).numpy()
                probabilities[:, 0, part] = first.numpy()
                entropy[:, part] = bits.numpy() / BITS_PER_NAT
        return probabilities, entropy

    def _sum(self, terms: torch.Tensor) -> torch.Tensor:
        """Sums (..., n_parts, m) of terms (..., n_pairs, m) over the pairs of each part."""
        return terms.unflatten(-2, (-1, self.n_parts)).sum(dim=-3)

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

        Return averaged probabilities (K - 1, n_parts, m), those of the likeliest class, and
        entropies in bits. It takes few passes over memory.
        """
        deviations = self._deviations(columns)
        one, other = self._space[1:, : deviations.numel()].view(2, *deviations.shape)
        powers = mean.exp2()[:, None]
        torch.exp2(deviations, out=one)
        torch.div(powers, one, out=other)
        one_sum, other_sum = one.mul_(powers).sum(dim=0), other.sum(dim=0)
        logs = self._sum((one_sum.log1p() + other_sum.log1p()).mul_(self.weights)) * BITS_PER_NAT
        one_share, other_share = self.weights / one_sum.add_(1), self.weights / other_sum.add_(1)
        averaged = self._sum(one.mul_(one_share)) + self._sum(other.mul_(other_share))
        # Logits averaged over each member's own classes: what the means and deviations contribute.
        expected = (mean[:, None] * averaged).sum(dim=0)
        expected += self._sum(one.sub_(other).mul_(deviations).sum(dim=0))
        return averaged, self._sum(one_share + other_share), logs - expected

    def _average_far(self, mean: torch.Tensor, columns: torch.Tensor):
        """Average as `_average_near` does, over members with logits of any size."""
        deviations, mean = self._deviations(columns), mean[:, None]
        averaged, bits = mean.new_zeros(()), mean.new_zeros(())
        for logits in (mean + deviations, mean - deviations):
            logits = torch.cat([torch.zeros_like(logits[:1]), logits]) / BITS_PER_NAT
            logs = logits.log_softmax(dim=0)
            members = logs.exp()
            bits = bits - self._sum((members * logs).sum(dim=0).mul_(self.weights)) * BITS_PER_NAT
            averaged = averaged + self._sum(members.mul_(self.weights))
        return averaged[1:], averaged[0], bits


@cache
def _pairs_as_tensors(
    n_dimensions: int, dtype: np.dtype, pairs: range | None
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return draws (n_pairs, n_dimensions), weights (n_pairs, 1), and a draw's largest norm."""
    points, weights = (part.T.astype(dtype) for part in weighted_pairs(n_dimensions, pairs))
    farthest = float(np.linalg.norm(points, axis=1).max())
    return torch.from_numpy(points), torch.from_numpy(weights[:, None]), farthest


def in_units(heads: Heads, units: Units):
    """Return mean, loadings, standard deviation of the noise, and mixing in units of the logits."""
    center, scale, spread = (unit.astype(heads.mean.dtype) for unit in units)
    mean = scale * heads.mean + center
    std = spread * np.exp(0.5 * heads.log_noise)
    if heads.mixing is None:
        return mean, spread[:, None] * heads.loadings, std, None
    return mean, heads.loadings, std, spread[:, None] * heads.mixing
