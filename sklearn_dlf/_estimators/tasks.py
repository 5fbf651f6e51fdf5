"""What `fit` does differently for regression and for classification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._predictive.target_noise import TargetNoise
from .._predictive.transformed_target import TransformedTarget
from .._transfer.class_targets import ClassTargets
from .._transfer.design_points import Points
from .._transfer.residuals import MemberResiduals
from .._transfer.target_space import (
    TRANSFORMED_TEACHER,
    choose_space,
    warn_if_on_another_scale,
)
from .._transfer.teachers import Teacher, check_range
from .._transfer.transfer_set import TransferSet
from .._utils.warning import warn_user
from ..ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor
from .support import kept_sign, warn_if_sign_is_lost


class Task(ABC):
    """A kind of problem.

    Attributes
    ----------
    kind : {"regressor", "classifier"}
        Kind of the student, and of its ensemble.
    automatic_augment : str
        What ``augment="auto"`` stands for.
    y_options : dict
        Options of `validate_data` for y.
    needs_calibration : bool
        Whether calibration rows are made.
    """

    kind: ClassVar[str]
    automatic_augment: ClassVar[str]
    y_options: ClassVar[dict[str, Any]]
    needs_calibration: bool = False

    @abstractmethod
    def check_y(self, y: np.ndarray) -> np.ndarray:
        """Return y as the task takes it, or raise."""

    def enter_space(self, teacher: Teacher, y: np.ndarray | None) -> np.ndarray | None:
        """Return y in the space in which the teacher is evaluated."""
        return y

    @abstractmethod
    def default_teacher(self) -> Any:
        """Return the unfitted ensemble that is used if none is given."""

    @abstractmethod
    def targets(
        self,
        teacher: Teacher,
        points: Points,
        y: np.ndarray | None,
        weights: np.ndarray | None,
        out_of_bag: str | None,
    ) -> Any:
        """Return an object that collects what is known of y while the teacher is evaluated."""

    @abstractmethod
    def set_attributes(self, student: Any, network: Any, transfer_set: TransferSet) -> None:
        """Set the fitted attributes of the task."""


class RegressionTask(Task):
    """Values of y, and their noise around the members."""

    kind = "regressor"
    automatic_augment = "neighbors"
    y_options: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}
    target_transformation: TransformedTarget | None = None
    residuals: MemberResiduals | None = None

    def check_y(self, y):
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_range(y, "y")
        return y

    def enter_space(self, teacher, y):
        self.target_transformation, y = choose_space(teacher, y)
        return y

    def default_teacher(self):
        return DeepEnsembleRegressor()

    def targets(self, teacher, points, y, weights, out_of_bag):
        return (
            None if y is None else MemberResiduals(y.reshape(len(y), -1), weights, teacher.unseen)
        )

    def set_attributes(self, student, network, transfer_set):
        student.target_transformation_ = self.target_transformation
        student.target_noise_ = student.ensemble_score_ = None
        residuals, contrasts = transfer_set.targets, transfer_set.contrasts
        self.residuals = residuals
        if residuals is None:
            return
        error = network.evaluate_mean(transfer_set.design) - contrasts.mean
        error = contrasts.units.scale * error
        squared_misfit = np.average(error**2, axis=0, weights=contrasts.weights)
        student.target_noise_ = TargetNoise(residuals.variances(), squared_misfit)
        student.ensemble_score_ = self._score_teacher(residuals)

    def check_support(self, student: Any, X: Any) -> None:
        """Warn if intervals at the rows of `fit` leave the sign that y and the members have.

        A student of transformed values has the support of its transformation.
        """
        residuals = self.residuals
        if residuals is None or student._teacher_is_transformed:
            return
        if student.ensemble_score_ >= 0:  # otherwise another warning was given
            warn_if_sign_is_lost(student, X, kept_sign(residuals))

    def _score_teacher(self, residuals: MemberResiduals) -> float:
        """Return R^2 of the teacher's mean; warn if a constant predicts better."""
        score = r2_score(residuals.y, residuals.mean, sample_weight=residuals.weights)
        if score < 0:
            warn_user(
                f"The ensemble predicts y worse than a constant does (R^2 = {score:.2f} at the "
                "rows of fit). Was it fitted on rows or values of y in other units? Give the rows "
                f"in the form that it takes by X_ensemble. {TRANSFORMED_TEACHER}"
            )
        else:
            warn_if_on_another_scale(residuals, score)
        return float(score)


@dataclass(frozen=True)
class ClassificationTask(Task):
    """Labels, and the members' probabilities.

    Parameters
    ----------
    outputs : {"probabilities", "logits"}
        What given predictions are.
    classes : array-like of shape (n_classes,) or None
        Labels in the order of the columns.
    probability_floor : float
        Members' probabilities below it are lifted to it.
    needs_calibration : bool
        Whether calibration rows are made.
    """

    outputs: str
    classes: ArrayLike | None
    probability_floor: float
    needs_calibration: bool

    kind = "classifier"
    # Rows far from all others matter: members differ most there.
    automatic_augment = "far_neighbors"
    y_options: ClassVar[dict[str, Any]] = {}

    def check_y(self, y):
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y

    def default_teacher(self):
        return DeepEnsembleClassifier()

    def targets(self, teacher, points, y, weights, out_of_bag):
        classes = self.classes
        if classes is None:
            classes = teacher.classes
        elif teacher.classes is not None and not np.array_equal(classes, teacher.classes):
            raise ValueError(
                f"The classes of the ensemble are {teacher.classes.tolist()}; got "
                f"classes={np.asarray(classes).tolist()}. Leave classes out."
            )
        return ClassTargets(
            points,
            self.outputs,
            self.probability_floor,
            classes=classes,
            y=y,
            weights=weights,
            unseen=teacher.unseen if out_of_bag == "match" else None,
        )

    def set_attributes(self, student, network, transfer_set):
        targets = transfer_set.targets
        student.classes_ = targets.classes
        student.ensemble_score_ = None if targets.y is None else self._score_teacher(targets)

    def _score_teacher(self, targets: Any) -> float:
        """Return the accuracy of the teacher; warn if the most frequent label predicts better."""
        y, weights, classes = targets.y, targets.weights, np.asarray(targets.classes)
        labels = classes[targets.probabilities[: len(y)].argmax(axis=1)]
        score = accuracy_score(y, labels, sample_weight=weights)
        constant = max(
            accuracy_score(y, np.full_like(labels, label), sample_weight=weights)
            for label in classes
        )
        if score < constant:
            warn_user(
                f"The ensemble predicts y worse than its most frequent label does (accuracy "
                f"{score:.2f} and {constant:.2f} at the rows of fit). Was it fitted on rows in "
                "other units? Give the rows in the form that it takes by X_ensemble. Are the "
                "columns of predictions in the order of classes_?"
            )
        return float(score)
