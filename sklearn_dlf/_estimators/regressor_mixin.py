"""What students of regressors share: the fit, and the noise of y around the members."""

from __future__ import annotations

import numbers
import warnings

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_random_state

from .._predictive.target_noise import MemberResiduals, TargetNoise
from .._transfer.teachers import check_range
from .._utils.blocks import row_blocks
from ..ensembles import DeepEnsembleRegressor
from .base import DRAW_ROWS, BaseDistiller, check_count


class BaseRegressorStudent(RegressorMixin, BaseDistiller):
    """Face of a student of regressors; subclasses say what the members' distribution is."""

    _kind = "regressor"

    def _moments(self, X):
        """Bunch of the members' ``mean`` and ``variance`` (n, n_outputs), from validated rows."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X,
        y=None,
        *,
        ensemble=None,
        predictions=None,
        X_ensemble=None,
        X_unlabeled=None,
        sample_weight=None,
    ):
        """Distil an ensemble.

        At most one of `ensemble` and `predictions` is given; with neither, the constructor's
        ensemble is the teacher, and without one a deep ensemble is trained.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Design points: rows at which the student learns what the members say. A fitted ensemble
            that knows which rows its members did not see wants those of its own fit, in their
            order. Only their number is checked: with as many other rows, the spread and the noise
            of y come out too small.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed values, for their noise around the members, and for ensembles that have to be
            fitted. Without it `sample_y`, `predict_interval` and `predict_quantiles` are not
            available.

        ensemble : ensemble, list of fitted regressors or FittedEnsemble, default=None
            Teacher; goes before the constructor's.

        predictions : array-like of shape (n_samples, n_members) or (n_samples, n_outputs, \
n_members), or list of arrays of shape (n_samples,) or (n_samples, n_outputs), default=None
            Outputs of the members at X, members last, or one array a member.

        X_ensemble : array-like or DataFrame with n_samples rows, default=None
            The rows of X as the ensemble wants them, where X has been transformed.

        X_unlabeled : array-like of shape (n_unlabeled, n_features), default=None
            Further design points, without y: rows like those of X that the ensemble is asked about
            too.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows of X; a weight of two counts as two equal rows. Design points beside
            them have their mean weight.

        Returns
        -------
        self
            The fitted student.

        Raises
        ------
        ValueError
            If values are NaN or infinite, shapes do not match, there are fewer than two members,
            the ensemble is one of classifiers, both `ensemble` and `predictions` are given, or y
            is needed and missing.
        TypeError
            If the ensemble's type is not known.
        TrainingDivergedError
            If training left the finite numbers.
        """
        return self._distil(
            X,
            y,
            ensemble=ensemble,
            predictions=predictions,
            X_ensemble=X_ensemble,
            X_unlabeled=X_unlabeled,
            sample_weight=sample_weight,
        )

    def _check_rows(self, X, y, rows):
        """Validated X, values in float64, and as many rows for the ensemble."""
        X, y = super()._check_rows(X, y, rows)
        if y is not None:
            y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
            check_range(y, "y")
        return X, y

    def _default_ensemble(self):
        """Teacher where none is given."""
        return DeepEnsembleRegressor()

    def _observer(self, teacher, y, weights):
        """Gather the members' residuals around y, where it is given."""
        if y is None:
            return None
        return MemberResiduals(y.reshape(len(y), -1), weights, teacher.unseen)

    def _learn(self, X, outputs, observer, random_state):
        """Trained student; the error of its mean is part of the noise of y around its members."""
        student = super()._learn(X, outputs, observer, random_state)
        if observer is not None:
            error = outputs.scale * (student.evaluate_mean(X) - outputs.mean)
            observer.squared_misfit = np.average(error**2, axis=0, weights=outputs.weights)
        return student

    def _keep_observed(self, residuals):
        """Set the noise of y and the teacher's score; None without y."""
        self.target_noise_ = self.ensemble_score_ = None
        if residuals is not None:
            self.target_noise_ = TargetNoise(residuals.variances(), residuals.squared_misfit)
            self.ensemble_score_ = self._score_teacher(residuals)

    def _score_teacher(self, residuals):
        """R^2 of the teacher's mean; warn where a constant would do better."""
        score = r2_score(residuals.y, residuals.mean, sample_weight=residuals.weights)
        if score < 0:
            warnings.warn(
                f"The ensemble predicts y worse than a constant does (R^2 = {score:.2f} at the "
                "rows of fit). Was it fitted on rows or values of y in other units? Give the "
                "rows as it wants them by X_ensemble; a TransformedTargetRegressor needs a teacher "
                "of the transformed values, such as an unfitted one.",
                UserWarning,
                stacklevel=6,
            )
        return float(score)

    def sample_predictions(self, X, n_samples=1, random_state=None):
        """Draw members.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        n_samples : int, default=1
            Members to draw.

        random_state : int, RandomState instance or None, default=None
            With an integer, the same members are drawn whatever the rows: first rows do not depend
            on those after them.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            Predictions of each member, in units of y.
        """
        X, random_state = self._rows_for_student(X), check_random_state(random_state)
        return self._squeeze(self._draw_latent(X, check_count(n_samples), random_state))

    def sample_y(self, X, n_samples=1, random_state=None):
        """Draw values of y: a member, a variance of the noise, and the noise.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        n_samples : int, default=1
            Draws.

        random_state : int, RandomState instance or None, default=None
            As in `sample_predictions`.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            In units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y.
        """
        X, random_state = self._rows_for_student(X), check_random_state(random_state)
        n_samples = check_count(n_samples)
        noise = self._check_target_noise("sample_y").draw(n_samples, random_state)
        return self._squeeze(self._draw_latent(X, n_samples, random_state, extra_variance=noise))

    def predict_quantiles(self, X, quantiles=(0.05, 0.5, 0.95)):
        """Quantiles of y, from the members' spread and the noise around them; nothing is drawn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        quantiles : array-like of shape (n_quantiles,), default=(0.05, 0.5, 0.95)
            Levels, strictly between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
            In units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y.
        ValueError
            If a level is not between 0 and 1.
        """
        X = self._rows_for_student(X)
        noise = self._check_target_noise("predict_quantiles")
        levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
        if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
            raise ValueError(
                f"quantiles must lie strictly between 0 and 1, in one dimension; got {quantiles!r}."
            )
        result = np.empty((len(X), self.n_outputs_, len(levels)))
        for rows in row_blocks(len(X), DRAW_ROWS):
            moments = self._moments(X[rows])
            result[rows] = noise.quantiles(moments.mean, moments.variance, levels)
        return self._squeeze(result)

    def predict_interval(self, X, confidence_level=0.9):
        """Central interval of y at each row.

        The variance of y is the members' spread plus the noise of y around them, of which what the
        student misses of the ensemble's mean at the design points is a part. Where the
        ensemble knows rows that its members did not see (out of bag, held out), the variance of
        these members is taken off their residuals there, so that spread is not counted twice;
        elsewhere the noise is that of the rows of `fit`, and too small if the members were trained
        on them. The spread of a forest's trees alone may be larger than the error of their mean;
        its intervals are then wider than they say.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        confidence_level : float, default=0.9
            Probability that y lies in the interval, strictly between 0 and 1.

        Returns
        -------
        ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Lower and upper end, in units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y.
        ValueError
            If the level is no number between 0 and 1.
        """
        level = float(confidence_level) if isinstance(confidence_level, numbers.Real) else np.nan
        if not 0 < level < 1:
            raise ValueError(
                "confidence_level must be a number strictly between 0 and 1; got "
                f"{confidence_level!r}."
            )
        tail = 0.5 * (1 - level)
        return self.predict_quantiles(X, [tail, 1 - tail])

    def _check_target_noise(self, method):
        """Noise of y, or an error that says how to have it."""
        if self.target_noise_ is None:
            raise NotFittedError(
                f"{method} needs the noise of y around the ensemble; fit was called without y. "
                "Call fit(X, y, ...) with the observed values. sample_predictions and predict do "
                "not need them."
            )
        return self.target_noise_

    def _squeeze(self, values):
        """Drop the axis of outputs (n, n_outputs, ...) where there is one output."""
        return values[:, 0] if self.n_outputs_ == 1 else values
