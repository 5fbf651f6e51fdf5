"""How much more noise than in `fit` new values of y have, by the density of the noise itself.

Sums of squares tell it where the noise is about normal. Where it has heavy tails, one row of some
hundred makes up such a sum. So the multiple that they tell is bounded by the one that the density
of each value around the fitted student bears out, or, in a stream, around the student before the
call. What the student's mean misses counts as noise there. If noise of a skewed y has grown, the
bound can be too low: the mean has moved with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.target_distribution import TargetDistribution
from .._predictive.target_noise import TargetNoise
from .posterior import weights_of
from .values import NOISE_MULTIPLES, average_multiple, log_prior


def log_densities(
    members: Any, noise: TargetNoise, X: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the log-density (n_multiples, c) of y (n, c) under each of `NOISE_MULTIPLES`.

    It is summed over rows with weights (n,), and zero for outputs whose noise has no tails.
    """
    has_tails = np.isfinite(noise.shape)
    if not has_tails.any():
        return no_densities(len(has_tails))
    distribution = TargetDistribution(members, noise)
    found = distribution.log_density_of_multiples(X, y, NOISE_MULTIPLES)
    return np.where(has_tails, np.tensordot(found, weights, axes=(1, 0)), 0.0)


def no_densities(n_outputs: int) -> np.ndarray:
    """Return `log_densities` of no rows."""
    return np.zeros((len(NOISE_MULTIPLES), n_outputs))


def bound_multiples(multiples: Any, log_density: np.ndarray) -> np.ndarray:
    """Return multiples (c,) no larger than `log_densities` bear out.

    ``multiples`` is (c,), or one number for all outputs.
    """
    bounds = np.full(log_density.shape[1], np.inf)
    for output, sums in enumerate(log_density.T):
        if sums.any():
            weights = weights_of(sums + log_prior(len(sums)))
            bounds[output] = average_multiple(weights, NOISE_MULTIPLES)
    return np.minimum(multiples, bounds)
