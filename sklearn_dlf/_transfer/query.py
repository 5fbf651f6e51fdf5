"""A teacher is found, and queried for all that a student learns from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing

from .._rows.chosen import RowOrder
from .._rows.reader import RowReader
from .._rows.table import Table
from .._utils.standardise import scale_weights
from .cache import TeacherCache
from .copied_rows import unseen_with_copies, warn_of_copies
from .design_points import Points, make_points
from .repeated_calls import warn_if_calls_differ
from .row_choice import RowChoice
from .row_makers import RowMaker
from .step_functions import has_steps
from .tasks import Task
from .teacher import Teacher
from .teachers import Adapt, EnsembleTeacher, find_teacher
from .transfer_set import TransferSet, build_transfer_set


class FitRows(NamedTuple):
    """Validated arguments of `fit` that belong to rows.

    Attributes
    ----------
    table : Table
        Rows as the user gave them, and as the student reads them.
    reader : RowReader
        How they are read.
    y : array of shape (n_labelled,) or (n_labelled, n_outputs), or None
        Values or labels of the first rows.
    weights : array of shape (n_samples,) or None
        Weights of the rows.
    unlabeled : Table or None
        Further rows.
    as_ensemble_takes_them : array-like or DataFrame with n_samples rows
        Rows as the ensemble takes them.
    adapt : callable or None
        Takes a table, returns its rows as the ensemble takes them. None if that is not known.
    order : RowOrder or None
        Which rows of `fit` these are, if they are not all of them in their own order.
    """

    table: Table
    reader: RowReader
    y: np.ndarray | None
    weights: np.ndarray | None
    unlabeled: Table | None
    as_ensemble_takes_them: Any
    adapt: Adapt | None
    order: RowOrder | None = None

    def keep(self, numbers: np.ndarray) -> FitRows:
        """Return some of these rows, by their sorted numbers among these."""
        return self._replace(
            table=self.table.take(numbers),
            y=None if self.y is None else self.y[numbers[numbers < len(self.y)]],
            weights=None if self.weights is None else self.weights[numbers],
            as_ensemble_takes_them=_safe_indexing(self.as_ensemble_takes_them, numbers),
        )


def query_teacher(
    task: Task,
    rows: FitRows,
    *,
    chosen: np.ndarray | None = None,
    ensemble: Any,
    predictions: Any = None,
    unseen: Any = None,
    augment: str | RowMaker | None,
    n_augmented: int | str = "auto",
    is_encoded: bool | None,
    n_parameters: int,
    out_of_bag: str | None,
    memory: Any = None,
    n_jobs: int | None = None,
    is_seeded: bool,
    verbose: int = 0,
    random_state: np.random.RandomState,
) -> TransferSet:
    """Find the teacher, choose points, and evaluate the teacher there.

    Parameters
    ----------
    task : RegressionTask or ClassificationTask
        Kind of the student.
    rows : FitRows
        Rows of `fit`, and what belongs to them.
    chosen : int array or None
        Numbers in `fit` of the rows that are kept once an ensemble is fitted to all; None for all.
    ensemble, predictions, unseen
        As in `fit` of the estimators.
    augment, n_augmented, out_of_bag, memory, n_jobs, verbose
        As in the estimators.
    is_encoded : bool or None
        Whether the student encodes columns; None if it does for a teacher that is a step function,
        and rows are made.
    n_parameters : int
        Parameters of the body of the student's network, without an encoding.
    is_seeded : bool
        Whether ``random_state`` was made from an integer, so that a fit can be repeated.
    random_state : RandomState instance
        Source of all random choices.
    """
    cache = TeacherCache(memory, n_jobs, verbose)
    teacher = _find(task, rows, ensemble, predictions, cache, is_seeded, random_state)
    rows, weights = _settle_rows(rows, task.kind, teacher, unseen, chosen)
    transformation, y = task.enter_space(teacher, rows.y)
    warn_if_calls_differ(teacher, ensemble)
    encodes = _encodes(is_encoded, augment, teacher, rows.table)
    points = make_points(
        rows.table,
        weights,
        teacher,
        augment=augment,
        n_augmented=n_augmented,
        choice=RowChoice(
            _first_way(task, teacher, encodes), encodes, task.latent_outputs, task.leniency
        ),
        unlabeled=rows.unlabeled,
        n_parameters=n_parameters,
        calibration_state=task.calibration_state(random_state),
        random_state=random_state,
        is_encoded=encodes,
        fresh_calibration=task.fresh_calibration,
    )
    return build_transfer_set(
        teacher,
        points,
        task.targets(teacher, points, y, weights, out_of_bag),
        reader=rows.reader.fit_scaler(rows.table.numbers, weights),
        weights=weights,
        out_of_bag=out_of_bag,
        transformation=transformation,
        is_encoded=encodes and not (is_encoded is None and _lacks_rows(teacher, points, augment)),
        verbose=verbose,
    )


def _find(
    task: Task,
    rows: FitRows,
    ensemble: Any,
    predictions: Any,
    cache: TeacherCache,
    is_seeded: bool,
    random_state: np.random.RandomState,
) -> Teacher:
    """Return the teacher of a fit; see `query_teacher`."""
    return find_teacher(
        ensemble,
        predictions,
        rows.as_ensemble_takes_them,
        rows.y,
        rows.weights,
        kind=task.kind,
        adapt=rows.adapt,
        order=rows.order,
        make_default=task.default_teacher,
        cv=task.cv,
        cache=cache,
        is_seeded=is_seeded,
        random_state=random_state,
    )


def _settle_rows(
    rows: FitRows, kind: str, teacher: Teacher, unseen: Any, chosen: np.ndarray | None
) -> tuple[FitRows, np.ndarray | None]:
    """Return the rows that were chosen, which a teacher keeps too, and their weights.

    The teacher is told which rows its members did not see. See `query_teacher`.
    """
    teacher.declare_unseen(unseen, len(rows.table), rows.order)
    if kind == "regressor" and teacher.unseen is not None and rows.y is not None:
        record = unseen_with_copies(teacher.unseen, rows.table, rows.y)
        warn_of_copies(teacher.unseen, record)
        teacher.unseen = record if record.any() else None
    if chosen is not None and isinstance(teacher, EnsembleTeacher):
        numbers = np.arange(len(rows.table)) if rows.order is None else rows.order.numbers
        kept = np.flatnonzero(np.isin(numbers, chosen))
        teacher.keep(kept)
        rows = rows.keep(kept)
    return rows, scale_weights(rows.weights)


def _first_way(task: Task, teacher: Any, encodes: bool) -> str:
    """Return how rows are made if that is fine.

    Draws of functions cost next to nothing at further rows, and go on beyond those of `fit`, unless
    they are step functions.
    """
    return "local" if teacher.are_functions and not encodes else task.automatic_augment


def _encodes(is_encoded: bool | None, augment: Any, teacher: Any, table: Table) -> bool:
    """Return whether the student encodes columns; see `query_teacher`."""
    if is_encoded is not None:
        return is_encoded
    return augment is not None and table.is_tabular and has_steps(teacher, table)


def _lacks_rows(teacher: Any, points: Points, augment: Any) -> bool:
    """Return whether rows should have been made, and no way to make them was found.

    At the rows of `fit` alone, a student of many bins would learn where they happen to lie.
    """
    return teacher.can_be_evaluated_at_others and augment is not None and points.augment is None
