"""Methods of all students of regressors: `fit`, draws, and the variance of y."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._fitting.noise_of_y import learn_noise_of_y
from .._predictive.scale_mixture import node_weights
from .._transfer.tasks import RegressionTask
from .._utils.parameters import check_count
from .interval_mixin import IntervalMixin
from .row_parts import predict_in_parts

# Copies of what is computed for each node of the noise, where y is transformed: of its standard
# deviation, and of its square.
NODE_COPIES = 3


class RegressorStudentMixin(RegressorMixin, IntervalMixin):
    """A student of regressors; subclasses define its members."""

    # How the noise of y depends on the row, and folds for an unfitted teacher; parameters of some
    # students.
    target_noise: str = "auto"
    cv: Any = None

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        ensemble: Any = None,
        predictions: ArrayLike | list | None = None,
        X_ensemble: Any = None,
        X_unlabeled: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        unseen: ArrayLike | bool | None = None,
    ) -> RegressorStudentMixin:
        """Distil an ensemble.

        The teacher is `ensemble`, or these `predictions`, or the constructor's ensemble, or else a
        deep ensemble, which is trained first.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame with n_samples rows
            Rows, which are the first design points: numbers, or all that `preprocessor` reads. If
            the ensemble knows which rows its members did not see (bagging, forests, deep
            ensembles), give the rows of its own fit, in their order. Their number is checked, and
            with y whether members fit the rows better that they have seen; if not, a warning is
            given and the record is not used. A warning is also given if the rows seem to be in
            other units than those of the ensemble's own fit, or if they lack the column names that
            it knows; `X_ensemble` is the remedy.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed values, for the noise of y around the members, and for an ensemble that has to
            be fitted. NaN or None marks rows without a value, which are design points. Without y,
            `sample_y`, `predict_interval`, `predict_quantiles` and `predict_uncertainty` are not
            available, unless the members have a variance of their own.

        ensemble : ensemble, list of fitted regressors or FittedEnsemble, default=None
            Teacher. It is used in place of the constructor's.

        predictions : array-like of shape (n_samples, n_members) or (n_samples, n_outputs, \
n_members), or list of arrays of shape (n_samples,) or (n_samples, n_outputs), default=None
            Outputs of the members at X, members last, or one array a member. At most one of
            `ensemble` and `predictions` is given.

        X_ensemble : array-like or DataFrame with n_samples rows, or callable, default=None
            The rows of X in the form that the ensemble takes, if X has been transformed. No further
            design points can be made then, unless it is a callable that takes rows like those of X
            and returns them in that form, such as the ``inverse_transform`` of a scaler.

        X_unlabeled : array-like or DataFrame with n_unlabeled rows, default=None
            Further rows like those of X, which are design points too.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows of X, as numbers of equal rows. Others have the mean weight.

        unseen : bool array-like of shape (n_samples,) or (n_samples, n_members), or True, \
default=None
            Rows of X that the members, or that each member, was not fitted to; True for all. The
            noise of y is estimated there. None for what the ensemble knows itself.

        Returns
        -------
        self
            The fitted student.

        Raises
        ------
        ValueError
            If rows cannot be read, shapes do not match, there are fewer than two members or they
            are classifiers, two teachers are given, y or `unseen` contradicts the teacher, `cv` is
            given with a fitted one, or variances of members are not positive.
        TypeError
            If the ensemble's type is not known, or `unseen` does not hold booleans.
        TrainingDivergedError
            If training has reached values that are not finite.

        Warns
        -----
        SeenRowsWarning
            If y is given, and it is not known which rows the members were not fitted to, or if
            copies of rows leave few of these.
        UserWarning
            If `sample_weight` does not reach an ensemble that is fitted here.
        """
        self._fit(
            X,
            y,
            RegressionTask(y is not None, self.cv),
            ensemble=ensemble,
            predictions=predictions,
            X_ensemble=X_ensemble,
            X_unlabeled=X_unlabeled,
            sample_weight=sample_weight,
            unseen=unseen,
        )
        return self

    def _learn_targets(self, members, transfer_set, random_state):
        self.target_transformation_ = transfer_set.transformation
        self.target_noise_ = learn_noise_of_y(
            members, transfer_set, self.ensemble_score_, self.target_noise, random_state
        )

    def sample_predictions(
        self,
        X: ArrayLike,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw members.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        n_samples : int, default=1
            Number of members to draw.

        random_state : int, RandomState instance or None, default=None
            With an integer, the same members are drawn whatever the rows: the first rows do not
            depend on those after them. What is drawn row by row, where `row_correlation_` has a
            share below one, belongs to the place of a row in the call: rows whose draws are summed
            or compared go into one call. Another `n_samples` gives other members.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            Predictions of each member, in units of y.
        """
        check_is_fitted(self)
        n_samples, rng = check_count(n_samples, "n_samples"), check_random_state(random_state)
        return self._draw_in_parts(X, self._members.start_draws(n_samples, rng), n_samples)

    def sample_y(
        self,
        X: ArrayLike,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw values of y: a member, a variance of the noise, and the noise.

        Outputs and rows share the member. Outputs of a row also have the correlation of the noise
        that residuals show (`target_noise_`), and rows mostly nothing of it (:doc:`/intervals`).

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        n_samples : int, default=1
            Number of draws.

        random_state : int, RandomState instance or None, default=None
            As in `sample_predictions`.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
            Draws, in units of y.

        Raises
        ------
        NotFittedError
            If `fit` was not given y, and the members have no variance of their own.

        Warns
        -----
        UserWarning
            If y has no variance (see `predict_uncertainty`). Means and sums of draws do not settle
            then, however many there are; their quantiles do.
        """
        check_is_fitted(self)
        n_samples, rng = check_count(n_samples, "n_samples"), check_random_state(random_state)
        return self._draw_y(X, n_samples, rng)

    def predict_uncertainty(self, X: ArrayLike) -> Bunch:
        """Predict the variance of y, in its aleatoric and epistemic parts.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Bunch
            Each (n_samples,) or (n_samples, n_outputs). In squared units of y: ``total``, the
            variance of y; ``epistemic``, the part of the members' variance that counts for y (see
            `target_noise_.spread_share`; after `update` all that is uncertain of the mean);
            ``aleatoric``, the variance around a member. In units of y: ``std``, root of ``total``.

        Raises
        ------
        NotFittedError
            If `fit` was not given y, and the members have no variance of their own.

        Warns
        -----
        UserWarning
            If y has no variance, since its noise has very heavy tails (`target_noise_.shape` up to
            one), or since the teacher transforms y and the way back stretches the tails, as an
            exponential does. Then ``total``, ``aleatoric`` and ``std`` are infinite. The width of
            `predict_interval` is not.
        """
        check_is_fitted(self)

        def predict(members, rows):
            distribution = self._target_distribution("predict_uncertainty", members)
            parts = distribution.variances(rows, self.target_transformation_)
            return self._squeeze(parts.epistemic), self._squeeze(parts.aleatoric)

        further = NODE_COPIES * self.n_outputs_ * len(node_weights())
        epistemic, aleatoric = predict_in_parts(self, X, predict, further)
        total = epistemic + aleatoric
        self._warn_of_infinite(total)
        return Bunch(total=total, aleatoric=aleatoric, epistemic=epistemic, std=np.sqrt(total))
