"""The noise of y around an ensemble's members: an inverse gamma over its variance.

Each member comes with its own estimate of the variance of y around it; the estimates are taken as
draws of an inverse gamma distribution, and the student draws from it [Park2025]. Predictive
distributions are then scale mixtures of normals, evaluated here by quadrature, without drawing.

On rows that a member did not see, its mean squared residual holds the noise of y, the deviation of
the truth from the ensemble's mean and its own deviation from it. The student's spread stands for
the deviations already: the variance among the members that did not see the row is taken off twice
(among all members, where one alone did not), so that spread and noise together come to the squared
error of the ensemble's mean. On rows that the members were trained on, residuals do not hold the
deviations, and are used as they are.

Around a student's members y has more noise: what the student's mean misses of the ensemble's, at
the design points, is added to the variance.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import gamma, invgamma

from .._transfer.out_of_bag import moments_of_some

# An inverse gamma has two parameters; fewer estimates than this say too little about them.
MIN_ESTIMATES = 5

# A coefficient of variation of the estimates below this is taken for a constant: the mixture's
# excess kurtosis, three times its square, would be 3e-6.
MIN_VARIATION = 1e-3

# The least share of the members' residual variance that is noise, where their spread would explain
# all of it.
MIN_NOISE_SHARE = 0.05

# Equally likely quadrature nodes of the variance. They cut the tail of the variance a little: ends
# of a 95 % interval lie within 0.2 % of the exact ones at shape 6, and within 1 % at shape 2.
N_NODES = 64

# Newton's steps end below this share of the distance: what is left is about its square. Four or
# five are mostly enough; the most are taken where rounding alone, far in the tail, is as large.
STEP_SHARE, MAX_STEPS = 1e-8, 100

# A standard normal has no density in float64 beyond; the square of what is larger may overflow.
MAX_SCALED = 40.0


class MemberResiduals:
    """Variance of y around each member, gathered while its outputs pass by.

    Rows that a member did not see in its own fit are used alone, for every member that has some,
    and what their spread there explains of the residuals is taken off. Rows beyond those of y pass
    unseen.

    Parameters
    ----------
    y : array of shape (n_samples, n_outputs)
        Observed values.
    weights : array of shape (n_samples,) or None
        Of the rows.
    unseen : bool array of shape (n_samples, n_members) or None
        Rows that each member did not see.

    Attributes
    ----------
    mean : array of shape (n_samples, n_outputs)
        Ensemble mean at the rows that have passed.
    squared_misfit : array of shape (n_outputs,)
        Mean squared error of a student's mean against the ensemble's, in squared units of y; zero
        until a student has it set.
    """

    def __init__(self, y, weights, unseen):
        self.y = y
        self.weights = np.ones(len(y)) if weights is None else weights
        self.unseen = unseen
        self.mean = np.empty(y.shape)
        self.squared_misfit = np.zeros(y.shape[1])
        # Weighted sums over all rows and over unseen ones: squared residuals and the members'
        # variance (n_outputs, n_members), weights (n_members,).
        self._sums: dict = {}

    def watch(self, blocks):
        """Yield ``blocks`` (n_block, n_outputs, n_members) unchanged, adding up residuals."""
        start = 0
        for block in blocks:
            if block.shape[1] != self.y.shape[1]:
                raise ValueError(
                    f"The members have {block.shape[1]} outputs and y has {self.y.shape[1]}; "
                    "expected as many."
                )
            rows = slice(start, start + len(block))
            start += len(block)
            self._observe(rows, block[: len(self.y[rows])])
            yield block

    def _observe(self, rows, block):
        """Add up what a block says of rows that have a y."""
        self.mean[rows] = block.mean(axis=-1)
        squares = (self.y[rows, :, None] - block) ** 2
        spread = block.var(axis=-1, ddof=1)
        weights = np.repeat(self.weights[rows, None], block.shape[-1], axis=1)
        self._add("all", squares, spread, weights)
        if self.unseen is not None:
            unseen = self.unseen[rows]
            several = unseen.sum(axis=1)[:, None] > 1
            spread = np.where(several, moments_of_some(block, unseen)[1], spread)
            self._add("unseen", squares, spread, weights * unseen)

    def _add(self, which, squares, spread, weights):
        """Add a block's squares (n_block, n_outputs, n_members), variance of members, weights."""
        sums = np.einsum("jci,ji->ci", squares, weights), spread.T @ weights, weights.sum(axis=0)
        before = self._sums.get(which, (0.0, 0.0, 0.0))
        self._sums[which] = tuple(a + b for a, b in zip(before, sums, strict=True))

    def variances(self):
        """Variance of y around each member, (n_members, n_outputs), in squared units of y."""
        squared, _, weight = self._sums["all"]
        variances = squared / weight
        if "unseen" in self._sums:
            squared, spread, weight = self._sums["unseen"]
            known = weight > 0
            residual = squared[:, known] / weight[known]
            twice = 2 * (spread[:, known] / weight[known]).mean(axis=1)
            share = 1 - twice / np.maximum(residual.mean(axis=1), np.finfo(np.float64).tiny)
            variances[:, known] = residual * np.maximum(share, MIN_NOISE_SHARE)[:, None]
        return variances.T


class TargetNoise:
    """Variance of y around a member, for each output.

    Parameters
    ----------
    variances : array of shape (n_members, n_outputs)
        Each member's estimate, in squared units of y.
    squared_misfit : float or array of shape (n_outputs,), default=0
        Mean squared error of the student's mean against the ensemble's, in squared units of y: the
        same for all members, and added to their variance.

    Attributes
    ----------
    member_variances : array of shape (n_members, n_outputs)
        The estimates.
    squared_misfit : array of shape (n_outputs,)
        Of each output.
    shape, scale : arrays of shape (n_outputs,)
        Of the inverse gamma; ``shape`` is infinite where the variance is taken as constant, and
        ``scale`` is then that constant.
    """

    def __init__(self, variances, squared_misfit=0.0):
        self.member_variances = np.asarray(variances)
        self.squared_misfit = np.broadcast_to(squared_misfit, self.member_variances.shape[1]).copy()
        fits = [_fit_inverse_gamma(column) for column in self.member_variances.T]
        self.shape, self.scale = (np.array(parameter) for parameter in zip(*fits, strict=True))

    def nodes(self):
        """Equally likely variances (n_outputs, n_nodes) that stand for the distribution."""
        levels = (np.arange(N_NODES) + 0.5) / N_NODES
        return self._transform(levels[None, :].repeat(len(self.shape), axis=0))

    def draw(self, n_samples, random_state):
        """Variances of shape (n_outputs, n_samples)."""
        return self._transform(random_state.uniform(size=(len(self.shape), n_samples)))

    def _transform(self, levels):
        """Quantiles of the variance at ``levels`` (n_outputs, n_levels)."""
        shape, scale = self.shape[:, None], self.scale[:, None]
        constant = np.isinf(shape)
        quantiles = invgamma.ppf(levels, np.where(constant, 1.0, shape))
        return np.where(constant, scale, scale * quantiles) + self.squared_misfit[:, None]

    def quantiles(self, mean, variance, levels):
        """Quantiles of y, in its units, of shape (n, n_outputs, n_levels).

        ``mean`` and ``variance`` (n, n_outputs) are those of the members. The distribution of y is
        symmetric around the mean, so that one half of each level pair is enough.
        """
        total = variance[..., None] + self.nodes()  # (n, n_outputs, n_nodes)
        spread = np.sqrt(np.maximum(total, np.finfo(np.float64).tiny))
        levels = np.asarray(levels, dtype=np.float64)
        quantiles = np.empty((*mean.shape, len(levels)))
        tails = np.maximum(levels, 1.0 - levels)  # both ends of an interval have one
        for tail in np.unique(tails):
            distance = _mixture_quantile(spread, tail)
            for column in np.flatnonzero(tails == tail):
                quantiles[..., column] = mean + distance * np.sign(levels[column] - 0.5)
        return quantiles


def _fit_inverse_gamma(variances):
    """Maximum likelihood shape and scale, or (inf, mean) where a constant serves as well."""
    mean = variances.mean()
    if len(variances) < MIN_ESTIMATES or variances.std() <= MIN_VARIATION * mean:
        return np.inf, mean
    if variances.min() <= 0.0:
        return np.inf, mean
    shape, _, inverse_scale = gamma.fit(mean / variances, floc=0)
    return shape, mean / inverse_scale


def _mixture_quantile(spread, level):
    """Distance from the centre where equal parts of ``N(0, spread^2)`` reach ``level`` >= 0.5.

    Their distribution function is concave there: from wherever Newton's method starts, its next
    points are below the root, and rise to it.
    """
    z = ndtri(level)
    low = z * spread.min(axis=-1)
    if np.isinf(z):
        return low
    distance = z * np.sqrt(np.square(spread).mean(axis=-1))
    for _ in range(MAX_STEPS):
        scaled = distance[..., None] / spread
        excess = ndtr(scaled).mean(axis=-1) - level
        density = np.exp(-0.5 * np.square(np.minimum(scaled, MAX_SCALED)))
        slope = (density / spread).mean(axis=-1) / np.sqrt(2 * np.pi)
        step = excess / slope
        distance = np.maximum(distance - step, low)
        if np.all(np.abs(step) <= STEP_SHARE * distance):
            break
    return distance
