"""Averages of the members' probabilities, over fixed draws from their distribution."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.special import logsumexp

from .._latent.deviations import split_noise
from .._network.heads import Heads, Units
from .._utils.blocks import row_blocks
from .._utils.threads import one_thread
from .._utils.torch_settings import plain_torch
from .averaged_entropies import MAX_CLASSES, average_with_entropy
from .fixed_draws import N_DRAWS, normal_draws
from .two_classes import average_two_classes, log_average_two_classes

# Logits that are held at a time while probabilities are averaged: 4 MB in float32.
BLOCK_SIZE = 2**20

BITS_PER_NAT = float(1 / np.log(2))

# Powers of two up to this, and their inverses, have the full precision of float32.
MAX_POWER = 2.0**126


def coefficients(
    n_outputs: int, q: int, n_pairs: int, mixing: np.ndarray | None = None, r: int = 0
) -> np.ndarray:
    """Coefficients of mean, factors and noise in each draw, (n_outputs, n_pairs, n_columns).

    The mean counts as a factor whose draws are all one. It is followed by the q factors (one if
    there is a mixing), the noise's own r factors, and the output's own noise as another factor.
    Coefficients are in bits: they are divided by the natural logarithm of 2.
    """
    if mixing is None:
        return full_coefficients(n_outputs, q + r, n_pairs)
    draws = BITS_PER_NAT * normal_draws(2 * n_outputs + r, 2 * n_pairs)[:, :n_pairs]
    factors = (mixing @ draws[:n_outputs])[..., None]
    shared = np.broadcast_to(draws[n_outputs : n_outputs + r].T, (n_outputs, n_pairs, r))
    own = draws[n_outputs + r :, :, None]
    return np.concatenate([np.ones_like(own), factors, shared, own], axis=-1)


@cache
def full_coefficients(n_outputs: int, q: int, n_pairs: int) -> np.ndarray:
    """`coefficients` without a mixing of outputs, kept for the next call."""
    draws = BITS_PER_NAT * normal_draws(q + n_outputs, 2 * n_pairs)[:, :n_pairs]
    factors = np.broadcast_to(draws[:q].T, (n_outputs, n_pairs, q))
    noise = draws[q:, :, None]
    joined = np.concatenate([np.ones_like(noise), factors, noise], axis=-1)
    joined.setflags(write=False)  # it is shared by all calls
    return joined


def average_probabilities(
    heads: Heads,
    units: Units,
    with_entropy: bool = False,
    n_draws: int = N_DRAWS,
    every_row: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Average the members' probabilities over fixed draws, and their entropies.

    Two classes need one dimension, where a sum is nearly exact. Entropies of up to `MAX_CLASSES`
    classes are averaged over more draws, and so are the probabilities returned with them.

    Parameters
    ----------
    heads : Heads
        Arrays, for n rows and c latent outputs.
    units : Units
        Units of the heads.
    with_entropy : bool
        Whether to return the entropies.
    n_draws : int
        Number of draws of probabilities of three or more classes, even.
    every_row : bool
        Whether entropies of each row are wanted, rather than averages over rows. They have as many
        draws as the row needs, where there are four to `MAX_CLASSES` classes.

    Returns
    -------
    tuple of array of shape (n, K) and array of shape (n,), or None
        Probabilities, and entropies in nats; float64, computed in the precision of the heads.
    """
    with plain_torch(), one_thread():
        if heads.mean.shape[1] == 1:
            return average_two_classes(heads, units, with_entropy)
        if with_entropy and heads.mean.shape[1] <= MAX_CLASSES:
            return average_with_entropy(heads, units, every_row)
        return _average_mirrored(heads, units, with_entropy, n_draws)


def _average_mirrored(
    heads: Heads, units: Units, with_entropy: bool, n_draws: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Do what `average_probabilities` does, for any number of classes but two."""
    n_samples, n_outputs = heads.mean.shape
    pairs = _MirroredDraws(heads, units, n_draws // 2)
    probabilities = np.empty((n_samples, n_outputs))
    entropy = np.empty(n_samples) if with_entropy else None
    # `logits` and the softmax hold several copies of all members.
    n_part = max(1, pairs.n_rows // 4)
    for rows in row_blocks(n_samples, pairs.n_rows):
        average = None if with_entropy else pairs.average(rows)
        if average is not None:
            probabilities[rows] = average.numpy().T
            continue
        for start in range(rows.start, rows.stop, n_part):
            part = slice(start, min(start + n_part, rows.stop))
            members = pairs.logits(part).softmax(dim=0)
            probabilities[part] = members.mean(dim=1).numpy().T
            if entropy is not None:
                entropy[part] = -torch.xlogy(members, members).sum(dim=0).mean(dim=0).numpy()
    probabilities /= probabilities @ np.ones((probabilities.shape[1], 1))
    return probabilities, entropy


def average_log_probabilities(heads: Heads, units: Units, n_draws: int = N_DRAWS) -> np.ndarray:
    """Logarithm of `average_probabilities`, finite where these are too small for a float."""
    heads = Heads(*(part if part is None else part.astype(np.float64) for part in heads))
    with plain_torch(), one_thread():
        if heads.mean.shape[1] == 1:
            return log_average_two_classes(heads, units)
        return _log_average_mirrored(heads, units, n_draws)


def _log_average_mirrored(heads: Heads, units: Units, n_draws: int) -> np.ndarray:
    """Do what `average_log_probabilities` does, for any number of classes but two."""
    n_samples, n_outputs = heads.mean.shape
    pairs = _MirroredDraws(heads, units, n_draws // 2)
    logarithms = np.empty((n_samples, n_outputs))
    for rows in row_blocks(n_samples, max(1, pairs.n_rows // 4)):
        members = pairs.logits(rows).log_softmax(dim=0).numpy()
        logarithms[rows] = logsumexp(members, axis=1).T - np.log(members.shape[1])
    return logarithms


class _MirroredDraws:
    """Draws of members of three or more classes, each with its mirror image beyond the mean.

    Logits are in bits, since powers of two take less time than powers of e. The middle of the
    mean's logits is shifted to zero, which changes no probability. The rows of a block come last in
    memory, so that loops over them are long. Shared loadings act within one row as a single factor
    whose size is their norm.

    Parameters
    ----------
    heads, units
        As for `average_probabilities`.
    n_pairs : int
        Number of draws that have mirror images.

    Attributes
    ----------
    n_rows : int
        Rows of a block.
    """

    def __init__(self, heads: Heads, units: Units, n_pairs: int):
        n_outputs, dtype = heads.mean.shape[1], heads.mean.dtype
        center, scale, spread = (unit.astype(dtype) for unit in units)
        loadings, std, mixing = heads.loadings, np.exp(0.5 * heads.log_noise), heads.mixing
        q, r = loadings.shape[-1], 0 if heads.noise_shares is None else heads.noise_shares.shape[-1]
        draws = coefficients(n_outputs, q, n_pairs, mixing, r) * spread[:, None, None]
        draws[..., 0] = 1.0
        if mixing is not None:
            loadings = np.linalg.norm(loadings, axis=-1, keepdims=True)
        self.shared, std = split_noise(std, heads.noise_shares)
        mean = scale * heads.mean + center
        mean = BITS_PER_NAT * np.ascontiguousarray(mean.T)
        mean -= (mean.min(axis=0) + mean.max(axis=0)) / 2
        self.mean, self.draws = torch.from_numpy(mean), torch.from_numpy(draws.astype(dtype))
        self.loadings, self.std = loadings, std
        self.n_rows = min(len(std), max(1, BLOCK_SIZE // (2 * n_outputs * n_pairs)))
        # Memory that all blocks use: logits of one member of each pair, of the other member, and
        # the columns of mean, loadings and noise.
        size = n_outputs * self.n_rows
        self._space = self.mean.new_empty(2, size * n_pairs)
        self._columns = self.mean.new_empty(size * self.draws.shape[-1])

    def average(self, rows: slice) -> torch.Tensor | None:
        """Average probabilities (c, m) over members; None if powers leave the range of float32.

        It takes few passes over memory. The mirror image of a member needs no exponential, since
        ``exp(m - d) = exp(2 m) / exp(m + d)``.
        """
        one, other = self._draw(rows)
        squares = torch.exp2(2 * self.mean[:, None, rows])
        torch.div(squares, one.exp2_(), out=other)
        one_sum, other_sum = one.sum(dim=0), other.sum(dim=0)
        # The powers of a pair do not exceed the sums, and their product is a square. The smallest
        # square is the inverse of the largest, because the middle of the logits is zero.
        largest = torch.maximum(one_sum.amax(dim=0), other_sum.amax(dim=0))
        if not (largest * squares.amax(dim=(0, 1))).max() <= MAX_POWER:
            return None
        one.mul_(one_sum.reciprocal_()).addcmul_(other, other_sum.reciprocal_())
        return one.mean(dim=1) / 2

    def logits(self, rows: slice) -> torch.Tensor:
        """Logits of all members (K, 2 n_pairs, m), in nats."""
        one, other = self._draw(rows)
        torch.sub(2 * self.mean[:, None, rows], one, out=other)
        return torch.cat([one, other], dim=1) / BITS_PER_NAT

    def _draw(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (c, n_pairs, m) of one member of each pair, in bits, and memory for the other."""
        mean = self.mean[:, rows]
        n_outputs, n_pairs, n_columns = self.draws.shape
        size = mean.numel()
        columns = self._columns[: size * n_columns].view(n_outputs, n_columns, -1)
        columns[:, 0] = mean
        parts = columns.numpy()
        n_factors = self.loadings.shape[-1]
        parts[:, 1 : 1 + n_factors] = self.loadings[rows].transpose(1, 2, 0)
        if self.shared is not None:
            parts[:, 1 + n_factors : -1] = self.shared[rows].transpose(1, 2, 0)
        parts[:, -1] = self.std[rows].T
        one, other = self._space[:, : size * n_pairs].view(2, n_outputs, n_pairs, -1)
        return torch.bmm(self.draws, columns, out=one), other
