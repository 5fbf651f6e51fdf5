"""What students of classifiers share: labels, and the averages of the members' probabilities."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils import Bunch, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._predictive.logits import LogitsWatcher, entropies, probabilities_from_latent
from ..ensembles import DeepEnsembleClassifier
from .base import BaseDistiller, check_count


class BaseClassifierStudent(ClassifierMixin, BaseDistiller):
    """Face of a student of classifiers; subclasses say what the members' distribution is."""

    _kind = "classifier"
    _y_options: ClassVar[dict] = {}

    # Classes are what tells rows far from all others: there members differ most.
    _automatic_augment = "reach"

    # Smallest probability that is told from zero, where it is no parameter.
    probability_floor = 1e-6

    def _average(self, X, with_entropy=False):
        """Averaged probabilities, and entropies of the members' own, from validated rows."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X,
        y=None,
        *,
        ensemble=None,
        predictions=None,
        outputs="probabilities",
        classes=None,
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
            order. Only their number is checked: with as many other rows, the spread comes out too
            small.

        y : array-like of shape (n_samples,), default=None
            Labels, for ensembles that have to be fitted, for the teacher's score, and for the
            names of the classes where nothing else says them.

        ensemble : ensemble, list of fitted classifiers or FittedEnsemble, default=None
            Teacher; goes before the constructor's.

        predictions : array-like of shape (n_samples, n_classes, n_members) or list of arrays of \
shape (n_samples, n_classes), default=None
            What the members say at X, members last, or one array a member.

        outputs : {"probabilities", "logits"}, default="probabilities"
            What `predictions` are. The floor is for probabilities alone.

        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the columns of `predictions`, or of an ensemble that does not say
            them. None for the sorted labels in y, and for 0, 1, ... without y.

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
            If values are NaN or infinite, shapes do not match, probabilities do not sum to one,
            there are fewer than two members or classes, labels and columns do not match, the
            ensemble is one of regressors, both `ensemble` and `predictions` are given, or y is
            needed and missing.
        TypeError
            If the ensemble's type is not known.
        TrainingDivergedError
            If training left the finite numbers.
        """
        if outputs not in ("probabilities", "logits"):
            raise ValueError(f"outputs must be 'probabilities' or 'logits'; got {outputs!r}.")
        if outputs == "logits" and predictions is None:
            raise ValueError(
                "outputs='logits' speaks of predictions, and none were given. For an ensemble, say "
                "it with FittedEnsemble(models, outputs='logits')."
            )
        return self._distil(
            X,
            y,
            ensemble=ensemble,
            predictions=predictions,
            X_ensemble=X_ensemble,
            X_unlabeled=X_unlabeled,
            sample_weight=sample_weight,
            outputs=outputs,
            classes=classes,
        )

    def _check_rows(self, X, y, rows):
        """Validated X, labels, and as many rows for the ensemble."""
        X, y = super()._check_rows(X, y, rows)
        if y is not None:
            y = column_or_1d(y, warn=True)
            check_classification_targets(y)
        return X, y

    def _default_ensemble(self):
        """Teacher where none is given."""
        return DeepEnsembleClassifier()

    def _observer(self, teacher, y, weights, outputs, classes):
        """Make latent outputs of what the members say."""
        if classes is None:
            classes = teacher.classes
        elif teacher.classes is not None and not np.array_equal(classes, teacher.classes):
            raise ValueError(
                f"The ensemble says that its classes are {list(teacher.classes)}; got "
                f"classes={list(classes)}. Leave classes out."
            )
        return LogitsWatcher(
            teacher.n_points,
            outputs,
            self.probability_floor,
            classes=classes,
            y=y,
            weights=weights,
            unseen=teacher.unseen if self.out_of_bag == "members" else None,
            n_calibration=teacher.n_calibration,
        )

    def _keep_observed(self, watcher):
        """Set the labels and the teacher's score; None without y."""
        self.classes_ = watcher.classes
        self.ensemble_score_ = None if watcher.y is None else self._score_teacher(watcher)

    def _score_teacher(self, watcher):
        """Accuracy of the teacher; warn where the most frequent label would do better."""
        labels = watcher.classes[watcher.probabilities[: len(watcher.y)].argmax(axis=1)]
        score = accuracy_score(watcher.y, labels, sample_weight=watcher.weights)
        constant = max(
            accuracy_score(watcher.y, np.full_like(labels, label), sample_weight=watcher.weights)
            for label in watcher.classes
        )
        if score < constant:
            warnings.warn(
                f"The ensemble predicts y worse than its most frequent label does (accuracy "
                f"{score:.2f} and {constant:.2f} at the rows of fit). Was it fitted on rows in "
                "other units? Give the rows as it wants them by X_ensemble. Are the columns of "
                "predictions in the order of classes_?",
                UserWarning,
                stacklevel=6,
            )
        return float(score)

    def predict_proba(self, X):
        """Average the members' probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`.
        """
        return self._average(self._rows_for_student(X))[0]

    def predict_log_proba(self, X):
        """Logarithm of the averaged probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return np.log(self.predict_proba(X))

    def predict(self, X):
        """Class of the largest averaged probability.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        probabilities = self.predict_proba(X)  # first, as it says so if not fitted
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_uncertainty(self, X):
        """Split the uncertainty about the class into what members share and what divides them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        Bunch
            In nats, each (n_samples,): ``total``, the entropy of the averaged probabilities;
            ``aleatoric``, the average entropy of the members' probabilities; ``epistemic``, their
            difference, the mutual information of class and member.
        """
        probabilities, aleatoric = self._average(self._rows_for_student(X), with_entropy=True)
        total = entropies(probabilities)
        # Not negative by Jensen's inequality, but for rounding where the members agree.
        epistemic = np.maximum(total - aleatoric, 0.0)
        return Bunch(total=total, aleatoric=aleatoric, epistemic=epistemic)

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
        ndarray of shape (n_rows, n_classes, n_samples)
            Probabilities of each member, in the order of `classes_`.
        """
        X, random_state = self._rows_for_student(X), check_random_state(random_state)
        n_samples = check_count(n_samples)
        return probabilities_from_latent(self._draw_latent(X, n_samples, random_state))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags
