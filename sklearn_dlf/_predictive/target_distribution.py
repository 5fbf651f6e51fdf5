"""The distribution of y at any rows: a fitted student's members, and the noise of y around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.utils import Bunch

from .._utils.blocks import DRAW_ROWS, NODES_AT_ONCE, row_blocks
from .._utils.seeding import MAX_SEED
from .law_mixtures import mixture_log_density, mixture_quantiles
from .members import Draws
from .scale_mixture import node_weights, score_rule
from .target_noise import TargetNoise
from .transformed_target import TransformedTarget
from .two_piece import from_normal, to_symmetric

# Rows whose mixtures are transformed at once; the quadrature holds 201 values of each.
TRANSFORMED_ROWS = 2**10

# The variance of a transformed y counts as infinite if more than this share of it is due to values
# of `W` beyond this score, whose probability is 1e-4: an exponential of heavy tails has no
# variance, and what a quadrature or draws find depends on where they end.
RARE_SCORE, RARE_SHARE = 3.7, 0.1


class _TargetMoments(NamedTuple):
    """What the distribution of y depends on at n rows.

    Attributes
    ----------
    mean, variance : arrays of shape (n, n_outputs)
        The members' moments.
    factor, misfit : arrays of shape (n, n_outputs)
        ``g``, and the variance that the misfit adds.
    """

    mean: np.ndarray
    variance: np.ndarray
    factor: np.ndarray
    misfit: np.ndarray


class TargetDistribution:
    """Distribution of y under a student: a mixture of normals at each row, or a skewed one.

    Parameters
    ----------
    members : StudentMembers
        Members of the student, which have moments. All rows are standardised. Their law at a row
        is left out: what of it shows in y is part of the noise, which is fitted to y.
    noise : TargetNoise
        Noise of y around them.
    """

    def __init__(self, members: Any, noise: TargetNoise):
        members, noise = members.counting_for(noise)
        self.members = members.with_member_law(None) if noise.takes_law else members.as_gaussian()
        self.noise = noise

    def _moments(self, X: np.ndarray, exact: bool = False) -> _TargetMoments:
        """Return what the distribution of y depends on."""
        moments = self.members.moments(X, exact)
        at = self.members.noise_moments(self.noise, X, moments, exact)
        points = self.members.points(X) if self.noise.depends_on_row else X
        factor = self.noise.factor(points, at.mean, at.variance)
        misfit = self.noise.misfit(at.variance)
        if at.is_changed:
            factor = at.multiple * factor
            misfit = at.multiple * misfit + self.noise.spread_share * at.added
            misfit = misfit + at.further * self.noise.tail_share * at.variance
        return _TargetMoments(moments.mean, moments.variance, factor, misfit)

    def _mixture(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (n, n_outputs), offsets (n, n_outputs, n_components), std (n, n_outputs, n_nodes).

        The mean is that of y. The members' spread counts for y by its share, in the offsets and in
        each normal.
        """
        at, parts = self._moments(X), self.members.components(X)
        # the noise takes all of the members' variance; what the offsets have is subtracted
        among = np.maximum(at.variance - parts.variance, 0.0)
        share = self.noise.spread_share
        total = np.square(self.noise.std_nodes(at.variance, at.factor, at.misfit))
        total -= (share * among)[..., None]
        std = np.sqrt(np.maximum(total, np.finfo(np.float64).tiny))
        return at.mean + self.noise.bias, np.sqrt(share)[:, None] * parts.offsets, std

    def quantiles(self, X: np.ndarray, levels: ArrayLike) -> np.ndarray:
        """Quantiles (n, n_outputs, n_levels), in units of y."""
        if self.members.law is None and len(X) <= DRAW_ROWS:
            return self._gaussian_quantiles(X, levels)
        quantiles = np.empty((len(X), self.members.n_outputs, np.size(levels)))
        for rows in row_blocks(len(X), DRAW_ROWS):
            if self.members.law is not None:
                mean, offsets, std = self._mixture(X[rows])
                for output in range(self.members.n_outputs):
                    parts = mixture_quantiles(offsets[:, output], std[:, output], levels)
                    quantiles[rows, output] = mean[:, output, None] + parts
                continue
            quantiles[rows] = self._gaussian_quantiles(X[rows], levels)
        return quantiles

    def _gaussian_quantiles(self, X: np.ndarray, levels: ArrayLike) -> np.ndarray:
        """Do what `quantiles` does, for Gaussian members."""
        at = self._moments(X)
        return self.noise.quantiles(at.mean, at.variance, at.factor, levels, at.misfit)

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Logarithm of the density of y (n, n_outputs) at each row and output, in nats."""
        logarithms = np.empty(y.shape)
        for rows in row_blocks(len(X), DRAW_ROWS):
            if self.members.law is not None:
                mean, offsets, std = self._mixture(X[rows])
                for output, values in enumerate((y[rows] - mean).T):
                    logarithms[rows, output] = mixture_log_density(
                        values, offsets[:, output], std[:, output]
                    )
                continue
            logarithms[rows] = self._gaussian_log_density(self._moments(X[rows]), y[rows])
        return logarithms

    def log_density_of_multiples(
        self, X: np.ndarray, y: np.ndarray, multiples: Sequence[float]
    ) -> np.ndarray:
        """`log_density` (n_multiples, n, n_outputs) under multiples of the noise around a member.

        Members are taken as Gaussian.
        """
        logarithms = np.empty((len(multiples), *y.shape))
        for rows in row_blocks(len(X), DRAW_ROWS):
            at = self._moments(X[rows])
            for number, multiple in enumerate(multiples):
                scaled = at._replace(factor=multiple * at.factor, misfit=multiple * at.misfit)
                logarithms[number, rows] = self._gaussian_log_density(scaled, y[rows])
        return logarithms

    def _gaussian_log_density(self, at: _TargetMoments, y: np.ndarray) -> np.ndarray:
        """Do what `log_density` does, for Gaussian members with these moments."""
        logarithms, n_nodes = np.empty(y.shape), len(node_weights())
        center = self.noise.center(at.mean, at.variance, at.factor, at.misfit)
        deviation, log_factor = to_symmetric(y - center, self.noise.skewness)
        # All nodes of the mixture take many times the memory of the moments.
        for part in row_blocks(len(at.mean), NODES_AT_ONCE // (y.shape[1] * n_nodes) + 1):
            std = self.noise.std_nodes(at.variance[part], at.factor[part], at.misfit[part])
            scaled = deviation[part][..., None] / std
            with np.errstate(over="ignore"):
                squares = scaled**2
            normal = -0.5 * (squares + np.log(2 * np.pi)) - np.log(std)
            density = logsumexp(normal, b=node_weights(), axis=-1)
            logarithms[part] = density + log_factor[part]
        return logarithms

    def variances(self, X: np.ndarray, transformation: TransformedTarget | None = None) -> Bunch:
        """Bunch of ``epistemic`` and ``aleatoric`` variances (n, n_outputs), which sum to y's.

        They are in squared units of y. If y is transformed, the epistemic variance is that of the
        members transformed back.
        """
        if transformation is not None:
            return self._variances_in_units_of_y(X, transformation)
        epistemic, aleatoric = np.empty((2, len(X), self.members.n_outputs))
        for rows in row_blocks(len(X), DRAW_ROWS):
            at = self._moments(X[rows])
            epistemic[rows] = self.noise.spread_share * at.variance
            aleatoric[rows] = self.noise.mean_variance(at.variance, at.factor, at.misfit)
        return Bunch(epistemic=epistemic, aleatoric=aleatoric)

    def _variances_in_units_of_y(self, X: np.ndarray, transformation: TransformedTarget) -> Bunch:
        """`variances` of a transformed y, from the moments of each part of the mixture."""
        if transformation.is_linear:
            parts = self.variances(X)
            return Bunch(**{name: transformation.slope**2 * parts[name] for name in parts})
        epistemic, aleatoric = np.empty((2, len(X), self.members.n_outputs))
        scores, weights = score_rule()
        for rows in row_blocks(len(X), TRANSFORMED_ROWS):
            at = self._moments(X[rows])
            spread = self.noise.spread_share * at.variance
            epistemic[rows] = transformation.moments(at.mean, spread).variance
            std = self.noise.std_nodes(at.variance, at.factor, at.misfit)
            center = self.noise.center(at.mean, at.variance, at.factor, at.misfit)
            sums = np.zeros((2, 3, *at.mean.shape))  # of usual and of rare nodes
            for node, weight in enumerate(weights):
                part = transformation.moments(center, std[..., node] ** 2, self.noise.skewness)
                powers = np.ones_like(part.mean), part.mean, part.variance + part.mean**2
                sums[int(scores[node] > RARE_SCORE)] += weight * np.stack(powers)
            _, first, second = sums.sum(axis=0)
            total = second - first**2
            of_rare = sums[1, 2] - 2 * first * sums[1, 1] + first**2 * sums[1, 0]
            is_infinite = np.isfinite(self.noise.shape) & (of_rare > RARE_SHARE * total)
            total = np.where(is_infinite, np.inf, total)
            aleatoric[rows] = np.maximum(total - epistemic[rows], 0.0)
        return Bunch(epistemic=epistemic, aleatoric=aleatoric)

    def start_draws(self, n_samples: int, random_state: np.random.RandomState) -> Draws:
        """Return a function that draws y at rows: blocks of them, one after another.

        It returns (n, n_outputs, n_samples). The first rows do not depend on later ones.
        """
        noise_state = np.random.RandomState(random_state.randint(MAX_SEED))
        draw_members = self.members.start_draws(n_samples, random_state)
        scale = self.noise.scale[:, None]
        share = self.noise.spread_share[:, None]
        tailed_share = self.noise.spread_scale[:, None]
        correlation = self.noise.correlation
        root = None if correlation is None else np.linalg.cholesky(correlation)

        def draw(X):
            draws = draw_members(X)
            for rows in row_blocks(len(X), DRAW_ROWS):
                at = self._moments(X[rows], exact=True)
                mean = at.mean[..., None]
                deviations = draws[rows] - mean
                scores = noise_state.standard_normal((len(mean), 2, *deviations.shape[1:]))
                if root is not None:
                    scores[:, 1] = root @ scores[:, 1]
                unit = self.noise.units(scores[:, 0])  # each row has its own W
                counted = tailed_share * unit if self.noise.spread_has_tails else share
                deviations *= np.sqrt(counted)
                variance = at.factor[..., None] * (scale * unit) + at.misfit[..., None]
                deviations += np.sqrt(variance) * scores[:, 1]
                if self.noise.is_skewed:
                    variance += counted * at.variance[..., None]
                    deviations = self._skew(deviations, np.sqrt(variance), at)
                else:
                    deviations += self.noise.bias[:, None]
                draws[rows] = mean + deviations
            return draws

        return draw

    def _skew(self, deviations: np.ndarray, std: np.ndarray, at: _TargetMoments) -> np.ndarray:
        """Return draws (n, n_outputs, n_samples) around the mean, in their order, but skewed.

        ``std`` is that of a draw, given its ``W``.
        """
        z = np.divide(deviations, std, out=np.zeros_like(std), where=std > 0)
        center = self.noise.center(at.mean, at.variance, at.factor, at.misfit) - at.mean
        return center[..., None] + std * from_normal(z, self.noise.skewness[:, None])

    def draw(
        self, X: np.ndarray, n_samples: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        """Draw y at all rows, (n, n_outputs, n_samples)."""
        return self.start_draws(n_samples, random_state)(X)
