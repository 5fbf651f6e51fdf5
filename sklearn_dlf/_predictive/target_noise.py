"""The noise of y around a member: a function of the row, times an inverse gamma variable.

The variance of y around a member is ``g(x) W``. ``W`` follows an inverse gamma distribution, as in
[Park2025]_, so that the noise has tails. It may multiply the members' variance as well: their
spread tells the size of an error only roughly. ``g`` is one at every row, or the exponential of a
function that is piecewise linear in each column, in the members' mean, and in the logarithm of
their variance. The predictive distribution of y is then a scale mixture of normals, or that with
two sides of different scales where the noise is skewed (`two_piece`). It is evaluated here by
quadrature, without drawing.

Around a student's members, y has more noise than around the ensemble's. The student's mean misses
the ensemble's mean, and its mean squared error is added to the variance.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from . import two_piece
from .scale_mixture import distance, mean_std, score_rule, tail_of, unit_variance
from .variance_functions import Factor


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
    skewness : array of shape (n_outputs,), default=1
        Skewness of the distribution of y around a row's mean: its square is the probability above
        the centre, where the two sides meet, over that below.
    bias : array of shape (n_outputs,), default=0
        Mean of y less that of the members. It is not zero where members predict another mean than
        that of the values that the student learns: a logarithm of a mean is no mean of logarithms.

    Attributes
    ----------
    correlation : array of shape (n_outputs, n_outputs) or None
        Correlation of the noise of the outputs of a row; None if it is independent.
    shape, scale, spread_share, squared_misfit, misfit_share, variance_functions, skewness, bias
        As the parameters, one value for each output.
    takes_law, spread_has_tails
        As the parameters.
    """

    spread_has_tails = False  # in files that were written before there was a choice
    skewness: np.ndarray = np.ones(1)  # in files that were written before there was one
    bias: np.ndarray = np.zeros(1)  # the same
    correlation: np.ndarray | None = None

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
        skewness: ArrayLike = 1.0,
        bias: ArrayLike = 0.0,
    ):
        self.takes_law, self.spread_has_tails = takes_law, spread_has_tails
        self.shape = np.asarray(shape, dtype=np.float64)
        self.scale = np.asarray(scale, dtype=np.float64)
        n_outputs = len(self.shape)
        share = 1.0 if spread_share is None else spread_share
        self.spread_share = np.broadcast_to(share, n_outputs).astype(np.float64)
        self.squared_misfit = np.broadcast_to(squared_misfit, n_outputs).astype(np.float64)
        self.misfit_share = np.broadcast_to(misfit_share, n_outputs).astype(np.float64)
        self.skewness = np.broadcast_to(skewness, n_outputs).astype(np.float64)
        self.bias = np.broadcast_to(bias, n_outputs).astype(np.float64)
        self.variance_functions: list[Factor | None] = [*(variance_functions or [None] * n_outputs)]

    def __repr__(self) -> str:
        names = "shape", "scale", "spread_share", "squared_misfit", "misfit_share", "skewness"
        numbers = {name: getattr(self, name) for name in (*names, "bias")}
        shown = ", ".join(f"{name}={np.round(x, 4).tolist()}" for name, x in numbers.items())
        return f"{type(self).__name__}({shown}, depends_on_row={self.depends_on_row})"

    def with_skewness(self, skewness: ArrayLike) -> TargetNoise:
        """Return a copy with another skewness (n_outputs,)."""
        noise = copy.copy(self)
        noise.skewness = np.broadcast_to(skewness, self.shape.shape).astype(np.float64)
        return noise

    def with_spread_share(self, share: ArrayLike) -> TargetNoise:
        """Return the noise around members of whose variance another share (n_outputs,) counts."""
        noise = copy.copy(self)
        noise.spread_share = np.broadcast_to(share, self.shape.shape).astype(np.float64)
        return noise

    def with_correlation(self, correlation: np.ndarray | None) -> TargetNoise:
        """Return a copy whose outputs have this correlation at a row."""
        noise = copy.copy(self)
        noise.correlation = correlation
        return noise

    def mapped(self, is_reversed: np.ndarray) -> TargetNoise:
        """Return the noise of mapped outputs, some of which (n_outputs,) change their sign.

        Their intercept was found with the values, so that there is no bias.
        """
        noise = self.with_skewness(np.where(is_reversed, 1 / self.skewness, self.skewness))
        noise.bias = np.zeros_like(self.shape)
        if self.correlation is not None:
            sign = np.where(is_reversed, -1, 1)
            noise.correlation = self.correlation * sign[:, None] * sign
        return noise

    @property
    def is_skewed(self) -> bool:
        """Whether the noise of any output is skewed."""
        return bool((self.skewness != 1).any())

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

        Their probabilities are those of `scale_mixture.node_weights`.
        """
        scores, _ = score_rule()
        return np.stack([unit_variance(shape, scores) for shape in self.shape])

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
        total = scale * self.mean_unit() + fixed
        if self.is_skewed:
            mean_std = self.mean_std(variance, factor, misfit)
            total = two_piece.variance(total, mean_std, self.skewness)
        return np.maximum(total - self.spread_share * variance, 0.0)

    def mean_std(
        self, variance: np.ndarray, factor: np.ndarray, misfit: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the mean of `std_nodes` (n, n_outputs)."""
        parts = self._fixed_and_scale(variance, factor, misfit)
        outputs = zip(*(part.T for part in parts), self.shape.tolist(), strict=True)
        return np.stack([mean_std(*output) for output in outputs], axis=1)

    def center(
        self,
        mean: np.ndarray,
        variance: np.ndarray,
        factor: np.ndarray,
        misfit: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return where the two sides of the distribution of y meet, (n, n_outputs).

        The arguments are those of `quantiles`.
        """
        if self.bias.any():
            mean = mean + self.bias
        if not self.is_skewed:
            return mean
        shift = two_piece.center(self.skewness)
        return mean + shift * self.mean_std(variance, factor, misfit)

    def units(self, scores: np.ndarray) -> np.ndarray:
        """Inverse gamma variables of scale one at normal scores (n, n_outputs, n_samples)."""
        columns = [unit_variance(shape, scores[:, i]) for i, shape in enumerate(self.shape)]
        return np.stack(columns, axis=1)

    def quantiles(
        self,
        mean: np.ndarray,
        variance: np.ndarray,
        factor: np.ndarray,
        levels: ArrayLike,
        misfit: np.ndarray | None = None,
    ) -> np.ndarray:
        """Quantiles of y (n, n_outputs, n_levels), in units of y.

        ``mean`` and ``variance`` (n, n_outputs) are those of the members. Unless the noise is
        skewed, levels ``p`` and ``1 - p`` need one distance.
        """
        fixed, scale = self._fixed_and_scale(variance, factor, misfit)
        center = self.center(mean, variance, factor, misfit)
        quantiles = np.empty((*mean.shape, np.size(levels)))
        for output, shape in enumerate(self.shape.tolist()):
            tails, factors = self.tails(levels, output)
            distances = {
                tail: distance(fixed[:, output], scale[:, output], shape, tail)
                for tail in set(tails)
            }
            for column, (tail, side) in enumerate(zip(tails, factors, strict=True)):
                quantiles[:, output, column] = center[:, output] + side * distances[tail]
        return quantiles

    def tails(self, levels: ArrayLike, output: int) -> tuple[list[float], list[float]]:
        """Return tails and factors of levels of an output.

        The distance that a symmetric y exceeds with the tail's probability, times the factor, is
        that of the quantile from the centre.
        """
        levels, skewness = np.asarray(levels, dtype=np.float64), self.skewness[output]
        if skewness == 1:
            tails = [tail_of(level) for level in levels.tolist()]
            return tails, [(level > 0.5) - (level < 0.5) for level in levels.tolist()]
        found, factors = two_piece.split_levels(levels, skewness)
        return found.tolist(), factors.tolist()

    def std_nodes(
        self, variance: np.ndarray, factor: np.ndarray, misfit: np.ndarray | None = None
    ) -> np.ndarray:
        """Standard deviations of y (n, n_outputs, n_nodes), whose mixture it follows."""
        fixed, scale = self._fixed_and_scale(variance, factor, misfit)
        total = fixed[..., None] + scale[..., None] * self.unit_nodes()
        return np.sqrt(np.maximum(total, np.finfo(np.float64).tiny))
