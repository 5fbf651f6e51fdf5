"""Scale mixtures of normals: a variance of which a part is an inverse gamma variable's multiple.

``N(0, fixed + scale W)``, where ``W`` follows an inverse gamma distribution of scale one, or is one
where its shape is infinite. In units of the root of the scale, what it has depends on the shape and
on the ratio of fixed variance to scale alone. It is computed once on a grid, and interpolated.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gammainccinv, ndtr, ndtri

# Quadrature of the inverse gamma variable. It is a monotone function of a standard normal score,
# and the trapezoidal rule over the score is exact to rounding for smooth functions of it. Scores
# beyond the last one have a probability of 4e-8.
SCORE_STEP, LAST_SCORE = 0.2, 5.4

# Logarithms of the ratio of fixed to random variance between which quantiles are interpolated. At
# the ends, one of the two is all of the variance.
LOG_RATIOS = np.arange(-40.0, 40.1, 0.25)

# Newton's method stops when a step is below this share of the distance; the error left is about
# the square of it. Four or five steps mostly suffice. Tails up to RARE are found by bisection, to
# the rounding of float64.
STEP_SHARE, MAX_STEPS = 1e-8, 100
RARE, N_BISECTIONS = 1e-6, 60

# A standard normal density is zero in float64 beyond this, and the square of more may overflow.
MAX_SCALED = 40.0


def tail_of(level: float) -> float:
    """Return the probability beyond a quantile, the same for both ends of an interval."""
    if level < RARE:  # it would be rounded to zero
        return level
    return 1.0 - max(level, 1.0 - level)


@cache
def score_rule() -> tuple[np.ndarray, np.ndarray]:
    """Normal scores and their probabilities: a trapezoidal rule of the standard normal."""
    scores = np.arange(-LAST_SCORE, LAST_SCORE + SCORE_STEP / 2, SCORE_STEP)
    weights = np.exp(-0.5 * scores**2)
    weights /= weights.sum()
    return scores, weights


def node_weights() -> np.ndarray:
    """Return the probabilities (n_nodes,) of the nodes."""
    return score_rule()[1]


def unit_variance(shape: float, scores: np.ndarray) -> np.ndarray:
    """Quantiles of an inverse gamma variable of scale one at normal scores; one without tails."""
    if np.isinf(shape):
        return np.ones_like(scores)
    return 1 / gammainccinv(shape, ndtr(scores))


def distance(fixed: np.ndarray, scale: np.ndarray, shape: float, tail: float) -> np.ndarray:
    """Distance that ``N(0, fixed + scale W)`` exceeds with probability ``tail`` <= 0.5.

    Variances and scales are of shape (n,). In units of the root of the scale, the distance is a
    function of one variable, the ratio of the two. It is interpolated. The relative error is below
    1e-5 for tails from 0.01 and shapes from one.
    """
    z = -ndtri(tail)
    if np.isinf(shape) or z == 0:
        return z * np.sqrt(fixed + scale)
    return _in_units(fixed, scale, distance_curve(shape, tail), z)


def mean_std(fixed: np.ndarray, scale: np.ndarray, shape: float) -> np.ndarray:
    """Mean (n,) of the root of ``fixed + scale W``; as exact as `distance`."""
    if np.isinf(shape):
        return np.sqrt(fixed + scale)
    return _in_units(fixed, scale, mean_std_curve(shape), 1.0)


def _in_units(
    fixed: np.ndarray, scale: np.ndarray, curve: CubicSpline, normal: float
) -> np.ndarray:
    """Return the root of the scale times the exponential of a curve of the log ratio.

    Where next to nothing is scaled, it is the root of the fixed variance times that of a normal.
    """
    tiny = np.finfo(np.float64).tiny
    log_ratio = np.log(np.maximum(fixed, tiny)) - np.log(np.maximum(scale, tiny))
    inside = np.clip(log_ratio, LOG_RATIOS[0], LOG_RATIOS[-1])
    value = np.sqrt(scale) * np.exp(curve(inside))
    return np.where(log_ratio < LOG_RATIOS[-1], value, normal * np.sqrt(fixed))


@lru_cache(maxsize=64)
def mean_std_curve(shape: float) -> CubicSpline:
    """Logarithm of the mean standard deviation as a function of the logarithm of the ratio."""
    return CubicSpline(LOG_RATIOS, np.log(_std_by_ratio(shape) @ node_weights()))


@lru_cache(maxsize=256)
def distance_curve(shape: float, tail: float) -> CubicSpline:
    """Logarithm of the distance as a function of the logarithm of the ratio."""
    find = _mixture_distance if tail > RARE else _rare_distance
    return CubicSpline(LOG_RATIOS, np.log(find(_std_by_ratio(shape), node_weights(), tail)))


def _std_by_ratio(shape: float) -> np.ndarray:
    """Standard deviations (n_ratios, n_nodes) in units of the root of the scale."""
    return np.sqrt(np.exp(LOG_RATIOS)[:, None] + unit_variance(shape, score_rule()[0]))


def _mixture_distance(std: np.ndarray, weights: np.ndarray, tail: float) -> np.ndarray:
    """Distance that a mixture of ``N(0, std^2)``, std (..., n_nodes), exceeds.

    The distribution function is concave to the right of the centre. After its first step, Newton's
    method is below the root and rises to it.
    """
    z = -ndtri(tail)
    low = z * std.min(axis=-1)
    distance = z * (std @ weights)
    for _ in range(MAX_STEPS):
        scaled = distance[..., None] / std
        excess = tail - ndtr(-scaled) @ weights
        density = np.exp(-0.5 * np.square(np.minimum(scaled, MAX_SCALED)))
        slope = ((density / std) @ weights) / np.sqrt(2 * np.pi)
        step = excess / slope
        distance = np.maximum(distance - step, low)
        if np.all(np.abs(step) <= STEP_SHARE * distance):
            break
    return distance


def _rare_distance(std: np.ndarray, weights: np.ndarray, tail: float) -> np.ndarray:
    """`_mixture_distance` by bisection, where the density is too small for Newton's method."""
    z = -ndtri(tail)
    low, high = z * std.min(axis=-1), z * std.max(axis=-1)
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        is_beyond = ndtr(-middle[..., None] / std) @ weights <= tail
        low, high = np.where(is_beyond, low, middle), np.where(is_beyond, middle, high)
    return (low + high) / 2
