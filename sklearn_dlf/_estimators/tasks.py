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
from .._transfer.class_targets import ClassTargets
from .._transfer.design_points import Points
from .._transfer.residuals import MemberResiduals
from .._transfer.row_checks import REMEDY, check_labels, check_values
from .._transfer.teachers import Teacher, check_range
from .._transfer.transfer_set import TransferSet
from .._utils.warning import warn_user
from ..ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor


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
    def score_teacher(self, transfer_set: TransferSet) -> float | None:
        """Return the score of the teacher's mean, None without y; warn of suspect predictions."""

    @abstractmethod
    def set_attributes(self, student: Any, network: Any, transfer_set: TransferSet) -> None:
        """Set the fitted attributes of the task."""


class RegressionTask(Task):
    """Values of y, and their noise around the members."""

    kind = "regressor"
    automatic_augment = "neighbors"
    y_options: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}

    def check_y(self, y):
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_range(y, "y")
        return y

    def default_teacher(self):
        return DeepEnsembleRegressor()

    def targets(self, teacher, points, y, weights, out_of_bag):
        return (
            None if y is None else MemberResiduals(y.reshape(len(y), -1), weights, teacher.unseen)
        )

    def set_attributes(self, student, network, transfer_set):
        student.target_noise_ = None
        residuals, contrasts = transfer_set.targets, transfer_set.contrasts
        if residuals is None:
            return
        error = network.evaluate_mean(transfer_set.design) - contrasts.mean
        error = contrasts.units.scale * error
        squared_misfit = np.average(error**2, axis=0, weights=contrasts.weights)
        student.target_noise_ = TargetNoise(residuals.variances(), squared_misfit)

    def score_teacher(self, transfer_set):
        """Return R^2."""
        residuals, facts = transfer_set.targets, transfer_set.row_facts
        if residuals is None:
            return None
        y, mean, weights = residuals.y, residuals.mean, residuals.weights
        score = r2_score(y, mean, sample_weight=weights)
        problem = check_values(transfer_set.X[: len(y)], y, mean, weights, facts)
        if problem is not None and facts.match is not False:
            warn_user(
                f"The ensemble {problem} (R^2 = {score:.2f} at the rows of fit). {REMEDY} Inside a "
                "TransformedTargetRegressor, give a teacher of the transformed values, such as an "
                "unfitted one."
            )
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
        student.classes_ = transfer_set.targets.classes

    def score_teacher(self, transfer_set):
        """Return the accuracy."""
        targets, facts = transfer_set.targets, transfer_set.row_facts
        if targets.y is None:
            return None
        y, classes = targets.y, np.asarray(targets.classes)
        probabilities = targets.probabilities[: len(y)].astype(np.float64)
        score = accuracy_score(y, classes[probabilities.argmax(1)], sample_weight=targets.weights)
        weights = np.ones(len(y)) if targets.weights is None else targets.weights
        codes = np.searchsorted(classes, y)
        problem = check_labels(transfer_set.X[: len(y)], codes, probabilities, weights, facts)
        if problem is not None and facts.match is not False:
            warn_user(
                f"The ensemble {problem} (accuracy {score:.2f} at the rows of fit). {REMEDY} Are "
                "the columns of predictions in the order of classes_?"
            )
        return float(score)
