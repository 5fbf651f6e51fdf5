"""Methods by which a fitted student learns from new labelled rows, without its teacher."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._rows.labels import class_indicators, observed_values
from .._rows.novelties import Novelties
from .._rows.reader import RowReader
from .._updating.class_update import ClassUpdate
from .._updating.coordinates import read_heads
from .._updating.levels import warn_of_frequencies, warn_of_level
from .._updating.memory import (
    Memory,
    latent_covariance,
    learn_memory,
    value_covariance,
)
from .._updating.other_meaning import warn_of_other_labels, warn_of_other_values
from .._updating.value_update import ValueUpdate
from .._utils.threads import one_blas_thread
from .._utils.warning import warn_user
from .base import BaseStudent
from .classifier_mixin import ClassifierStudentMixin
from .new_rows import check_new_rows, check_options
from .regressor_mixin import RegressorStudentMixin

# Largest distance of a value of y from the values of fit, in units of the standard deviation of the
# ensemble's mean. Larger ones are mistakes, and posteriors of them would not be finite. A choice.
MAX_DISTANCE = 1e30

NO_NOISE = (
    "{} needs the noise of y around the ensemble, and fit was called without y. Call "
    "fit(X, y, ...) with the observed values."
)

NOTHING_KEPT = (
    "update and adapt need what fit keeps of its rows and their values, and this student has "
    "nothing of the kind: fit was called without y. Call fit(X, y, ...) with the observed values."
)


NO_GROUPS = (
    "The members of this student have a law that is not Gaussian (latent_law_): they may fall into "
    "groups, and draws of members did. An update makes them Gaussian: draws, probabilities and "
    "quantiles have no groups afterwards. If you need the groups, call reset_update, train the "
    "ensemble on all rows, and fit a new student. latent='gaussian' fits a student without a law."
)


NO_GUARANTEE = (
    "The student was conformalized, and update has changed its predictive distribution: the "
    "guarantee was removed. Call conformalize again, with rows that are neither in fit nor in "
    "update."
)


class UpdateMixin(BaseStudent):
    """A student whose members can be conditioned on new labelled rows."""

    _memory: Memory | None
    _update: Any

    def update(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        discrepancy: Literal["auto"] | None = "auto",
        forgetting: float | None = None,
    ) -> UpdateMixin:
        """Learn from new labelled rows, in place and without the teacher.

        The student is a prior: its members are draws of a process. The update is the posterior of
        that process, given the new values of y. All predictions are those of the posterior
        afterwards, and `reset_update` brings those of `fit` back. Further calls add further rows.
        The page :doc:`/updating` explains what changes, and measures it.

        Parameters
        ----------
        X : array-like or DataFrame with n_samples rows
            New rows, which members and student have not learnt from. There may be none.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed values, in units of y, or labels of classes that the student knows.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, as numbers of equal rows. Rows of weight zero, or below
            1e-30, change nothing.

        discrepancy : "auto" or None, default="auto"
            Whether the student itself may be wrong. None: it is right, but for its factors. These
            alone are found, and the spread of the members never grows. "auto": there may also be a
            discrepancy, which is linear in the features of the body, and regressors may have more
            noise of y than in `fit`, but not less. At the rows of `fit`, the student is taken for
            right, as far as the noise tells. How large discrepancy and noise are, is averaged over,
            by the evidence of the new rows. Students of many outputs and features have an affine
            function of their mean in place of the discrepancy.

        forgetting : float or None, default=None
            Between 0 and 1, for streams of rows whose meaning changes. Before the new rows are
            learnt, the posterior's mean m and covariance S become ``rho m`` and ``rho^2 S + (1 -
            rho^2) K``, where K is the covariance under the prior. None, or 1: nothing is forgotten.
            0: all earlier updates are forgotten. Below 1, the update no longer holds the student to
            what it predicted at the rows of `fit`. What new rows determine well, such as the
            frequency of a class, is forgotten faster than by rho a call (:doc:`/updating`).

        Returns
        -------
        self
            The student.

        Raises
        ------
        NotFittedError
            If the student is not fitted, or if one of regressors was fitted without y: the noise of
            y is not known then.
        ValueError
            If y has values that are missing, or not finite, or labels that the student does not
            know, if shapes do not match, or if X is not like the rows of `fit`.

        Warns
        -----
        UserWarning
            If the student was conformalized: the guarantee does not hold for the posterior, so that
            it is removed. Call ``conformalize`` again, with rows that are held out from the update.
            If y is far from all that the student thought possible, unless `forgetting` is below 1:
            it may mean something else, which `adapt` learns. At least five rows tell it.
            If labels are far less likely than by a guess, likelier under each other's names, or in
            another order than the rows; if y stays above or below what the updated student
            predicts, or if a label is more or less frequent than that. Rows of the last calls count
            together. With `forgetting` below 1 there are no such warnings.
            If y has the pandas index of X in another order.
            If all of ten or more rows lie away from those that are known in a column of numbers, by
            more than their whole range: they may be in other units.
            At the first update of a student whose members have a law (`latent_law_`): they are
            Gaussian afterwards.

        Examples
        --------
        >>> from sklearn.datasets import make_regression
        >>> from sklearn.ensemble import RandomForestRegressor
        >>> from sklearn_dlf import DLFRegressor
        >>> X, y = make_regression(300, 4, noise=10.0, random_state=0)
        >>> forest = RandomForestRegressor(30, random_state=0).fit(X[:200], y[:200])
        >>> student = DLFRegressor(q=3, tol=0.05, random_state=0)
        >>> student = student.fit(X[:200], y[:200], ensemble=forest)
        >>> fitted = student.predict(X)
        >>> updated = student.update(X[200:], y[200:]).predict(X)
        >>> bool(abs(updated - y)[200:].mean() < abs(fitted - y)[200:].mean())
        True
        >>> bool((student.reset_update().predict(X) == fitted).all())
        True
        """
        check_is_fitted(self)
        if "adaptation_" in self.__dict__:
            raise ValueError(
                "This student was adapted to another meaning of y, and update keeps the meaning. "
                "Adapt the fitted student to all rows of the new meaning at once."
            )
        share = check_options(discrepancy, forgetting)
        X, y, weights = check_new_rows(self, X, y, sample_weight)
        n_rows = len(weights)
        update = self.__dict__.get("_update")
        if not n_rows and (update is None or share == 1):
            return self
        # Of frames, the range of rows of earlier updates is not known (`RowReader.widened`).
        knows_all = update is None or self._reader.is_plain
        learnt = self._rows_to_learn(X, self._reader, knows_all) if n_rows else None
        added = None if learnt is None else (learnt, y, weights)
        with one_blas_thread:
            update = self._make_update() if update is None else update.copy()
            if share < 1:
                update.forget_calls()
            update = self._add_rows(update, added, discrepancy is not None, share)
        if not weights.any() and share == 1:  # values are valid; nothing is learnt or forgotten
            return self
        if update.is_empty:  # no row counts, or none does any more
            return self.reset_update()
        is_first = "_update" not in self.__dict__
        had_guarantee = self._drop_guarantee(update)
        if added is not None and weights.any():
            update.kept.setdefault("_reader", self._reader)
            self._reader = self._reader.widened(added[0][weights > 0])
        self._update = update
        # Warnings may be errors: the student is whole before them.
        if had_guarantee:
            warn_user(NO_GUARANTEE)
        if is_first and getattr(self, "latent_law_", None) is not None:
            warn_user(NO_GROUPS)
        return self

    def reset_update(self) -> UpdateMixin:
        """Forget all updates: the student predicts as after `fit`, bit for bit.

        The guarantee that ``conformalize`` gave before the first update holds again.

        Returns
        -------
        self
            The student. It is not changed if there was no update.

        Raises
        ------
        NotFittedError
            If the student is not fitted.
        """
        check_is_fitted(self)
        update = self.__dict__.pop("_update", None)
        if update is not None:
            self.__dict__.pop("conformal_scores_", None)
            self.__dict__.update(update.kept)
        return self

    @abstractmethod
    def _make_update(self) -> Any:
        """Return an update without rows, or raise if none is possible."""

    @abstractmethod
    def _add_rows(self, update: Any, rows: Any, discrepancy: bool, forgetting: float) -> Any:
        """Return an update with validated rows, values of y and weights added, or without any."""

    def _rows_to_learn(self, X: Any, reader: RowReader, knows_all: bool) -> np.ndarray:
        """Return standardised rows to learn from, which may lie beyond those of `fit`.

        ``knows_all`` says whether the reader knows the range of all rows that were learnt.
        """
        found = Novelties(may_extrapolate=True, are_learnt=True, knows_all=knows_all)
        rows = self._standardised_rows(X, found, reader)
        found.warn()
        return rows

    def _drop_guarantee(self, update: Any) -> bool:
        """Remove the guarantee of `conformalize`, and return whether there was one.

        It does not hold for the posterior.
        """
        scores = self.__dict__.pop("conformal_scores_", None)
        if scores is not None and "_update" not in self.__dict__:  # it is the fitted student's
            update.kept["conformal_scores_"] = scores
        return scores is not None

    @property
    def _fitted_members(self) -> Any:
        """Members of the student as it was fitted."""
        return self._make_members(self.student_)

    @property
    def _members(self) -> Any:
        update = self.__dict__.get("_update")
        if update is None:
            return self._make_members(self.student_)
        return update.members(self.student_, self._units).with_member_law(self.member_law_)

    def _kept_memory(self) -> Memory:
        """Return what `fit` has kept, or raise."""
        memory = getattr(self, "_memory", None)
        if memory is None:
            raise NotFittedError(NOTHING_KEPT)
        return memory

    def _keep_memory(self, members: Any, transfer_set: Any, n_own: int, covariance: Any) -> None:
        """Keep what the rows of `fit` tell."""
        weights = np.asarray(transfer_set.contrasts.weights[:n_own], dtype=np.float64)
        self._memory = learn_memory(
            members,
            read_heads(members.network, members.units),
            transfer_set.X[:n_own],
            weights * np.count_nonzero(weights) / weights.sum(),
            covariance,
        )


class RegressorUpdateMixin(UpdateMixin, RegressorStudentMixin):
    """Updates of a student of regressors."""

    def _learn_targets(self, members, transfer_set, random_state):
        super()._learn_targets(members, transfer_set, random_state)
        self._memory = None
        noise = self.target_noise_
        if noise is not None and transfer_set.targets is not None:
            self._keep_memory(
                members,
                transfer_set,
                len(transfer_set.targets.y),
                lambda X: value_covariance(members, noise, X),
            )

    def _make_update(self):
        if self.target_noise_ is None:
            raise NotFittedError(NO_NOISE.format("update"))
        return ValueUpdate(self._fitted_members, self.target_noise_, self._kept_memory())

    def _add_rows(self, update, rows, discrepancy, forgetting):
        noise = self.target_noise_
        assert noise is not None  # else no update was made
        if rows is not None:
            X, y, weights = rows
            transformation = self.target_transformation_
            values = observed_values(y, len(X), self.n_outputs_)
            if transformation is not None:
                update.kept.setdefault("target_transformation_", transformation)
                transformation = transformation.covering(values[weights > 0])
                values = transformation.transform(values)
            self._check_distance(values)
            rows = X, values, weights
        update.add(
            self._fitted_members,
            noise,
            rows,
            discrepancy=discrepancy,
            forgetting=forgetting,
        )
        if rows is not None:
            if forgetting == 1:
                before, fitted = self._members, self._fitted_members
                if not warn_of_other_values(rows, noise, before, fitted, update):
                    updated = update.members(self.student_, self._units)
                    warn_of_level(rows, noise, updated, fitted, update)
            self.target_transformation_ = transformation
        return update

    def _check_distance(self, values: np.ndarray) -> None:
        """Raise ValueError if values (n, n_outputs) are far from all values of `fit`."""
        units = np.where(self.output_scale_ > 0, self.output_scale_, 1.0)
        with np.errstate(over="ignore"):
            distance = np.abs(values - self.output_center_) / units
        if distance.max() > MAX_DISTANCE:
            raise ValueError(
                f"y must lie within {MAX_DISTANCE:g} standard deviations of the ensemble's mean in "
                f"fit; got a value {distance.max():.3g} away."
            )


class ClassifierUpdateMixin(UpdateMixin, ClassifierStudentMixin):
    """Updates of a student of classifiers."""

    def _learn_targets(self, members, transfer_set, random_state):
        super()._learn_targets(members, transfer_set, random_state)
        n_own = transfer_set.targets.n_own
        self._keep_memory(members, transfer_set, n_own, lambda X: latent_covariance(members, X))

    def _make_update(self):
        return ClassUpdate(self._fitted_members, self._kept_memory())

    def _add_rows(self, update, rows, discrepancy, forgetting):
        if rows is not None:
            X, y, weights = rows
            rows = X, weights[:, None] * class_indicators(y, self.classes_)
        update.add(self._fitted_members, rows, discrepancy=discrepancy, forgetting=forgetting)
        if rows is None or forgetting < 1:
            return update
        if not warn_of_other_labels(rows, self.classes_, self._members, update):
            updated = update.members(self.student_, self._units)
            warn_of_frequencies(rows, self.classes_, updated, update)
        return update
