"""What the methods of all students of regressors share: units of y, and the distribution of y."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from .._predictive.members import Draws
from .._predictive.target_distribution import TargetDistribution
from .._predictive.target_noise import TargetNoise
from .._predictive.transformed_target import TransformedTarget
from .._rows.labels import observed_values
from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user
from .base import BaseStudent
from .row_parts import DRAW_COPIES, predict_in_parts

NO_VARIANCE = (
    "y has no variance: its noise has so heavy tails (target_noise_.shape is {}, and a variance "
    "needs more than 1) that total, aleatoric and std are infinite. Sort and compare rows by the "
    "width of predict_interval, or by epistemic. Where y is positive, a teacher of its logarithm, "
    "TransformedTargetRegressor(model, func=np.log1p, inverse_func=np.expm1), may have lighter "
    "tails."
)
NO_TRANSFORMED_VARIANCE = (
    "y has no variance at {} of {} rows, where total, aleatoric and std are infinite: the noise of "
    "the transformed y has heavy tails (target_noise_.shape is {}), and the way back to units of y "
    "stretches them until rare values make up the variance. Sort and compare rows by the width of "
    "predict_interval, or by epistemic."
)
NO_VARIANCE_OF_DRAWS = (
    "y has no variance at {} (the noise has heavy tails, target_noise_.shape is {}). Means and "
    "sums of these draws depend on a few huge values and do not settle, however many are drawn. "
    "Quantiles of draws do not depend on them, and predict returns the mean that the members "
    "predict."
)

# Rows of a part, at most, at which draws of y are checked for a variance.
CHECKED_ROWS = 16

# Logarithm of a slope that is zero but for the smallest number of float64.
LOG_FLAT = -700.0

INFINITE_DENSITY = (
    "The transformation of y is infinitely steep at {} of {} values, as the square root is at "
    "zero: the density of y is infinite there, and a mean log-likelihood says nothing. Score these "
    "rows by neg_crps_scorer, or fit a student with another transformation, such as np.log1p and "
    "np.expm1."
)


class RegressorStudent(BaseStudent):
    """A student whose members predict values of y, or of a transformed y."""

    target_noise_: TargetNoise | None
    target_transformation_: TransformedTarget | None
    ensemble_score_: float | None
    conformal_scores_: np.ndarray

    def _mean(self, members: Any, rows: np.ndarray) -> np.ndarray:
        """Return the mean of members at standardised rows, in units of y."""
        if self.target_transformation_ is None:
            return self._squeeze(members.mean(rows))
        return self._squeeze(members.moments_in_units_of_y(rows, self.target_transformation_).mean)

    def _mean_and_std(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the members in units of y, squeezed."""

        def predict(members, rows):
            moments = members.moments_in_units_of_y(rows, self.target_transformation_)
            return self._squeeze(moments.mean), self._squeeze(np.sqrt(moments.variance))

        return predict_in_parts(self, X, predict)

    def _draw_in_parts(self, X: ArrayLike, draw: Draws, n_samples: int) -> np.ndarray:
        """Return draws at all rows, in units of y, squeezed."""
        further = DRAW_COPIES * self.n_outputs_ * n_samples
        return predict_in_parts(
            self, X, lambda _, rows: self._in_units_of_y(draw(rows)), further, True
        )

    def _draw_y(self, X: ArrayLike, n_samples: int, rng: np.random.RandomState) -> np.ndarray:
        """Return draws of y at all rows, squeezed; warn if y has no variance."""
        distribution = self._target_distribution("sample_y")
        draw_outputs = distribution.start_draws(n_samples, rng)
        without_variance: list[np.ndarray] = []

        def draw(rows):
            some = rows[spaced_rows(len(rows), CHECKED_ROWS)]
            parts = distribution.variances(some, self.target_transformation_)
            without_variance.append(np.isinf(parts.aleatoric).any(axis=1))
            return draw_outputs(rows)

        values = self._draw_in_parts(X, draw, n_samples)
        share = np.mean(np.concatenate(without_variance))
        if share > 0:
            where = "all rows" if share == 1 else f"{share:.0%} of the rows"
            warn_user(NO_VARIANCE_OF_DRAWS.format(where, np.round(distribution.noise.shape, 2)))
        return values

    def _target_distribution(self, method: str, members: Any = None) -> TargetDistribution:
        """Return the distribution of y, or raise with the way to get it."""
        if self.target_noise_ is None:
            raise NotFittedError(
                f"{method} needs the noise of y around the ensemble; fit was called without y, and "
                "the members have no variance of their own. Call fit(X, y, ...) with the observed "
                "values. sample_predictions and predict do not need them."
            )
        return TargetDistribution(members or self._members, self.target_noise_)

    def _warn_of_infinite(self, total: np.ndarray) -> None:
        """Warn if variances of y (n,) or (n, n_outputs) are infinite, and say why."""
        is_infinite = np.isinf(total)
        if self.target_noise_ is None or not is_infinite.any():
            return
        shape = np.round(self.target_noise_.shape, 2)
        if (shape <= 1).any() or self.target_transformation_ is None:
            warn_user(NO_VARIANCE.format(shape))
        else:
            n_rows = np.count_nonzero(is_infinite.reshape(len(total), -1).any(axis=1))
            warn_user(NO_TRANSFORMED_VARIANCE.format(n_rows, len(total), shape))

    def _log_density(self, X: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Return the log-density of y (n, n_outputs) at each row and output, in nats."""
        X = self._standardised_rows(X)
        values, log_slope = self._transform_target(observed_values(y, len(X), self.n_outputs_))
        n_flat = np.count_nonzero((log_slope <= LOG_FLAT).any(axis=1))
        if n_flat:
            warn_user(INFINITE_DENSITY.format(n_flat, len(X)))
        # The density of y is that of its transformed value, over the slope of the way back.
        return self._target_distribution("neg_nll_scorer").log_density(X, values) - log_slope

    def _transform_target(self, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return y (n, n_outputs) as the network predicts it, and the log slope of the way back."""
        values = np.asarray(y, dtype=np.float64)
        values = values.reshape(len(values), self.n_outputs_)
        if self.target_transformation_ is None:
            return values, np.zeros(values.shape)
        values = self.target_transformation_.transform(values)
        return values, self.target_transformation_.log_slope(values)

    def _in_units_of_y(self, values: np.ndarray) -> np.ndarray:
        """Return outputs (n, n_outputs, ...) of members in units of y, squeezed."""
        if self.target_transformation_ is not None:
            values = self.target_transformation_.invert(values)
        return self._squeeze(values)

    def _squeeze(self, values: np.ndarray) -> np.ndarray:
        """Drop the axis of outputs (n, n_outputs, ...) if there is one output."""
        return values[:, 0] if self.n_outputs_ == 1 else values
