"""The transfer set: the rows that a student learns from, and what it learns there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._predictive.transformed_target import TransformedTarget
from .._rows.reader import RowReader
from .._utils.progress import Progress
from .._utils.warning import warn_user
from .class_targets import ClassTargets
from .contrasts import Contrasts, ContrastsBuilder
from .design_points import Points
from .out_of_bag import make_adjustment
from .residuals import MemberResiduals
from .row_records import RowFacts
from .teacher import Teacher
from .unseen_check import check_record, warn_if_misplaced

# A teacher's mean that varies this many times as much as y does is of y in other units.
OTHER_SCALE = 3.0

# Spreads below this share of the standard deviation of the members' mean over rows give a warning.
LITTLE_SPREAD = 1e-3

# What to do about it, with and without rows beside those of `fit` among the design points.
LIKE_MEMBERS = (
    "So they do at rows that are not among those of fit. Models that differ by random_state alone "
    "are the same model if nothing is random in their fit: give each its own rows, by a bootstrap "
    "sample (BaggingRegressor, BaggingClassifier) or by subsample with bagging of its own "
    "(LightGBM: subsample and subsample_freq; XGBoost: subsample)."
)
SEEN_POINTS = (
    "Members that interpolate their training rows differ at other rows only: give rows that they "
    "were not trained on by X_unlabeled, or let {} make rows; both need an ensemble that can be "
    "evaluated. With predictions, put such rows into X. If members differ "
    "nowhere, such as models that differ by random_state alone and have no subsample, give each "
    "its own bootstrap sample."
)
TABLE_MAKER = "augment='neighbors'"
RAW_MAKER = "augment, such as FlipCrop or TokenDropout of sklearn_dlf.augmentation,"


@dataclass(frozen=True)
class TransferSet:
    """Everything that a student learns from.

    Attributes
    ----------
    X : float32 array of shape (n_points, n_features), or array of shape (n_points, *row_shape)
        Standardised rows, or raw ones: the design points, then the calibration rows.
    contrasts : Contrasts
        Mean and contrasts of the members at the design points.
    targets : ClassTargets, MemberResiduals or None
        What is known of classes or of y.
    row_facts : RowFacts
        What is known of the rows that the teacher got.
    reader : RowReader
        How rows are read and standardised.
    transformation : TransformedTarget or None
        The way from outputs back to units of y, if the student learns them in another space.
    is_transformed : bool
        Whether members are evaluated in the space of their transformed target.
    augment : str, callable or None
        How rows were made.
    is_encoded : bool
        Whether the student encodes columns.
    variances : array of shape (n_design, n_outputs, n_members) or None
        Variance of y around the members, in squared units of y, if members have one of their own.
    n_own : int
        Rows of `fit`, which are the first design points.
    are_draws : bool
        Whether members are draws from a posterior, which have not been trained to the rows.
    origin : {"given", "fitted here", "predictions"}
        Where the teacher comes from: it was given fitted, was fitted here, or is an array.
    """

    X: np.ndarray
    contrasts: Contrasts
    targets: Any
    row_facts: RowFacts
    reader: RowReader
    transformation: TransformedTarget | None = None
    is_transformed: bool = False
    augment: Any = None
    is_encoded: bool = False
    variances: np.ndarray | None = None
    n_own: int = 0
    are_draws: bool = False
    origin: str = "given"

    @property
    def design(self) -> np.ndarray:
        """Standardised design points."""
        return self.X[: len(self.contrasts.mean)]


def build_transfer_set(
    teacher: Teacher,
    points: Points,
    targets: ClassTargets | MemberResiduals | None,
    *,
    reader: RowReader,
    weights: np.ndarray | None,
    out_of_bag: str | None,
    transformation: TransformedTarget | None = None,
    is_encoded: bool = False,
    verbose: int = 0,
) -> TransferSet:
    """Evaluate the teacher at all points, and keep what the student learns from.

    Parameters
    ----------
    teacher : EnsembleTeacher or PredictionsTeacher
        Teacher of the student.
    points : Points
        Where it is evaluated.
    targets : ClassTargets, MemberResiduals or None
        Collects what is known of classes or of y.
    reader : RowReader
        How rows are standardised.
    weights : array of shape (n_own,) or None
        Weights of the rows of `fit`. Other design points have their mean weight.
    out_of_bag : {"widen", "match"} or None
        What is done to members' outputs at rows that they were fitted to.
    transformation : TransformedTarget or None
        The way from the teacher's outputs back to units of y; see `choose_space`.
    is_encoded : bool
        Whether the student encodes columns.
    verbose : int
        Whether to print how many rows were evaluated, if that takes long.
    """
    task = "[teacher] {done} of {total} rows evaluated"
    progress = Progress(task, points.n_points, bool(verbose))
    adjust = make_adjustment(out_of_bag, teacher.unseen, weights)
    builder = ContrastsBuilder(points.n_design)
    for rows, outputs in teacher.evaluate(points):
        if targets is not None:
            if rows.start == 0 and not _record_holds(teacher, targets, outputs):
                targets.forget_unseen()
                adjust = make_adjustment(out_of_bag, None, weights)
            outputs = targets.add(rows, outputs)
        design = slice(rows.start, min(rows.stop, points.n_design))
        if design.start < design.stop:
            builder.add(design, adjust(design, outputs[: design.stop - design.start]))
        progress.show(rows.stop)
    if weights is not None:
        n_others = points.n_design - len(weights)
        weights = np.concatenate([weights, np.full(n_others, weights.mean())])
    contrasts = builder.build(weights)
    _warn_if_members_agree(contrasts, points)
    X = reader.standardise_as_single(points.table.numbers)
    return TransferSet(
        X,
        contrasts,
        targets,
        teacher.row_facts,
        reader,
        transformation,
        teacher.is_transformed,
        points.augment,
        is_encoded,
        teacher.evaluate_variance(points),
        points.n_own,
        teacher.is_drawn or teacher.are_functions,
        teacher.origin,
    )


def _record_holds(teacher: Teacher, targets: Any, outputs: np.ndarray) -> bool:
    """Return whether the teacher's record of unseen rows may be that of the rows of `fit`."""
    if teacher.unseen is None or targets.y is None or teacher.row_facts.match is False:
        return True  # rows in other units were warned of, and may be the own ones
    y = targets.indicators(outputs.shape[1])[: len(outputs)]
    if _is_in_other_units(outputs[: len(y)].mean(axis=-1), y):
        return True  # y is of other units than the members, and nothing is known of the rows
    if teacher.is_record_checked:  # it is the user's
        warn_if_misplaced(outputs[: len(y)], y, teacher.unseen[: len(y)])
        return True
    return check_record(outputs[: len(y)], y, teacher.unseen[: len(y)], teacher.grown_loss)


def _is_in_other_units(mean: np.ndarray, y: np.ndarray) -> bool:
    """Return whether the teacher's mean and y (n, n_outputs) differ in location or in scale."""
    unit = y.std(axis=0)
    bias = np.abs(mean.mean(axis=0) - y.mean(axis=0))
    return bool(((bias > unit) | (mean.std(axis=0) > OTHER_SCALE * unit)).any())


def _warn_if_members_agree(contrasts: Contrasts, points: Points) -> None:
    """Warn if members do not differ at the design points, or hardly so."""
    _, scale, spread = contrasts.units
    n_outputs, n_agree = len(spread), np.count_nonzero(spread == 0)
    share = spread / scale
    if n_agree:
        where = "" if n_agree == n_outputs else f" in {n_agree} of {n_outputs} outputs"
        what = f"All members agree at all design points{where}: the student's spread is zero there."
    elif share.min() < LITTLE_SPREAD:
        what = (
            f"The members hardly differ at the design points: their spread is {share.min():.1g} of "
            "the standard deviation of their mean over rows."
        )
    else:
        return
    if points.n_design > points.n_own:
        warn_user(f"{what} {LIKE_MEMBERS}")
    else:
        maker = TABLE_MAKER if points.table.is_tabular else RAW_MAKER
        warn_user(f"{what} {SEEN_POINTS.format(maker)}")
