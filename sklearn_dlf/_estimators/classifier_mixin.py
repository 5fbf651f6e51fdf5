"""Methods of all students of classifiers: `fit`, averaged probabilities, uncertainty, draws."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._predictive.logits import entropies, probabilities_from_latent
from .._transfer.tasks import ClassificationTask
from .._utils.parameters import check_count
from .base import BaseStudent
from .row_parts import DRAW_COPIES, predict_in_parts


class ClassifierStudentMixin(ClassifierMixin, BaseStudent):
    """A student of classifiers; subclasses define its members."""

    classes_: np.ndarray
    ensemble_score_: float | None

    # Members' probabilities below it are lifted to it; a parameter of some students.
    probability_floor: float = 1e-6

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        ensemble: Any = None,
        predictions: ArrayLike | list | None = None,
        outputs: Literal["probabilities", "logits"] = "probabilities",
        classes: ArrayLike | None = None,
        X_ensemble: Any = None,
        X_unlabeled: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        unseen: ArrayLike | bool | None = None,
    ) -> ClassifierStudentMixin:
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

        y : array-like of shape (n_samples,), default=None
            Labels, for an ensemble that has to be fitted, for the teacher's score, and for the
            names of the classes if they are not known otherwise. NaN or None marks rows without a
            label, which are design points.

        ensemble : ensemble, list of fitted classifiers or FittedEnsemble, default=None
            Teacher. It is used in place of the constructor's.

        predictions : array-like of shape (n_samples, n_classes, n_members) or list of arrays of \
shape (n_samples, n_classes), default=None
            Probabilities or logits of the members at X, members last, or one array a member. One
            column (n_samples, 1, n_members) is that of the second of two classes. At most one of
            `ensemble` and `predictions` is given.

        outputs : {"probabilities", "logits"}, default="probabilities"
            What `predictions` are. `probability_floor` applies to probabilities only.

        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the columns of `predictions`, or of an ensemble that has no
            labels, or of the codes 0, 1, ... to which an ensemble was fitted. None for the sorted
            labels in y, and for 0, 1, ... without y.

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
            Rows of X that the members, or that each member, was not fitted to; True for all. None
            for what the ensemble knows itself. See `out_of_bag` for what it is used for.

        Returns
        -------
        self
            The fitted student.

        Raises
        ------
        ValueError
            If values are infinite or cannot be read, shapes do not match, probabilities do not sum
            to one, there are fewer than two members or classes, labels and columns do not match,
            the ensemble is one of regressors, both `ensemble` and `predictions` are given, or y is
            needed and missing.
        TypeError
            If the ensemble's type is not known.
        TrainingDivergedError
            If training has reached values that are not finite.

        Warns
        -----
        UserWarning
            If `sample_weight` does not reach an ensemble that is fitted here.
        """
        if outputs not in ("probabilities", "logits"):
            raise ValueError(f"outputs must be 'probabilities' or 'logits'; got {outputs!r}.")
        if outputs == "logits" and predictions is None:
            raise ValueError(
                "outputs='logits' describes predictions, and none were given. For an ensemble, use "
                "FittedEnsemble(models, outputs='logits')."
            )
        self._fit(
            X,
            y,
            ClassificationTask(outputs, classes, self.probability_floor, self._is_refined),
            ensemble=ensemble,
            predictions=predictions,
            X_ensemble=X_ensemble,
            X_unlabeled=X_unlabeled,
            sample_weight=sample_weight,
            unseen=unseen,
        )
        return self

    def _learn_targets(self, members, transfer_set, random_state):
        self.classes_ = transfer_set.targets.classes

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict probabilities: the average of the members'.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        return predict_in_parts(self, X, lambda members, rows: members.probabilities(rows)[0])

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Predict the logarithm of the averaged probabilities.

        It is finite also where a probability is too small for a float.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities in nats, in the order of `classes_`.
        """
        return predict_in_parts(self, X, lambda members, rows: members.log_probabilities(rows))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the class of the largest averaged probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        probabilities = self.predict_proba(X)  # first, since it raises if the student is not fitted
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_uncertainty(self, X: ArrayLike) -> Bunch:
        """Predict the uncertainty about the class, in its aleatoric and epistemic parts.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Bunch
            In nats, each (n_samples,): ``total``, the entropy of the averaged probabilities;
            ``aleatoric``, the average entropy of the members' probabilities; ``epistemic``, their
            difference, which is the mutual information of class and member. Averages are finer than
            those of `predict_proba` where there are three or more classes.
        """

        def predict(members, rows):
            probabilities, aleatoric = members.probabilities(rows, with_entropy=True)
            return entropies(probabilities), aleatoric

        total, aleatoric = predict_in_parts(self, X, predict)
        # Jensen's inequality holds but for rounding, which counts where members agree.
        epistemic = np.maximum(total - aleatoric, 0.0)
        return Bunch(total=total, aleatoric=aleatoric, epistemic=epistemic)

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
        ndarray of shape (n_rows, n_classes, n_samples)
            Probabilities of each member, in the order of `classes_`.
        """
        check_is_fitted(self)
        n_samples, rng = check_count(n_samples, "n_samples"), check_random_state(random_state)
        draw = self._members.start_draws(n_samples, rng)
        return predict_in_parts(
            self,
            X,
            lambda _, rows: probabilities_from_latent(draw(rows)),
            further=DRAW_COPIES * len(self.classes_) * n_samples,
            in_order=True,
        )
