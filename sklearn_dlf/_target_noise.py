"""The noise of y around an ensemble's members: an inverse gamma over its variance.

Each member comes with its own estimate of the variance of y around it; the estimates are taken as
draws of an inverse gamma distribution, and the student draws from it [Park2025]. Predictive
distributions are then scale mixtures of normals, evaluated here by quadrature, without drawing.

References
----------
.. [Park2025] Park, Lee, Ohn, Shin, Kim. "Knowledge Distillation of Uncertainty using Deep Latent
   Factor Model". NeurIPS 2025, arXiv:2510.19290.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import gamma, invgamma

# An inverse gamma has two parameters; fewer estimates than this say too little about them.
MIN_ESTIMATES = 5

# A coefficient of variation of the estimates below this is taken for a constant: the mixture's
# excess kurtosis, three times its square, would be 3e-6.
MIN_VARIATION = 1e-3

# Equally likely quadrature nodes of the variance. They cut the tail of the variance a little: ends
# of a 95 % interval lie within 0.2 % of the exact ones at shape 6, and within 1 % at shape 2.
N_NODES = 64

# Bisection steps: each halves an interval of a few standard deviations; 40 reach 1e-11 of it.
N_BISECTIONS = 40


class MemberResiduals:
    """Each member's mean squared residual, gathered while its outputs pass by.

    Rows that a member did not see in its own fit are used alone, for every member that has some.

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
    """

    def __init__(self, y, weights, unseen):
        self.y = y
        self.weights = np.ones(len(y)) if weights is None else weights
        self.unseen = unseen
        self.mean = np.empty(y.shape)
        # Weighted sums of squares (n_outputs, n_members) over all rows and over unseen ones.
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
            self.mean[rows] = block.mean(axis=-1)
            squares = (self.y[rows, :, None] - block) ** 2
            weights = np.repeat(self.weights[rows, None], block.shape[-1], axis=1)
            self._add("all", squares, weights)
            if self.unseen is not None:
                self._add("unseen", squares, weights * self.unseen[rows])
            yield block

    def _add(self, which, squares, weights):
        """Add a block's weighted squares and weights (n_block, n_members)."""
        total = np.einsum("jci,ji->ci", squares, weights)
        squared, weight = self._sums.get(which, (0.0, 0.0))
        self._sums[which] = (squared + total, weight + weights.sum(axis=0))

    def variances(self):
        """Mean squared residual of each member, (n_members, n_outputs), in squared units of y."""
        squared, weight = self._sums["all"]
        variances = squared / weight
        if "unseen" in self._sums:
            squared, weight = self._sums["unseen"]
            known = weight > 0
            variances[:, known] = squared[:, known] / weight[known]
        return variances.T


class TargetNoise:
    """Variance of y around a member, for each output.

    Parameters
    ----------
    variances : array of shape (n_members, n_outputs)
        Each member's estimate, in squared units of y.

    Attributes
    ----------
    shape, scale : arrays of shape (n_outputs,)
        Of the inverse gamma; ``shape`` is infinite where the variance is taken as constant, and
        ``scale`` is then that constant.
    """

    def __init__(self, variances):
        fits = [_fit_inverse_gamma(column) for column in np.asarray(variances).T]
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
        return np.where(
            constant, scale, invgamma.ppf(levels, np.where(constant, 1.0, shape), scale=scale)
        )

    def quantiles(self, mean, variance, levels):
        """Quantiles of y, in its units, of shape (n, n_outputs, n_levels).

        ``mean`` and ``variance`` (n, n_outputs) are those of the members. The distribution of y is
        symmetric around the mean, so that one half of each level pair is enough.
        """
        total = variance[..., None] + self.nodes()  # (n, n_outputs, n_nodes)
        spread = np.sqrt(total)
        levels = np.asarray(levels, dtype=np.float64)
        quantiles = np.empty((*mean.shape, len(levels)))
        for column, level in enumerate(levels):
            tail = max(level, 1.0 - level)
            distance = _mixture_quantile(spread, tail) * np.sign(level - 0.5)
            quantiles[..., column] = mean + distance
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
    """Distance from the centre where equal parts of ``N(0, spread^2)`` reach ``level`` >= 0.5."""
    z = ndtri(level)
    low, high = z * spread.min(axis=-1), z * spread.max(axis=-1)
    for _ in range(N_BISECTIONS):
        middle = 0.5 * (low + high)
        below = ndtr(middle[..., None] / spread).mean(axis=-1) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)
