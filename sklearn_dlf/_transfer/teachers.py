"""Teachers: a fitted ensemble that is evaluated, and how a teacher is found."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import _num_samples

from .._predictive.transformed_target import check_transformed, quietly
from .._rows.chosen import RowOrder
from .._rows.table import Table
from .._utils.blocks import row_blocks
from .._utils.seeding import MAX_SEED
from .._utils.warning import warn_user
from ..ensembles import is_fitted_ensemble
from ..ensembles._fitted_ensemble import with_known_outputs
from ..ensembles._member_models import kind_of
from .cache import EnsembleFacts, Evaluate, TeacherCache
from .cross_fitting import Moments, cross_fit
from .design_points import Points
from .fit_teacher import warn_of_lost_weights
from .predictions_teacher import PredictionsTeacher
from .row_checks import judge_rows
from .row_names import warn_if_nameless
from .teacher import Teacher, with_outputs
from .unseen_check import loss_of_grown_trees

# Rows at which an ensemble is evaluated at a time. It bounds the float64 copy of the outputs.
BLOCK_ROWS = 2**16

# The same for images and sentences, of which members take long, or much memory: a callable of the
# user's gets no more at once, and progress is shown after each block.
RAW_BLOCK_ROWS = 2**13

Adapt = Callable[[Table], Any]


class EnsembleTeacher(Teacher):
    """A fitted ensemble, and the rows of `fit` as it takes them.

    Parameters
    ----------
    facts : EnsembleFacts
        Facts of the ensemble.
    predict : callable
        Takes rows, returns the members' outputs.
    X : rows as the ensemble takes them
        Those of `fit`.
    kind : {"regressor", "classifier"}
        Kind of the student. The ensemble must be of the same kind.
    adapt : callable or None
        Takes a table, returns its rows as the ensemble takes them. None if that is not known.
    cross_fit : callable or None
        Takes whether to evaluate members in the space of their transformed target, and returns mean
        and variance of members of ensembles that were not fitted to the row.

    Attributes
    ----------
    classes, n_members, is_drawn, are_functions, unseen, optimism, transformer, are_trees, are_of_y
        As in the facts.
    """

    can_be_evaluated = True

    def __init__(
        self,
        facts: EnsembleFacts,
        predict: Evaluate,
        X: Any,
        kind: str,
        adapt: Adapt | None = None,
        cross_fit: Callable[[bool], Moments] | None = None,
    ):
        check_kind(kind, facts.kind, facts.name)
        self.predict = predict
        self.X = X
        self._adapt = adapt
        self.can_be_evaluated_at_others = adapt is not None
        self.classes, self.n_members = facts.classes, facts.n_members
        self.is_drawn, self.are_functions = facts.is_drawn, facts.are_functions
        self.unseen = facts.unseen
        self._cross_fit = cross_fit
        self._cross_fitted: Moments | None = None
        self._predict_variance: Any = facts.predict_variance
        self.has_variance = facts.predict_variance is not None
        self.from_logits, self.optimism = facts.from_logits, facts.optimism
        self.transformer, self.are_trees = facts.transformer, facts.are_trees
        self.are_of_y = facts.are_of_y

    def evaluate(self, points: Points | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of the points with the members' outputs there; at ``X`` without points."""
        others = None if points is None or points.are_own else points.table
        X = self.X if others is None else self.rows_to_evaluate(others)
        n_points = _num_samples(X)
        n_rows = n_points if self.is_drawn else BLOCK_ROWS
        if not self.is_drawn and len(np.shape(X)) > 2:
            n_rows = RAW_BLOCK_ROWS
        for rows in row_blocks(n_points, n_rows):
            block = X if n_rows >= n_points else _safe_indexing(X, rows)
            yield rows, with_outputs(self.predict(block, self.is_transformed))

    def keep(self, numbers: np.ndarray) -> None:
        """Keep some of the rows of `fit` only, by their sorted numbers."""
        self.X = _safe_indexing(self.X, numbers)
        self.unseen = None if self.unseen is None else self.unseen[numbers]
        if self._cross_fit is not None:
            self._cross_fit = partial(_moments_at, self._cross_fit, numbers)

    def rows_to_evaluate(self, table: Table) -> Any:
        """Return the rows of a table as the ensemble takes them."""
        assert self._adapt is not None, "further rows need the way to those of the ensemble"
        return self._adapt(table)

    @property
    def cross_fitted(self) -> Moments | None:
        """Mean and variance (n_samples, n_outputs) of members that were not fitted to the row."""
        if self._cross_fit is not None and self._cross_fitted is None:
            self._cross_fitted = self._cross_fit(self.is_transformed)
        return self._cross_fitted

    def evaluate_variance(self, points: Points) -> np.ndarray | None:
        """Variance of y around the members at the design points (n, n_outputs, n_members).

        None if the members have no variance of their own.
        """
        if not self.has_variance:
            return None
        X = self.X if points.are_own else self.rows_to_evaluate(points.table)
        blocks = (
            self._predict_variance(_safe_indexing(X, rows))
            for rows in row_blocks(points.n_design, BLOCK_ROWS)
        )
        return np.concatenate([with_outputs(block) for block in blocks])


def _moments_at(
    cross_fit: Callable[[bool], Moments], numbers: np.ndarray, is_transformed: bool
) -> Moments:
    """Return what ``cross_fit`` returns, at some rows; those with a value of y come first."""
    mean, variance = cross_fit(is_transformed)
    numbers = numbers[numbers < len(mean)]
    return mean[numbers], variance[numbers]


def find_teacher(
    ensemble: Any,
    predictions: Any,
    X: Any,
    y: np.ndarray | None,
    sample_weight: np.ndarray | None,
    *,
    kind: str,
    adapt: Adapt | None = None,
    order: RowOrder | None = None,
    make_default: Callable[[], Any],
    cv: Any = None,
    cache: TeacherCache,
    is_seeded: bool,
    random_state: np.random.RandomState,
) -> EnsembleTeacher | PredictionsTeacher:
    """Return the teacher: given predictions, a fitted ensemble, or an ensemble fitted here.

    Parameters
    ----------
    ensemble, predictions
        As in `fit` of the estimators; at most one is given.
    X : rows as the ensemble takes them
        First those with a value of y.
    y, sample_weight : arrays or None
        Values of the first rows, and weights of all.
    kind : {"regressor", "classifier"}
        Kind of the student.
    adapt : callable or None
        As in `EnsembleTeacher`.
    order : RowOrder or None
        Which rows of `fit` those of X are, unless they are all of them in their own order.
    make_default : callable
        Returns the unfitted ensemble that is used if none is given.
    cv : int, splitter or None
        Folds by which an ensemble that is fitted here is cross-fitted too.
    cache : TeacherCache
        Fits and evaluates ensembles, and keeps the results.
    is_seeded : bool
        Whether ``random_state`` was made from an integer, so that a fit can be repeated.
    random_state : RandomState instance
        Source of the ensemble's seeds.
    """
    (X,) = indexable(X)  # some formats of sparse rows cannot be cut into blocks
    given, ensemble = ensemble, with_known_outputs(ensemble, kind)
    if cv is not None and (predictions is not None or _is_fitted(ensemble)):
        what = "predictions were" if predictions is not None else "a fitted ensemble was"
        raise ValueError(
            f"cv={_shown(cv)} cross-fits an unfitted ensemble, but {what} given. Give the ensemble "
            "unfitted; or leave cv out, and say by `unseen` which rows its members did not see."
        )
    if predictions is not None:
        if ensemble is not None:
            raise ValueError(
                "Both an ensemble and predictions were given; expected one of them. The ensemble "
                "may come from fit or from the constructor."
            )
        teacher = PredictionsTeacher(predictions, _num_samples(X), order)
        if kind == "regressor":
            teacher.warn_of_swapped_axes()
        return teacher
    rows = _EnsembleRows(X, y, sample_weight, adapt, order)
    if _is_fitted(ensemble):
        _check_list_is_whole(given, rows.n_given)
        return _describe_fitted(ensemble, rows, kind, cache)
    if y is None:
        raise ValueError(
            f"A student that is a {kind} requires y to be passed, but the target y is None: "
            "neither predictions nor a fitted ensemble was given, and an ensemble cannot be fitted "
            "without y."
        )
    prototype = make_default() if ensemble is None else ensemble
    check_kind(kind, kind_of(prototype), type(prototype).__name__)
    if kind == "regressor":
        _check_unfitted_target(prototype, y)
    prototype, n_seeds = _seed_ensemble(prototype, random_state)
    options = {"cache": cache, "repeatable": is_seeded or not n_seeds, "verbose": cache.verbose}
    return _fit_here(prototype, rows, kind, cv, options)


class _EnsembleRows(NamedTuple):
    """Rows as an ensemble takes them, and what belongs to them; see `find_teacher`."""

    X: Any
    y: np.ndarray | None
    weights: np.ndarray | None
    adapt: Adapt | None
    order: RowOrder | None

    @property
    def n_given(self) -> int:
        """Rows of `fit`."""
        return _num_samples(self.X) if self.order is None else self.order.n_given

    def labelled(self) -> tuple[Any, np.ndarray | None]:
        """Return rows with a value of y, and their weights."""
        if self.order is None or self.y is None:
            return self.X, self.weights
        n_labelled = len(self.y)
        weights = None if self.weights is None else self.weights[:n_labelled]
        return _safe_indexing(self.X, np.arange(n_labelled)), weights


def _describe_fitted(
    ensemble: Any, rows: _EnsembleRows, kind: str, cache: TeacherCache
) -> EnsembleTeacher:
    """Return a fitted ensemble as a teacher, after a look at the rows."""
    warn_if_nameless(ensemble, rows.X)
    first, _ = rows.labelled()
    facts, predict = cache.look_up(ensemble, rows.n_given)
    if rows.order is not None:
        facts = _in_order(facts, rows.order, lambda n_rows: cache.look_up(ensemble, n_rows)[0])
    teacher = EnsembleTeacher(facts, predict, rows.X, kind, rows.adapt)
    teacher.row_facts = judge_rows(ensemble, first, rows.y, kind)
    if teacher.unseen is not None and rows.y is not None:
        teacher.is_record_checked = False
        teacher.grown_loss = loss_of_grown_trees(ensemble)
    return teacher


def _fit_here(
    prototype: Any, rows: _EnsembleRows, kind: str, cv: Any, options: dict[str, Any]
) -> EnsembleTeacher:
    """Fit an ensemble to the rows with a value of y, and return it as a teacher."""
    first, weights = rows.labelled()
    y = cast(np.ndarray, rows.y)
    if kind == "classifier" and len(np.unique(y)) < 2:
        raise ValueError(
            f"y must have labels of at least two classes, to which an ensemble is fitted; got "
            f"{np.unique(y).tolist()}."
        )
    if weights is not None:
        warn_of_lost_weights(prototype)
    facts, predict = options["cache"].fit(prototype, first, y, weights, options["repeatable"])
    if rows.order is not None:
        # Rows without a value come last here.
        facts = facts._replace(unseen=_with_unlabelled(facts.unseen, len(rows.order.numbers)))
    fit_folds = None
    if cv is not None:
        fit_folds = partial(cross_fit, prototype, first, y, weights, cv=cv, **options)
    teacher = EnsembleTeacher(facts, predict, rows.X, kind, rows.adapt, fit_folds)
    teacher.is_fitted_here = True
    return teacher


def _in_order(
    facts: EnsembleFacts, order: RowOrder, facts_of: Callable[[int], EnsembleFacts]
) -> EnsembleFacts:
    """Return facts with the record of unseen rows of the rows that are used.

    An ensemble that was fitted to the rows with a value of y alone has a record of these, so that
    ``facts_of`` their number is looked up.
    """
    unseen = facts.unseen
    if unseen is None and order.labelled is not None:
        known = facts_of(len(order.labelled)).unseen
        if known is not None:
            unseen = np.ones((order.n_given, known.shape[1]), dtype=bool)
            unseen[order.labelled] = known
    return facts._replace(unseen=None if unseen is None else unseen[order.numbers])


def _with_unlabelled(unseen: np.ndarray | None, n_rows: int) -> np.ndarray | None:
    """Return a record of the first rows with further ones, which no member was fitted to."""
    if unseen is None:
        return None
    n_others = n_rows - len(unseen)
    return np.concatenate([unseen, np.ones((n_others, unseen.shape[1]), dtype=bool)])


def is_fitted_teacher(ensemble: Any, kind: str) -> bool:
    """Return whether an ensemble was given, and is fitted; ``kind`` is that of the student."""
    return _is_fitted(with_known_outputs(ensemble, kind))


def _is_fitted(ensemble: Any) -> bool:
    """Return whether an ensemble was given, and is fitted."""
    return ensemble is not None and is_fitted_ensemble(ensemble)


def check_kind(kind: str, ensemble_kind: str | None, name: str) -> None:
    """Raise if the student is a ``kind`` and the ensemble is known to be of another kind."""
    if ensemble_kind not in (kind, None):
        raise ValueError(
            f"A student that is a {kind} needs an ensemble of {kind}s; got {name}, an ensemble of "
            f"{ensemble_kind}s."
        )


def _check_list_is_whole(ensemble: Any, n_samples: int) -> None:
    """Warn of a list of models that a search may have cut with the rows."""
    if isinstance(ensemble, list | tuple) and len(ensemble) == n_samples:
        warn_user(
            f"The ensemble is a list of {n_samples} models, and X has as many rows. Searches and "
            "cross-validation cut lists as long as the data with the rows, so that models may be "
            "missing: wrap the list in FittedEnsemble."
        )


def _check_unfitted_target(ensemble: Any, y: np.ndarray) -> None:
    """Raise ValueError if an unfitted `TransformedTargetRegressor` cannot transform y."""
    if isinstance(ensemble, Pipeline):
        ensemble = ensemble.steps[-1][1]
    func = ensemble.func if isinstance(ensemble, TransformedTargetRegressor) else None
    if func is not None:
        columns = y.reshape(len(y), -1)
        check_transformed(np.asarray(quietly(func, columns)), columns)


def _seed_ensemble(prototype: Any, random_state: np.random.RandomState) -> tuple[Any, int]:
    """Clone an unfitted ensemble, and replace every ``random_state`` of None by a seed.

    Returns the clone and the number of seeds.
    """
    ensemble = clone(prototype)
    seeds = {
        name: random_state.randint(MAX_SEED)
        for name, value in sorted(ensemble.get_params(deep=True).items())
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return ensemble.set_params(**seeds), len(seeds)


def _shown(cv: Any) -> str:
    """Return a splitter or a number as it is written, and how many folds a list has."""
    if isinstance(cv, numbers.Integral) or not hasattr(cv, "__len__"):
        return repr(cv)
    return f"<{len(cv)} folds>"
