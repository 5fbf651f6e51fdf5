"""Averages of the members' probabilities, over fixed draws from their distribution."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import norm, qmc

from .._latent.deviations import factor_variance
from .._utils.blocks import row_blocks

# Draws that probabilities are averaged over. Half are the others' mirror images.
N_DRAWS = 100

# Logits that are held at a time while probabilities are averaged: four megabytes of float32.
BLOCK_SIZE = 2**20

BITS_PER_NAT = float(1 / np.log(2))

# Powers of two as large as this, and their inverses, are far enough from the ends of float32 to be
# held to its full precision.
MAX_POWER = 2.0**126


@cache
def normal_draws(n_dimensions, n_draws=N_DRAWS):
    """Fixed draws (n_dimensions, n_draws) of the standard normal.

    A Sobol sequence and its mirror image, so that the mean is zero; in one dimension the midpoints
    of equally likely intervals. Their second moments are made those of the standard normal, all of
    them where there are enough draws and the variances otherwise.
    """
    half = n_draws // 2
    if n_dimensions == 1:
        points = (np.arange(half)[:, None] + half + 0.5) / n_draws
    else:
        # A seed's name has changed in scipy; positions in the middle of strata need none.
        log_strata = int(np.ceil(np.log2(half)))
        points = qmc.Sobol(n_dimensions, scramble=False).random_base2(log_strata)[:half]
        points += 0.5 / 2**log_strata
    draws = norm.ppf(points).T
    if n_dimensions < half:
        draws = solve_triangular(cholesky(draws @ draws.T / half, lower=True), draws, lower=True)
    else:
        draws /= np.sqrt(np.mean(draws**2, axis=1, keepdims=True))
    return np.concatenate([draws, -draws], axis=1)


def coefficients(n_outputs, q, n_pairs, mixing=None):
    """What draws take of mean, loadings and noise, (n_outputs, n_pairs, 2 + q or 3), in bits.

    The mean is one more factor, whose draws are all one; the output's own noise is another.
    """
    if mixing is None:
        return full_coefficients(n_outputs, q, n_pairs)
    draws = BITS_PER_NAT * normal_draws(2 * n_outputs, 2 * n_pairs)[:, :n_pairs]
    factors = mixing @ draws[:n_outputs]
    return np.stack([np.ones_like(factors), factors, draws[n_outputs:]], axis=-1)


@cache
def full_coefficients(n_outputs, q, n_pairs):
    """The same without a mixing of outputs."""
    draws = BITS_PER_NAT * normal_draws(q + n_outputs, 2 * n_pairs)[:, :n_pairs]
    factors = np.broadcast_to(draws[:q].T, (n_outputs, n_pairs, q))
    noise = draws[q:, :, None]
    return np.concatenate([np.ones_like(noise), factors, noise], axis=-1)


def average_probabilities(heads, center, scale, spread, with_entropy=False, n_draws=N_DRAWS):
    """Average over `normal_draws` of the members' probabilities, and of their entropies.

    Parameters
    ----------
    heads : Heads
        Arrays, for n rows and c latent outputs.
    center, scale, spread : array of shape (c,)
        Units of the heads, as for ``Heads.in_units``.
    with_entropy : bool
        Whether the entropies are wanted.
    n_draws : int
        Even number of draws.

    Returns
    -------
    tuple of array of shape (n, K) and array of shape (n,), or None
        Probabilities, and entropies in nats; float64, computed in the precision of the heads.
    """
    n_samples, n_outputs = heads.mean.shape
    pairs = _Pairs(heads, center, scale, spread, n_draws // 2)
    probabilities = np.empty((n_samples, max(n_outputs, 2)))
    entropy = np.empty(n_samples) if with_entropy else None
    # What is not done in place holds all members some times over.
    n_part = max(1, pairs.n_rows // 4)
    for rows in row_blocks(n_samples, pairs.n_rows):
        average = None if n_outputs == 1 or with_entropy else pairs.average(rows)
        if average is not None:
            probabilities[rows] = average.numpy().T
            continue
        for start in range(rows.start, rows.stop, n_part):
            part = slice(start, min(start + n_part, rows.stop))
            members = pairs.probabilities(part)
            probabilities[part] = members.mean(dim=1).numpy().T
            if entropy is not None:
                entropy[part] = -torch.xlogy(members, members).sum(dim=0).mean(dim=0).numpy()
    probabilities /= probabilities @ np.ones((probabilities.shape[1], 1))
    return probabilities, entropy


class _Pairs:
    """Draws of members, each with its mirror image on the other side of the mean.

    Logits are taken in bits, as powers of two take less time than those of e; where there is more
    than one, the middle of the mean's is zero. A block's rows come last, so that many are done in
    long loops. With shared loadings the law within one row is that of one factor, their norm.

    Parameters
    ----------
    heads, center, scale, spread
        As for `average_probabilities`.
    n_pairs : int
        Of draws.

    Attributes
    ----------
    n_rows : int
        Rows of a block.
    """

    def __init__(self, heads, center, scale, spread, n_pairs):
        n_outputs, dtype = heads.mean.shape[1], heads.mean.dtype
        center, scale, spread = (unit.astype(dtype) for unit in (center, scale, spread))
        loadings, std, mixing = heads.loadings, np.exp(0.5 * heads.log_noise), heads.mixing
        if n_outputs == 1:  # one dimension is all there is
            std = np.sqrt(std**2 + factor_variance(loadings, mixing))
            loadings, mixing = loadings[..., :0], None
        draws = coefficients(n_outputs, loadings.shape[-1], n_pairs, mixing) * spread[:, None, None]
        draws[..., 0] = 1.0
        if mixing is not None:
            loadings = np.linalg.norm(loadings, axis=-1, keepdims=True)
        mean = scale * heads.mean + center
        mean = BITS_PER_NAT * np.ascontiguousarray(mean.T)
        if n_outputs > 1:
            mean -= (mean.min(axis=0) + mean.max(axis=0)) / 2
        self.mean, self.draws = torch.from_numpy(mean), torch.from_numpy(draws.astype(dtype))
        self.loadings, self.std = loadings, std
        self.n_rows = min(len(std), max(1, BLOCK_SIZE // (2 * n_outputs * n_pairs)))
        # Memory of a block: of one member of each pair, of the other, of the mean and the loadings.
        size = n_outputs * self.n_rows
        self._space = torch.empty(2, size * n_pairs, dtype=self.mean.dtype)
        self._columns = torch.empty(size * self.draws.shape[-1], dtype=self.mean.dtype)

    def average(self, rows):
        """Average over members of their probabilities (c, m), or None near the ends of float32.

        It takes few passes over memory. The mirror image of a member takes no exponentials, as
        ``exp(m - d) = exp(2 m) / exp(m + d)``.
        """
        one, other = self._draw(rows)
        squares = torch.exp2(2 * self.mean[:, None, rows])
        torch.div(squares, one.exp2_(), out=other)
        one_sum, other_sum = one.sum(dim=0), other.sum(dim=0)
        # No power of a pair exceeds the sums. Their product is a square, and the smallest square is
        # the inverse of the largest.
        largest = torch.maximum(one_sum.amax(dim=0), other_sum.amax(dim=0))
        if not (largest * squares.amax(dim=(0, 1))).max() <= MAX_POWER:
            return None
        one.mul_(one_sum.reciprocal_()).addcmul_(other, other_sum.reciprocal_())
        return one.mean(dim=1) / 2

    def probabilities(self, rows):
        """Probabilities of all members (K, 2 S, m)."""
        one, other = self._draw(rows)
        torch.sub(2 * self.mean[:, None, rows], one, out=other)
        logits = torch.cat([one, other], dim=1) / BITS_PER_NAT
        if len(logits) == 1:  # log-odds stand against a logit of zero
            logits = torch.cat([torch.zeros_like(logits), logits])
        return logits.softmax(dim=0)

    def _draw(self, rows):
        """Logits (c, S, m) of one member of each pair, in bits, and space for the others'."""
        mean = self.mean[:, rows]
        n_outputs, n_pairs, n_columns = self.draws.shape
        size = mean.numel()
        columns = self._columns[: size * n_columns].view(n_outputs, n_columns, -1)
        columns[:, 0] = mean
        parts = columns.numpy()
        parts[:, 1:-1] = self.loadings[rows].transpose(1, 2, 0)
        parts[:, -1] = self.std[rows].T
        one, other = self._space[:, : size * n_pairs].view(2, n_outputs, n_pairs, -1)
        return torch.bmm(self.draws, columns, out=one), other
