"""What a student learns of a teacher of values, and of a teacher of classes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._predictive.logits import latent_from_logits, latent_from_probabilities
from .._predictive.transformed_target import TransformedTarget
from .._utils.seeding import MAX_SEED
from .._utils.warning import warn_user
from ..ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor
from ..ensembles._class_columns import are_named_codes
from ..exceptions import SeenRowsWarning
from .association import warn_if_labels_unrelated, warn_if_values_unrelated
from .class_targets import ClassTargets, are_codes
from .design_points import Points
from .residuals import MemberResiduals
from .row_checks import REMEDY, check_labels, check_values
from .target_space import TRANSFORMED_TEACHER, choose_space, warn_if_on_another_scale
from .teacher import Teacher, check_range, were_mostly_seen
from .transfer_set import TransferSet
from .unseen_check import warn_if_fitted_to

UNSUITED = (
    "The ensemble {}, if both are transformed (R^2 = {:.2f} at the rows of fit), but not in units "
    "of y: the transformation does not suit this y, such as a logarithm of a y that is mostly "
    "zero. Means and sums over rows may be far off. Without the transformer, the student learns y "
    "as it is. See 'Prices, counts and rates' in docs/workflow.md."
)

SEEN_ROWS = (
    "The noise of y is estimated at rows that the members may have been fitted to. If they were, "
    "it cannot be known how wide intervals of y have to be: they are often too narrow, by far "
    "where members follow their rows closely, and may be too wide where members differ much. There "
    "are three ways out. Say by `unseen` which rows of X the members were not fitted to, such as "
    "rows that you have held out. Or give an ensemble that knows it (bagging, a forest with "
    "bootstrap=True, a deep ensemble), or an unfitted one of any kind with cv=5 (models in a "
    "VotingRegressor). Or call conformalize(X, y) with held-out rows."
)


class Task(ABC):
    """A kind of problem.

    Attributes
    ----------
    kind : {"regressor", "classifier"}
        Kind of the student, and of its ensemble.
    automatic_augment : str
        What ``augment="auto"`` tries first.
    leniency : float
        Multiplies the limits of made rows that are like the data (`_transfer.row_judge`).
    y_options : dict
        Options of `validate_data` for y.
    needs_calibration : bool
        Whether calibration rows are made.
    fresh_calibration : bool
        Whether these are to be to the design points as new rows are.
    cv : int, splitter or None
        Folds by which an unfitted teacher is cross-fitted.
    """

    kind: ClassVar[str]
    automatic_augment: ClassVar[str]
    leniency: ClassVar[float] = 1.0
    y_options: ClassVar[dict[str, Any]]
    needs_calibration: bool = False
    fresh_calibration: ClassVar[bool] = False
    cv: Any = None

    def calibration_state(
        self, random_state: np.random.RandomState
    ) -> np.random.RandomState | None:
        """Return the source of calibration rows; None if none are made."""
        return random_state if self.needs_calibration else None

    @abstractmethod
    def check_y(self, y: np.ndarray) -> np.ndarray:
        """Return y as the task takes it, or raise."""

    def enter_space(
        self, teacher: Teacher, y: np.ndarray | None
    ) -> tuple[TransformedTarget | None, np.ndarray | None]:
        """Return the way back from the space in which the teacher is evaluated, and y there."""
        return None, y

    def latent_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Return the latent outputs of members' outputs (n, n_outputs, n_members)."""
        return outputs

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


@dataclass(frozen=True)
class RegressionTask(Task):
    """Values of y, and their noise around the members.

    Parameters
    ----------
    needs_calibration : bool
        Whether calibration rows are made.
    cv : int, splitter or None
        Folds by which an unfitted teacher is cross-fitted.
    """

    needs_calibration: bool
    cv: Any

    kind = "regressor"
    automatic_augment = "neighbors"
    fresh_calibration = True  # they show the error of the student's mean at new rows
    y_options: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}

    def check_y(self, y):
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        check_range(y, "y")
        return y

    def enter_space(self, teacher, y):
        return choose_space(teacher, y)

    def calibration_state(self, random_state):
        # The seed is drawn from a copy, so that the student does not depend on whether y was given.
        # The copy itself would make the design points again.
        if not self.needs_calibration:
            return None
        return np.random.RandomState(copy.deepcopy(random_state).randint(MAX_SEED))

    def default_teacher(self):
        return DeepEnsembleRegressor()

    def targets(self, teacher, points, y, weights, out_of_bag):
        if y is None:
            return None
        knows_noise = teacher.has_variance or teacher.cross_fitted is not None
        if teacher.unseen is None and not knows_noise:
            warn_user(SEEN_ROWS, SeenRowsWarning)
        weights = None if weights is None else weights[: len(y)]
        return MemberResiduals(
            points,
            y.reshape(len(y), -1),
            weights,
            teacher.unseen,
            teacher.cross_fitted,
            teacher.optimism,
        )

    def score_teacher(self, transfer_set):
        """Return R^2."""
        residuals, facts = transfer_set.targets, transfer_set.row_facts
        if residuals is None:
            return None
        y, mean, weights = residuals.y, residuals.mean, residuals.weights
        score = r2_score(y, mean, sample_weight=weights)
        X = transfer_set.X[: len(y)]
        problem = check_values(X, y, mean, weights, facts)
        way_back, is_unsuited = transfer_set.transformation, False
        if problem is not None and way_back is not None:
            in_units = way_back.invert(y), way_back.invert(mean)
            is_unsuited = check_values(X, *in_units, weights, facts) is None
        if facts.match is False:
            warn_if_on_another_scale(residuals)
        elif is_unsuited:
            warn_user(UNSUITED.format(problem, score))
        elif problem is not None:
            warn_user(
                f"The ensemble {problem} (R^2 = {score:.2f} at the rows of fit). {REMEDY} "
                f"{TRANSFORMED_TEACHER}"
            )
        elif not warn_if_values_unrelated(
            X, y, mean, residuals.mean_variance(), weights, residuals.were_seen
        ):
            warn_if_on_another_scale(residuals)
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
    # Logits grow without limit where probabilities hardly change, and far rows are wanted.
    leniency = 2.0
    y_options: ClassVar[dict[str, Any]] = {}

    def check_y(self, y):
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y

    def latent_outputs(self, outputs):
        if self.outputs == "logits":
            return latent_from_logits(outputs)
        return latent_from_probabilities(outputs, self.probability_floor)

    def default_teacher(self):
        return DeepEnsembleClassifier()

    def targets(self, teacher, points, y, weights, out_of_bag):
        classes, coded = self.classes, None
        if classes is None:
            classes = teacher.classes
            if are_codes(y, classes):
                coded, classes = classes, np.arange(len(classes))
        elif teacher.classes is not None and not (
            np.array_equal(classes, teacher.classes) or are_named_codes(teacher.classes, classes)
        ):
            raise ValueError(
                f"The classes of the ensemble are {teacher.classes.tolist()}; got "
                f"classes={np.asarray(classes).tolist()}. Leave classes out."
            )
        given = getattr(teacher, "predictions", None)
        if given is not None and given.ndim == 2:
            raise ValueError(
                "predictions of classifiers must have shape (n_samples, n_classes, n_members), or "
                "(n_samples, 1, n_members) with the column of the second of two classes, or be a "
                f"list with an array (n_samples, n_classes) a member; got shape {given.shape}."
            )
        return ClassTargets(
            points,
            self.outputs,
            self.probability_floor,
            classes=classes,
            y=y,
            weights=weights if weights is None or y is None else weights[: len(y)],
            unseen=teacher.unseen if out_of_bag == "match" else None,
            from_logits=teacher.from_logits,
            coded=coded,
            may_be_seen=teacher.unseen is None and points.n_design == points.n_own,
            has_ensemble=teacher.can_be_evaluated,
            were_seen=out_of_bag != "match" and were_mostly_seen(teacher.unseen),
            are_trees=teacher.are_trees,
        )

    def score_teacher(self, transfer_set):
        """Return the accuracy."""
        targets, facts = transfer_set.targets, transfer_set.row_facts
        targets.warn_of_votes()
        if targets.y is None:
            return None
        y, classes = targets.y, np.asarray(targets.classes)
        probabilities = targets.probabilities[: len(y)].astype(np.float64)
        score = accuracy_score(y, classes[probabilities.argmax(1)], sample_weight=targets.weights)
        weights = np.ones(len(y)) if targets.weights is None else targets.weights
        codes = np.searchsorted(classes, y)
        X = transfer_set.X[: len(y)]
        problem = check_labels(X, codes, probabilities, weights, facts)
        if facts.match is False:
            return float(score)
        if targets.may_be_seen:
            warn_if_fitted_to(probabilities, codes, targets.has_ensemble)
        if problem is None:
            warn_if_labels_unrelated(X, codes, probabilities, weights, targets.were_seen)
        else:
            warn_user(
                f"The ensemble {problem} (accuracy {score:.2f} at the rows of fit)."
                f"{_say_codes(targets)} {REMEDY} Are the columns of predictions in the order of "
                "classes_? Say it by `classes`."
            )
        return float(score)


def _say_codes(targets: ClassTargets) -> str:
    """Return which label each code in y was taken for, if y has codes."""
    if targets.coded is None:
        return ""
    pairs = ", ".join(f"{code} for {label!r}" for code, label in enumerate(targets.coded.tolist()))
    return f" Numbers in y were taken for the labels of the ensemble in sorted order: {pairs}."
