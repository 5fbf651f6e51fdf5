"""Quantiles and intervals of y, and their guarantee."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from .._predictive.conformal import (
    center_and_unit,
    conformal_quantiles,
    rows_needed,
    warn_of_far_scores,
)
from .._rows.index_order import warn_of_index_order
from .._rows.labels import observed_values
from .._utils.parameters import check_levels
from .._utils.warning import warn_user
from .regressor_student import RegressorStudent
from .row_parts import predict_in_parts

# Copies of each quantile while it is computed: distance, quantile, and both transformed back.
QUANTILE_COPIES = 6


class IntervalMixin(RegressorStudent):
    """A student of regressors whose distribution of y has quantiles."""

    def predict_quantiles(
        self, X: ArrayLike, quantiles: ArrayLike = (0.05, 0.5, 0.95)
    ) -> np.ndarray:
        """Predict quantiles of y, from the members' spread and the noise of y, without drawing.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        quantiles : array-like of shape (n_quantiles,), default=(0.05, 0.5, 0.95)
            Levels, strictly between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
            Quantiles, in units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y, and `conformalize` was not called.
        ValueError
            If a level is not between 0 and 1.
        """
        if not hasattr(self, "student_"):
            check_is_fitted(self)
        levels = check_levels(quantiles, "quantiles")
        transformation = self.target_transformation_
        if transformation is not None:
            levels = transformation.inner_levels(levels)
        scores = getattr(self, "conformal_scores_", None)

        def predict(members, rows):
            if scores is not None:
                scale = center_and_unit(rows, members, self.target_noise_)
                result = conformal_quantiles(scores, *scale, levels)
            else:
                distribution = self._target_distribution("predict_quantiles", members)
                result = distribution.quantiles(rows, levels)
            if transformation is not None:
                result = transformation.quantiles(result)
            return self._squeeze(result)

        further = QUANTILE_COPIES * self.n_outputs_ * len(levels)
        return predict_in_parts(self, X, predict, further)

    def conformalize(self, X: ArrayLike, y: ArrayLike) -> IntervalMixin:
        """Give `predict_interval` and `predict_quantiles` a guarantee, from held-out rows.

        After this call, y lies in ``predict_interval(X_new, level)`` with at least the probability
        `level`, on average over held-out and new rows, whatever the teacher and the noise of y
        [1]_. Intervals still follow the student's own predictive distribution. This needs rows that
        neither members nor student were fitted to, and new rows like them: at least 19 at level
        0.9, and 199 at level 0.99. Of several outputs, it holds for each one on its own, not for
        all of them together. `sample_y` is not changed, and a new `fit` removes the guarantee. A
        transformation of y by the teacher has to be one to one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Held-out rows.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed values there.

        Returns
        -------
        self
            The student, with the fitted attribute `conformal_scores_`
            (n_samples, n_outputs): sorted residuals in units of the predictive distribution.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If values are NaN or infinite, or shapes do not match.

        Warns
        -----
        UserWarning
            If rows are too few for the default interval, or y is far from all that was possible.

        References
        ----------
        .. [1] Vovk, Gammerman, Shafer. "Algorithmic Learning in a Random World". Springer 2005.
        """
        check_is_fitted(self)
        warn_of_index_order(X, y=y)
        center, unit = predict_in_parts(
            self, X, lambda members, rows: center_and_unit(rows, members, self.target_noise_)
        )
        values = observed_values(y, len(center), self.n_outputs_)
        if self.target_transformation_ is not None:
            self.target_transformation_ = self.target_transformation_.covering(values)
        values, _ = self._transform_target(values)
        self.conformal_scores_ = np.sort((values - center) / unit, axis=0)
        if self.target_noise_ is not None:  # members alone spread less than y
            warn_of_far_scores(self.conformal_scores_)
        n_needed = rows_needed(0.05)
        if len(values) < n_needed:
            warn_user(
                f"conformalize was given {len(values)} rows. The default predict_interval, at "
                f"level 0.9, needs at least {n_needed:g}, and will raise an error."
            )
        return self

    def predict_interval(self, X: ArrayLike, confidence_level: float = 0.9) -> np.ndarray:
        """Predict a central interval of y at each row.

        It has a guaranteed probability after `conformalize` only. Before, it is estimated at the
        rows of `fit` that members have not seen; if it is not known which these are, `fit` warns:
        the interval is often too narrow then. See "When intervals hold" in the documentation.

        The variance of y is that of the members, or the share of it that residuals bear out, plus
        the noise of y around them. The noise includes the squared error of the student's mean
        against the ensemble's, and may depend on the row (`target_noise`).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        confidence_level : float, default=0.9
            Probability that y lies in the interval, strictly between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, 2), or (n_samples, n_outputs, 2) for several outputs
            Lower and upper end, in units of y. The probability is that of each output on its own.
            With a guarantee, that of all `k` is at least ``1 - k * (1 - confidence_level)``.

        Raises
        ------
        NotFittedError
            If `fit` was not given y, and `conformalize` was not called.
        ValueError
            If the level is no number between 0 and 1.
        """
        level: Any = confidence_level
        if not (isinstance(level, numbers.Real) and 0 < float(level) < 1 - 1e-15):
            raise ValueError(
                "confidence_level must be a probability, a number above 0 and below 1 - 1e-15, "
                f"such as 0.9 for 90 %; got {level!r}."
            )
        tail = 0.5 * (1 - float(level))
        return self.predict_quantiles(X, [tail, 1 - tail])
