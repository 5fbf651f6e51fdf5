"""The noise of y around a member: a function of the row, times an inverse gamma variable.

The variance of y around a member is ``g(x) W``. ``W`` follows an inverse gamma distribution, as in
[Park2025]_, so that the noise has tails. It may multiply the members' variance as well: their
spread tells the size of an error only roughly. ``g`` is one at every row, or the exponential of a
function that is piecewise linear in each column, in the members' mean, and in the logarithm of
their variance. The predictive distribution of y is then a scale mixture of normals. It is
evaluated here by quadrature, without drawing.

Around a student's members, y has more noise than around the ensemble's. The student's mean misses
the ensemble's mean, and its mean squared error is added to the variance.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline
from scipy.special import gammainccinv, ndtr, ndtri

from .variance_functions import Factor

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


class TargetNoise:
    """Distribution of the variance of y around a member, for each output.

    Parameters
    ----------
    shape, scale : arrays of shape (n_outputs,)
        Parameters of the inverse gamma variable, the latter in squared units of y. Where the
        variance has no tails, ``shape`` is infinite and ``scale`` is the variance itself.
    spread_share : array of shape (n_outputs,), default=None
        Share of the members' variance that counts for y; None for all of it.
    squared_misfit, misfit_share : arrays of shape (n_outputs,), default=0
        Mean squared error of the student's mean against the ensemble's: a constant in squared units
        of y, and a multiple of the members' variance. It is added to the variance around every
        member.
    variance_functions : list of VarianceFunction, NetworkVariance or None, default=None
        One for each output: factors that depend on the row. None for noise that does not.
    takes_law : bool, default=True
        Whether members are taken with their law, if it is not Gaussian.
    spread_has_tails : bool, default=False
        Whether ``W`` multiplies the share of the members' variance too.

    Attributes
    ----------
    shape, scale, spread_share, squared_misfit, misfit_share, variance_functions
        As the parameters, one value for each output.
    takes_law, spread_has_tails
        As the parameters.
    """

    spread_has_tails = False  # in files that were written before there was a choice

    def __init__(
        self,
        shape: ArrayLike,
        scale: ArrayLike,
        spread_share: ArrayLike | None = None,
        squared_misfit: ArrayLike = 0.0,
        misfit_share: ArrayLike = 0.0,
        variance_functions: Sequence[Factor | None] | None = None,
        takes_law: bool = True,
        spread_has_tails: bool = False,
    ):
        self.takes_law, self.spread_has_tails = takes_law, spread_has_tails
        self.shape = np.asarray(shape, dtype=np.float64)
        self.scale = np.asarray(scale, dtype=np.float64)
        n_outputs = len(self.shape)
        share = 1.0 if spread_share is None else spread_share
        self.spread_share = np.broadcast_to(share, n_outputs).astype(np.float64)
        self.squared_misfit = np.broadcast_to(squared_misfit, n_outputs).astype(np.float64)
        self.misfit_share = np.broadcast_to(misfit_share, n_outputs).astype(np.float64)
        self.variance_functions: list[Factor | None] = [*(variance_functions or [None] * n_outputs)]

    @property
    def depends_on_row(self) -> bool:
        """Whether the noise of any output depends on the row."""
        return any(function is not None for function in self.variance_functions)

    def factor(self, X: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return ``g`` (n, n_outputs) at points, where members have these moments."""
        factor = np.ones(mean.shape)
        for output, function in enumerate(self.variance_functions):
            if function is not None:
                factor[:, output] = function(X, mean[:, output], variance[:, output])
        return factor

    @property
    def spread_scale(self) -> np.ndarray:
        """Multiple of the members' variance (n_outputs,) that ``W`` multiplies, scale included.

        ``W`` has the shape as its scale, so that the typical one is one.
        """
        if not self.spread_has_tails:
            return np.zeros_like(self.shape)
        return self.spread_share * np.where(np.isinf(self.shape), 1.0, self.shape)

    @property
    def typical_unit(self) -> np.ndarray:
        """Mean of an inverse gamma variable of scale one (n_outputs,), but at most one.

        Tails can be so heavy that the mean is far larger than most values, or infinite.
        """
        return np.minimum(self.mean_unit(), 1.0)

    @property
    def tail_share(self) -> np.ndarray:
        """Multiple of the members' variance (n_outputs,) that tails of the spread add to y's."""
        return np.maximum(self.spread_scale * self.typical_unit - self.spread_share, 0.0)

    def unit_nodes(self) -> np.ndarray:
        """Inverse gamma variables (n_outputs, n_nodes) of scale one, in place of all of them.

        Their probabilities are those of `node_weights`.
        """
        scores, _ = _score_rule()
        return np.stack([_unit_variance(shape, scores) for shape in self.shape])

    def nodes(self) -> np.ndarray:
        """Variances ``W`` (n_outputs, n_nodes) in place of the distribution, where ``g`` is one."""
        return self.scale[:, None] * self.unit_nodes()

    def misfit(self, variance: np.ndarray) -> np.ndarray:
        """Return the misfit (n, n_outputs) where members have this variance."""
        return self.squared_misfit + self.misfit_share * variance

    def _fixed_and_scale(
        self, variance: np.ndarray, factor: np.ndarray, misfit: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of y that is not multiplied by ``W``, and the scale of ``W``.

        Both are of shape (n, n_outputs).
        """
        misfit = self.misfit(variance) if misfit is None else misfit
        scale = self.scale * factor
        if self.spread_has_tails:
            return misfit, scale + self.spread_scale * variance
        return self.spread_share * variance + misfit, scale

    def mean_unit(self) -> np.ndarray:
        """Mean of an inverse gamma variable of scale one (n_outputs,); infinite up to shape one."""
        with np.errstate(divide="ignore"):
            mean = 1 / np.maximum(self.shape - 1, 0.0)
        return np.where(np.isinf(self.shape), 1.0, mean)

    def mean_variance(
        self, variance: np.ndarray, factor: np.ndarray, misfit: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the mean variance of y less the members' share of it (n, n_outputs).

        Tails of the spread are in it: they are no spread of the members.
        The misfit is that of members with this variance, unless it is given. The result is infinite
        where the tails have no variance (``shape`` up to one).
        """
        fixed, scale = self._fixed_and_scale(variance, factor, misfit)
        rest = fixed - self.spread_share * variance
        return np.maximum(scale * self.mean_unit() + rest, 0.0)

    def draw(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw inverse gamma variables of scale one (n_outputs, n_samples)."""
        scores = random_state.standard_normal((len(self.shape), n_samples))
        return np.stack(
            [_unit_variance(shape, row) for shape, row in zip(self.shape, scores, strict=True)]
        )

    def quantiles(
        self,
        mean: np.ndarray,
        variance: np.ndarray,
        factor: np.ndarray,
        levels: ArrayLike,
        misfit: np.ndarray | None = None,
    ) -> np.ndarray:
        """Quantiles of y (n, n_outputs, n_levels), in units of y.

        ``mean`` and ``variance`` (n, n_outputs) are those of the members. The distribution of y is
        symmetric around the mean, so that levels ``p`` and ``1 - p`` need one distance.
        """
        fixed, scale = self._fixed_and_scale(variance, factor, misfit)
        levels = np.asarray(levels, dtype=np.float64)
        quantiles = np.empty((*mean.shape, len(levels)))
        tails = [tail_of(level) for level in levels.tolist()]
        sides = [(level > 0.5) - (level < 0.5) for level in levels.tolist()]
        for output, shape in enumerate(self.shape.tolist()):
            distances = {
                tail: _distance(fixed[:, output], scale[:, output], shape, tail)
                for tail in set(tails)
            }
            for column, (tail, side) in enumerate(zip(tails, sides, strict=True)):
                quantiles[:, output, column] = mean[:, output] + side * distances[tail]
        return quantiles

    def std_nodes(
        self, variance: np.ndarray, factor: np.ndarray, misfit: np.ndarray | None = None
    ) -> np.ndarray:
        """Standard deviations of y (n, n_outputs, n_nodes), whose mixture it follows."""
        fixed, scale = self._fixed_and_scale(variance, factor, misfit)
        total = fixed[..., None] + scale[..., None] * self.unit_nodes()
        return np.sqrt(np.maximum(total, np.finfo(np.float64).tiny))


def tail_of(level: float) -> float:
    """Return the probability beyond a quantile, the same for both ends of an interval."""
    if level < RARE:  # it would be rounded to zero
        return level
    return 1.0 - max(level, 1.0 - level)


@cache
def _score_rule() -> tuple[np.ndarray, np.ndarray]:
    """Normal scores and their probabilities: a trapezoidal rule of the standard normal."""
    scores = np.arange(-LAST_SCORE, LAST_SCORE + SCORE_STEP / 2, SCORE_STEP)
    weights = np.exp(-0.5 * scores**2)
    weights /= weights.sum()
    return scores, weights


def node_weights() -> np.ndarray:
    """Return the probabilities (n_nodes,) of the nodes."""
    return _score_rule()[1]


def _unit_variance(shape: float, scores: np.ndarray) -> np.ndarray:
    """Quantiles of an inverse gamma variable of scale one at normal scores; one without tails."""
    if np.isinf(shape):
        return np.ones_like(scores)
    return 1 / gammainccinv(shape, ndtr(scores))


def _distance(fixed: np.ndarray, scale: np.ndarray, shape: float, tail: float) -> np.ndarray:
    """Distance that ``N(0, fixed + scale W)`` exceeds with probability ``tail`` <= 0.5.

    Variances and scales are of shape (n,). In units of the root of the scale, the distance is a
    function of one variable, the ratio of the two. It is interpolated. The relative error is below
    1e-5 for tails from 0.01 and shapes from one.
    """
    z = -ndtri(tail)
    if np.isinf(shape) or z == 0:
        return z * np.sqrt(fixed + scale)
    tiny = np.finfo(np.float64).tiny
    log_ratio = np.log(np.maximum(fixed, tiny)) - np.log(np.maximum(scale, tiny))
    inside = np.clip(log_ratio, LOG_RATIOS[0], LOG_RATIOS[-1])
    distance = np.sqrt(scale) * np.exp(_distance_curve(shape, tail)(inside))
    return np.where(log_ratio < LOG_RATIOS[-1], distance, z * np.sqrt(fixed))


@lru_cache(maxsize=256)
def _distance_curve(shape: float, tail: float) -> CubicSpline:
    """Logarithm of the distance as a function of the logarithm of the ratio."""
    scores, weights = _score_rule()
    unit = _unit_variance(shape, scores)
    std = np.sqrt(np.exp(LOG_RATIOS)[:, None] + unit)
    find = _mixture_distance if tail > RARE else _rare_distance
    return CubicSpline(LOG_RATIOS, np.log(find(std, weights, tail)))


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
