"""The noise of y around a member: an inverse gamma distribution of its variance.

Each member has an estimate of the variance of y around it. The estimates are taken as draws from an
inverse gamma distribution, and the student draws from it [Park2025]. The predictive distribution of
y is then a scale mixture of normals. It is evaluated here by quadrature, without drawing.

Around a student's members, y has more noise than around the ensemble's. The student's mean misses
the ensemble's mean, and its mean squared error at the design points is added to the variance.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri
from scipy.stats import gamma, invgamma

# An inverse gamma has two parameters. It is fitted to this many estimates or more.
MIN_ESTIMATES = 5

# Estimates with a smaller coefficient of variation than this are taken for a constant. The excess
# kurtosis of the mixture, three times its square, would be 3e-6.
MIN_VARIATION = 1e-3

# Equally likely quadrature nodes of the variance. They cut off a little of its tail: the ends of a
# 95 % interval are within 0.2 % of the exact ones at shape 6, and within 1 % at shape 2.
N_NODES = 64

# Newton's method stops when a step is below this share of the distance; the error left is about
# the square of it. Four or five steps mostly suffice. The largest number is reached only far in
# the tail, where rounding is as large as the step.
STEP_SHARE, MAX_STEPS = 1e-8, 100

# A standard normal density is zero in float64 beyond this, and the square of more may overflow.
MAX_SCALED = 40.0


class TargetNoise:
    """Distribution of the variance of y around a member, for each output.

    Parameters
    ----------
    variances : array of shape (n_members, n_outputs)
        Each member's estimate, in squared units of y.
    squared_misfit : float or array of shape (n_outputs,), default=0
        Mean squared error of the student's mean against the ensemble's, in squared units of y. It
        is added to the variance around every member.

    Attributes
    ----------
    member_variances : array of shape (n_members, n_outputs)
        The estimates.
    squared_misfit : array of shape (n_outputs,)
        The same for each output.
    shape, scale : arrays of shape (n_outputs,)
        Parameters of the inverse gamma. Where the variance is taken for a constant, ``shape`` is
        infinite and ``scale`` is the constant.
    """

    def __init__(self, variances: np.ndarray, squared_misfit: float | np.ndarray = 0.0):
        self.member_variances = np.asarray(variances)
        self.squared_misfit = np.broadcast_to(squared_misfit, self.member_variances.shape[1]).copy()
        fits = [_fit_inverse_gamma(column) for column in self.member_variances.T]
        self.shape, self.scale = (np.array(parameter) for parameter in zip(*fits, strict=True))

    def nodes(self) -> np.ndarray:
        """Equally likely variances (n_outputs, n_nodes) in place of the distribution."""
        levels = (np.arange(N_NODES) + 0.5) / N_NODES
        return self._transform(levels[None, :].repeat(len(self.shape), axis=0))

    def draw(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw variances (n_outputs, n_samples)."""
        return self._transform(random_state.uniform(size=(len(self.shape), n_samples)))

    def _transform(self, levels: np.ndarray) -> np.ndarray:
        """Quantiles of the variance at ``levels`` (n_outputs, n_levels)."""
        shape, scale = self.shape[:, None], self.scale[:, None]
        constant = np.isinf(shape)
        quantiles = invgamma.ppf(levels, np.where(constant, 1.0, shape))
        return np.where(constant, scale, scale * quantiles) + self.squared_misfit[:, None]

    def quantiles(self, mean: np.ndarray, variance: np.ndarray, levels: ArrayLike) -> np.ndarray:
        """Quantiles of y (n, n_outputs, n_levels), in units of y.

        ``mean`` and ``variance`` (n, n_outputs) are those of the members. The distribution of y is
        symmetric around the mean, so that levels ``p`` and ``1 - p`` need one distance.
        """
        total = variance[..., None] + self.nodes()  # (n, n_outputs, n_nodes)
        std = np.sqrt(np.maximum(total, np.finfo(np.float64).tiny))
        levels = np.asarray(levels, dtype=np.float64)
        quantiles = np.empty((*mean.shape, len(levels)))
        tails = np.maximum(levels, 1.0 - levels)  # the same for both ends of an interval
        for tail in np.unique(tails):
            distance = _mixture_quantile(std, tail)
            for column in np.flatnonzero(tails == tail):
                quantiles[..., column] = mean + distance * np.sign(levels[column] - 0.5)
        return quantiles


def _fit_inverse_gamma(variances: np.ndarray) -> tuple[float, float]:
    """Maximum likelihood shape and scale; (inf, mean) if the variance is taken for a constant."""
    mean = variances.mean()
    if len(variances) < MIN_ESTIMATES or variances.std() <= MIN_VARIATION * mean:
        return np.inf, mean
    if variances.min() <= 0.0:
        return np.inf, mean
    shape, _, inverse_scale = gamma.fit(mean / variances, floc=0)
    return shape, mean / inverse_scale


def _mixture_quantile(std: np.ndarray, level: float) -> np.ndarray:
    """Quantile at ``level`` >= 0.5 of an equal mixture of ``N(0, std^2)``, std (..., n_nodes).

    The distribution function is concave to the right of the centre. After its first step, Newton's
    method is below the root and rises to it.
    """
    z = ndtri(level)
    low = z * std.min(axis=-1)
    if np.isinf(z):
        return low
    distance = z * np.sqrt(np.square(std).mean(axis=-1))
    for _ in range(MAX_STEPS):
        scaled = distance[..., None] / std
        excess = ndtr(scaled).mean(axis=-1) - level
        density = np.exp(-0.5 * np.square(np.minimum(scaled, MAX_SCALED)))
        slope = (density / std).mean(axis=-1) / np.sqrt(2 * np.pi)
        step = excess / slope
        distance = np.maximum(distance - step, low)
        if np.all(np.abs(step) <= STEP_SHARE * distance):
            break
    return distance
