"""Fixed draws of the standard normal, over which members are averaged, and their weights."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import norm, qmc

# Number of draws that probabilities are averaged over; half are mirror images of the others. Its
# error is printed by benchmarks/averaging.py.
N_DRAWS = 100

# Pairs of draws that entropies are averaged over in three or more dimensions. It is a power of two,
# since Sobol sequences are balanced there. More pairs take more time in proportion.
N_PAIRS = 128

# Bits of a shifted point, and the seed of the shift: of twelve seeds, one whose error on the digits
# was among the smallest for three kinds of ensembles. The long sequence has the same seed.
N_BITS, SEED = 30, 10

# Draws of parts of a long sequence have this standard deviation in this many first dimensions, and
# weights that make up for it: members that disagree are often far from the mean.
STRETCH, STRETCHED = 1.25, 4

# One dimension has a grid of this many pairs. It ends this many standard deviations from the mean,
# beyond which 1e-5 of the distribution lies.
LINE_PAIRS, LINE_REACH = 50, 4.5

# Pairs that are enough for the mean of a sigmoid up to each of these standard deviations. The error
# of a step h is about exp(-2 pi^2 / (h std)), from the sigmoid's poles: 1e-8, less than the
# rounding of float32.
ENOUGH_PAIRS = ((13, 3.0), (25, 6.0))

# Two dimensions have a grid with these steps, inside a circle with this radius, beyond which 3e-4
# of the distribution lies. The second dimension has the smaller variance and the larger step.
DISC_STEPS, DISC_REACH = (0.5, 0.7), 4.0


@cache
def normal_draws(n_dimensions: int, n_draws: int = N_DRAWS) -> np.ndarray:
    """Fixed draws (n_dimensions, n_draws) of the standard normal.

    They are a Sobol sequence and its mirror image, so that their mean is zero. In one dimension
    they are the midpoints of equally likely intervals. Their second moments are set to those of the
    standard normal: all of them where there are enough draws, and the variances otherwise.
    """
    half = n_draws // 2
    if n_dimensions == 1:
        points = (np.arange(half)[:, None] + half + 0.5) / n_draws
    else:
        # scipy has renamed the seed of scrambled sequences. Midpoints of strata need no seed.
        log_strata = int(np.ceil(np.log2(half)))
        points = qmc.Sobol(n_dimensions, scramble=False).random_base2(log_strata)[:half]
        points += 0.5 / 2**log_strata
    draws = norm.ppf(points).T
    if n_dimensions < half:
        draws = _set_second_moments(draws)
    else:
        draws /= np.sqrt(np.mean(draws**2, axis=1, keepdims=True))
    draws = np.concatenate([draws, -draws], axis=1)
    draws.setflags(write=False)  # it is shared by all calls
    return draws


@cache
def weighted_pairs(n_dimensions: int, pairs: range | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points (n_dimensions, n_pairs) and their weights, for averages over the standard normal.

    The mirror image of each point has the same weight, and weights of both sum to one. One and two
    dimensions have a grid, weighted by the density: its error falls exponentially with its step for
    smooth functions. More dimensions have equal weights and a Sobol sequence, whose first
    dimensions are filled best: the more important ones should come first. Given a range, it is that
    part of a long sequence, scrambled and shifted, instead of N_PAIRS points.
    """
    if n_dimensions == 1:
        points = _line(LINE_PAIRS)[None]
    elif n_dimensions == 2:
        n_steps = int(DISC_REACH / min(DISC_STEPS))
        first = DISC_STEPS[0] * (np.arange(n_steps + 1) + 0.5)
        second = DISC_STEPS[1] * (np.arange(-n_steps - 1, n_steps + 1) + 0.5)
        points = np.stack(np.meshgrid(first, second)).reshape(2, -1)
        points = points[:, np.square(points).sum(axis=0) < DISC_REACH**2]
    else:
        points = norm.ppf(_shifted_sobol(n_dimensions, pairs)).T
    if n_dimensions <= 2:
        weights = np.exp(-0.5 * np.square(points).sum(axis=0))
    elif pairs is None:
        weights = np.ones(points.shape[1])
    else:
        narrow = points[:STRETCHED]
        weights = np.exp(-0.5 * (STRETCH**2 - 1) * np.square(narrow).sum(axis=0))
        narrow *= STRETCH  # these are the points themselves
    weights /= weights.sum()
    if n_dimensions > 2:
        points = _set_second_moments(points, weights)
    weights /= 2
    for array in (points, weights):
        array.setflags(write=False)  # they are shared by all calls
    return points, weights


@cache
def line_for(n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a line (2 n_pairs,) and their weights, which sum to one, as `weighted_pairs`."""
    points = _line(n_pairs)
    points = np.concatenate([points, -points])
    weights = np.exp(-0.5 * np.square(points))
    return points, weights / weights.sum()


def _line(n_pairs: int) -> np.ndarray:
    """Positive half of a grid (n_pairs,) on a line."""
    return (np.arange(n_pairs) + 0.5) * LINE_REACH / n_pairs


def enough_pairs(std: float) -> int:
    """Return how many pairs of a line average sigmoids up to this standard deviation."""
    return next((n_pairs for n_pairs, most in ENOUGH_PAIRS if std <= most), LINE_PAIRS)


def _shifted_sobol(n_dimensions: int, pairs: range | None) -> np.ndarray:
    """Points (n_points, n_dimensions) in the open unit cube, with a fixed shift of their bits."""
    n_points = N_PAIRS if pairs is None else pairs.stop
    points = qmc.Sobol(n_dimensions, scramble=False).random(n_points)
    whole = np.round(points * 2**N_BITS).astype(np.int64)
    rng = np.random.RandomState(SEED)
    if pairs is not None:
        whole = _scramble(whole[pairs.start :], rng)
    shift = rng.randint(2**N_BITS, size=n_dimensions)
    return ((whole ^ shift) + 0.5) / 2**N_BITS


def _scramble(whole: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Multiply the bits of each dimension by a random triangular matrix, modulo two.

    A bit is added to a random choice of the bits above it, which keeps sequences balanced. It is
    Matousek's scrambling, written here because that of scipy depends on its version.
    """
    scrambled = np.zeros_like(whole)
    for bit in range(N_BITS):  # the highest bit is the last one
        above = rng.randint(2 ** (N_BITS - 1 - bit), size=whole.shape[1]) << (bit + 1)
        chosen = whole & (above | 1 << bit)
        for half in (32, 16, 8, 4, 2, 1):  # the parity of the chosen bits
            chosen = chosen ^ (chosen >> half)
        scrambled |= (chosen & 1) << bit
    return scrambled


def _set_second_moments(draws: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Transform draws (n_dimensions, n_draws) so that their mean squares and products are right."""
    products = draws @ draws.T / draws.shape[1] if weights is None else (draws * weights) @ draws.T
    factor = cholesky(products, lower=True)
    return solve_triangular(factor, draws, lower=True)
