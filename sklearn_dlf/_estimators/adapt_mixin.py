"""Methods by which a fitted student learns what y means now, without its teacher."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .._rows.labels import check_labels, class_columns, join_classes, observed_values
from .._updating.class_adaptation import ClassAdaptation, ClassAdapter, arrange_rows
from .._updating.label_map import warn_of_few_labels
from .._updating.mapped_members import members_of, warn_of_agreement
from .._updating.updated_members import UpdatedMembers
from .._updating.value_adaptation import ValueAdaptation, ValueAdapter
from .._utils.threads import one_blas_thread
from .._utils.warning import warn_user
from .new_rows import LEAST_WEIGHT, check_new_rows
from .update_mixin import NO_NOISE, ClassifierUpdateMixin, RegressorUpdateMixin, UpdateMixin

UPDATES_LEFT_OUT = (
    "What this student has learnt by update is left out: adapt starts from the student as it was "
    "fitted. Rows of update whose y has the new meaning can be given to adapt, together with the "
    "others. What other rows have told is lost in the new student; the updated one keeps it."
)


class AdaptMixin(UpdateMixin):
    """A student that makes others, to which y means something else."""

    adaptation_: Any

    def _rows_to_adapt(
        self, X: Any, y: Any, sample_weight: Any, labels: Any
    ) -> tuple[np.ndarray, Any, np.ndarray]:
        """Return standardised rows, y and weights, or raise if an argument is invalid."""
        check_is_fitted(self)
        if labels not in ("auto", "kept", "mapped"):
            raise ValueError(f"labels must be 'auto', 'kept' or 'mapped'; got {labels!r}.")
        if "adaptation_" in self.__dict__:
            raise ValueError(
                "This student was adapted already; expected one as it was fitted. Adapt the fitted "
                "student to all rows of the new meaning at once."
            )
        X, y, weights = check_new_rows(self, X, y, sample_weight)
        if not weights.any():
            raise ValueError(
                f"adapt needs at least one row of positive weight; got {len(weights)} rows of "
                f"weights below {LEAST_WEIGHT:g}."
            )
        update = self.__dict__.get("_update")  # what it has learnt is left out
        reader = self._reader if update is None else update.kept.get("_reader", self._reader)
        return self._rows_to_learn(X, reader, True), y, weights

    def _with_adaptation(self, adaptation: Any, X: np.ndarray, **attributes: Any) -> Any:
        """Return a student of the same network, adapted to standardised rows, without updates."""
        if "_update" in self.__dict__:
            warn_user(UPDATES_LEFT_OUT)
        adapted = object.__new__(type(self))
        adapted.__dict__.update(self.__dict__)
        adapted.reset_update()
        adapted.__dict__.pop("conformal_scores_", None)
        adapted._reader = adapted._reader.widened(X)
        adapted.__dict__.update(attributes, adaptation_=adaptation)
        return adapted


class RegressorAdaptMixin(AdaptMixin, RegressorUpdateMixin):
    """A student of regressors that makes others, to which y means something else."""

    adaptation_: ValueAdaptation

    def adapt(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        labels: Literal["auto", "kept", "mapped"] = "auto",
    ) -> RegressorAdaptMixin:
        """Return a new student that has learnt what y means now, without the teacher.

        Where `update` holds the student to what it predicted at the rows of `fit`, y may mean
        something else here: it may be in other units, or another quantity that depends on the same
        columns. The student is not changed. The new one starts from the student as it was fitted:
        what `update` has learnt is left out, with a warning. The page :doc:`/updating` explains
        what is learnt, and measures it.

        Parameters
        ----------
        X : array-like or DataFrame with n_samples rows
            Rows with values of the new meaning.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values of the new meaning. If the teacher transforms y, they are transformed too.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as numbers of equal rows. Below 1e-30 they count as zero.

        labels : {"auto", "kept", "mapped"}, default="auto"
            What y is now. "kept": a value of the same units, from which a head on the features of
            the body may differ. "mapped": ``intercept + slope y`` for an unknown slope of any sign,
            and the head; it needs three different rows at least. "auto": the one under which
            held-out values are likelier; "kept" with fewer than four different rows. How large the
            head and the noise of y are is averaged over, by the evidence of the rows.

        Returns
        -------
        student : DLFRegressor
            The new student. All it predicts is about the new y: mean, members, noise, intervals,
            after `conformalize` with a guarantee. `adaptation_` says what it has learnt. It shares
            the network, the parameters, and the attributes that describe `fit`. `update` and
            `adapt` are not available.

        Raises
        ------
        NotFittedError
            If the student is not fitted, or was fitted without y.
        ValueError
            If the student was adapted already, no row counts, y has values that are missing or not
            finite, also after the teacher's transformation, if there are too few rows for
            "mapped", if shapes do not match, or if X is not like the rows of `fit`.

        Warns
        -----
        UserWarning
            If `update` has changed the student: what it has learnt is left out. With "auto", if
            rows are too few to tell whether y has other units, and values are far from predictions.
            If all of ten or more rows may be in other units, as in `update`. If far fewer held-out
            values than nine in ten lie in their 90 % intervals.

        See Also
        --------
        update : Learns from rows of the same meaning, in place.

        Examples
        --------
        >>> from sklearn.datasets import make_regression
        >>> from sklearn.ensemble import RandomForestRegressor
        >>> from sklearn_dlf import DLFRegressor
        >>> X, y = make_regression(300, 4, noise=10.0, random_state=0)
        >>> forest = RandomForestRegressor(30, random_state=0).fit(X[:200], y[:200])
        >>> student = DLFRegressor(q=3, tol=0.05, random_state=0)
        >>> student = student.fit(X[:200], y[:200], ensemble=forest)
        >>> adapted = student.adapt(X[200:250], 20 - 0.1 * y[200:250])
        >>> adapted.adaptation_.labels, adapted.adaptation_.slope.shape
        ('mapped', (1,))
        >>> round(adapted.score(X[250:], 20 - 0.1 * y[250:]), 1) > 0.5
        True
        """
        X, y, weights = self._rows_to_adapt(X, y, sample_weight, labels)
        if self.target_noise_ is None:
            raise NotFittedError(NO_NOISE.format("adapt"))
        counts, transformation = weights > 0, None
        values = observed_values(y, len(X), self.n_outputs_)[counts]
        own = self.target_transformation_
        update = self.__dict__.get("_update")
        if update is not None:  # it may have widened the support
            own = update.kept.get("target_transformation_", own)
        if own is not None:
            transformation = own.covering(values)
            values = transformation.transform(values)
        adapter = ValueAdapter(
            self._fitted_members,
            self.target_noise_,
            self._kept_memory(),
            X[counts],
            values,
            weights[counts],
        )
        with one_blas_thread:
            adaptation = adapter.adapt(labels)
        return self._with_adaptation(
            adaptation,
            X[counts],
            target_transformation_=transformation,
            target_noise_=adaptation.noise_of(self.target_noise_),
        )

    @property
    def _members(self) -> Any:
        adaptation = self.__dict__.get("adaptation_")
        if adaptation is None:
            return super()._members
        return UpdatedMembers(self.student_, self._units, adaptation.posterior)


class ClassifierAdaptMixin(AdaptMixin, ClassifierUpdateMixin):
    """A student of classifiers that makes others, to which labels mean something else."""

    adaptation_: ClassAdaptation

    def adapt(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        labels: Literal["auto", "kept", "mapped"] = "auto",
        classes: ArrayLike | None = None,
    ) -> ClassifierAdaptMixin:
        """Return a new student that has learnt what labels mean now, without the teacher.

        Where `update` holds the student to what it predicted at the rows of `fit`, labels may mean
        something else here, and there may be others. The student is not changed. The new one starts
        from the student as it was fitted: what `update` has learnt is left out, with a warning. The
        page :doc:`/updating` explains what is learnt, and measures it.

        Parameters
        ----------
        X : array-like or DataFrame with n_samples rows
            Rows with labels of the new meaning.

        y : array-like of shape (n_samples,)
            Labels of the new meaning, of any kind.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as numbers of equal rows. Below 1e-30 they count as zero.

        labels : {"auto", "kept", "mapped"}, default="auto"
            What labels are now. "kept": classes have kept their names, and there may be new ones.
            The members' posterior is found, without memory of the rows of `fit`. "mapped": any
            class may have any name. A map of classes to labels is found by EM; it acts on the
            probabilities of each member. Both are followed by a head on the mean logits or the
            features of the body, if held-out labels ask for it. "auto": the one under which
            held-out labels are likelier; "kept" if there is one row; "mapped" if no label is a
            class of the student, or if `classes` lacks one of them.

        classes : array-like of shape (n_classes,), default=None
            All labels of the new meaning, if some may not be among those of y. None: the labels in
            y, and the classes of the student too if any label is one of them or they are "kept".

        Returns
        -------
        student : DLFClassifier
            The new student. It predicts probabilities of the new labels, draws of members, and
            their uncertainty; the epistemic part does not exceed that of the members before labels
            are mapped. `adaptation_` says what it has learnt. Members are known by their
            probabilities, so that `latent_parameters` is available only if classes were kept
            without new ones and without a head. It shares the network, the parameters, and the
            attributes that describe `fit`. `update` and `adapt` are not available.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        ValueError
            If the student was adapted already, no row counts, labels are missing or none of
            `classes`, there is one class only, classes to be kept are missing in `classes`, if
            shapes do not match, or if X is not like the rows of `fit`.

        Warns
        -----
        UserWarning
            If `update` has changed the student: what it has learnt is left out.
            If all of ten or more rows may be in other units, as in `update`.
            If a label of fewer than ten rows was "mapped": its probabilities are less certain than
            the student says.
            If labels are "mapped" with a head under which members disagree less than half as much
            as without it: what is not known of the head is no part of the uncertainty.

        See Also
        --------
        update : Learns from rows of the same meaning, in place.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> from sklearn_dlf import DLFClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> forest = RandomForestClassifier(30, random_state=0).fit(X, y)
        >>> student = DLFClassifier(q=3, n_epochs=5, random_state=0).fit(X, y, ensemble=forest)
        >>> adapted = student.adapt(X[::5], 2 - y[::5])  # names in another order
        >>> bool((adapted.predict(X) == 2 - y).mean() > 0.9), adapted.adaptation_.labels
        (True, 'mapped')
        """
        X, y, weights = self._rows_to_adapt(X, y, sample_weight, labels)
        y = check_labels(y)
        check_classification_targets(y)
        counts = weights > 0
        X, y, weights = X[counts], y[counts], weights[counts]
        new = self._new_classes(y, labels, classes)
        columns = class_columns(self.classes_, new)
        kept_columns = columns if (columns >= 0).all() else None
        if labels == "kept" and kept_columns is None:
            raise ValueError(
                f"labels='kept' keeps the classes {self.classes_}; got classes={classes!r}, which "
                "lack some of them."
            )
        indicators = np.zeros((len(y), len(new)))
        indicators[np.arange(len(y)), class_columns(y, new)] = weights
        adapter = ClassAdapter(
            self._fitted_members, self._kept_memory(), arrange_rows(X, indicators), kept_columns
        )
        n_outputs = 1 if len(new) == 2 else len(new)
        with one_blas_thread:
            adaptation = adapter.adapt(labels)
        if adaptation.labels == "mapped":
            warn_of_few_labels(indicators, new)
            warn_of_agreement(adaptation, self._fitted_members, self._kept_memory(), X)
        return self._with_adaptation(adaptation, X, classes_=new, n_outputs_=n_outputs)

    def _new_classes(self, y: np.ndarray, labels: str, classes: Any) -> np.ndarray:
        """Return the sorted classes of the new meaning, or raise if y has others."""
        own = set(self.classes_.tolist())
        if classes is not None:
            new = np.unique(check_labels(classes, "classes"))
            others = [each for each in np.unique(y).tolist() if each not in set(new.tolist())]
            if others:
                raise ValueError(f"y has labels that are none of classes={new}: {others[:10]}.")
        elif labels == "kept" or own.intersection(y.tolist()):
            new = join_classes(self.classes_, y)
        else:
            new = np.unique(y)
        if len(new) < 2:
            raise ValueError(
                f"y has one label, {new.tolist()[0]!r}, which is no class of the student, and a "
                "classifier needs two. Give all labels of the new meaning by classes=."
            )
        return new

    @property
    def _members(self) -> Any:
        adaptation = self.__dict__.get("adaptation_")
        if adaptation is None:
            return super()._members
        return members_of(adaptation, self._fitted_members, self._kept_memory())
