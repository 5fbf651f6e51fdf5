"""Fits and predictions of teachers, kept on disk by ``memory`` for the next candidate of a grid."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.utils import _safe_indexing
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples, check_memory

from .._predictive.transformed_target import TargetTransformer
from .._utils.blocks import row_blocks
from .._utils.content_keys import content_key
from .._utils.progress import Progress
from .._utils.warning import warn_user
from ..ensembles import Members, describe_ensemble, ensemble_kind, unseen_rows
from ..ensembles._member_predictions import evaluate_members, member_variances
from ..ensembles._registry import own_extractor
from .fit_teacher import fit_ensemble
from .unseen_check import consists_of_trees

# Raised where content cannot be pickled or identified. Tensors without values raise RuntimeError.
UNKNOWN_CONTENT = pickle.PicklingError, AttributeError, TypeError, ValueError, RuntimeError

# Rows that one job evaluates. Their number does not depend on that of the jobs.
JOB_ROWS = 2**11

# Takes rows, and whether to evaluate members in the space of their transformed target.
Evaluate = Callable[..., np.ndarray]


class EnsembleFacts(NamedTuple):
    """What is needed of a fitted ensemble beside its members' predictions.

    Attributes
    ----------
    name : str
        Name of its type.
    kind : {"regressor", "classifier"}
        What its members predict.
    classes : array of shape (n_classes,) or None
        Labels of the columns, if the ensemble has them.
    n_members : int
        Number of its members.
    is_drawn : bool
        Whether members are draws from a posterior that are functions of the rows of one call only.
    are_functions : bool
        Whether members are draws from a posterior that are functions of any rows.
    unseen : bool array of shape (n_samples, n_members) or None
        Rows that each member did not see in its fit.
    transformer : TargetTransformer or None
        What the ensemble does to y, if its members predict a transformed target.
    predict_variance : callable or None
        Takes rows, returns the members' variances of y, if they have any.
    from_logits : bool
        Whether probabilities are those of logits.
    optimism : float
        Squared error at new rows over that at unseen rows.
    are_trees : bool
        Whether all members are trees or forests.
    are_of_y : bool
        Whether members predict y itself, though there is a `transformer`.
    """

    name: str
    kind: str
    classes: np.ndarray | None
    n_members: int
    is_drawn: bool
    are_functions: bool
    unseen: np.ndarray | None
    transformer: TargetTransformer | None = None
    predict_variance: Evaluate | None = None
    from_logits: bool = False
    optimism: float = 1.0
    are_trees: bool = False
    are_of_y: bool = False


class EvaluationOptions(NamedTuple):
    """How members are evaluated; results are the same but for rounding.

    Attributes
    ----------
    n_jobs : int or None
        Jobs of joblib.
    verbose : int
        Whether to print progress.
    """

    n_jobs: int | None = None
    verbose: int = 0


ONE_JOB = EvaluationOptions()


class TeacherCache:
    """Fits and evaluates ensembles, or reads the results from a joblib memory.

    Results are returned without the ensemble, which may be a thousand times as large. A fitted
    ensemble is loaded only if it has to be evaluated at new rows.

    Parameters
    ----------
    memory : str, joblib.Memory or None
        Where results are kept. With None nothing is kept.
    n_jobs : int or None
        Jobs of joblib that evaluate an ensemble at blocks of rows.
    verbose : int
        Whether to print how many members were evaluated, if that takes long.
    """

    def __init__(self, memory: Any, n_jobs: int | None = None, verbose: int = 0):
        self._keeps = memory is not None
        self._options = EvaluationOptions(n_jobs, verbose)
        self._memory = check_memory(memory)

    @property
    def verbose(self) -> int:
        """Whether to print progress."""
        return self._options.verbose

    def fit(
        self, prototype: Any, X: Any, y: Any, sample_weight: Any, repeatable: bool
    ) -> tuple[EnsembleFacts, Evaluate]:
        """Fit a clone of an ensemble; return its facts and a function that evaluates it at rows.

        The fit is kept only if it is ``repeatable``, with every random state determined. Its key
        are the ensemble's parameters, the rows, the values and the weights.
        """
        arguments = (prototype, X, y, sample_weight)
        key = self._key(arguments, prototype) if repeatable else None
        if key is None:
            ensemble = fit_ensemble(*arguments)
            return self._look_up(None, lambda: ensemble, _num_samples(X))
        fit_by_key = self._kept(
            _fit_by_key, ["arguments"], lambda found: isinstance(found, type(prototype))
        )
        return self._look_up(key, partial(fit_by_key, arguments, key), _num_samples(X))

    def look_up(self, ensemble: Any, n_samples: int) -> tuple[EnsembleFacts, Evaluate]:
        """Return the facts of a fitted ensemble and a function that evaluates it at rows.

        ``n_samples`` is the number of rows of `fit`, which tells whether they are the ensemble's
        own. The key is everything that the ensemble holds. Draws from a posterior are not kept if
        each call may draw new ones.
        """
        is_kept = self._keeps and not describe_ensemble(ensemble).is_joint
        key = self._key(ensemble, ensemble) if is_kept else None
        return self._look_up(key, lambda: ensemble, n_samples)

    def _look_up(
        self, key: str | None, load: Callable[[], Any], n_samples: int
    ) -> tuple[EnsembleFacts, Evaluate]:
        """Return facts and evaluation of the ensemble that ``load`` returns, kept if keyed."""
        describe, evaluate = _describe, _evaluate
        if key is not None:
            describe = self._kept(_describe, ["load"], _is_description)
            evaluate = self._kept(
                _evaluate, ["load", "options"], lambda found: isinstance(found, np.ndarray)
            )
        facts, has_variance = describe(load, key, n_samples)
        if has_variance:
            facts = facts._replace(predict_variance=lambda X: member_variances(load(), X))
        return facts, partial(evaluate, load, key, options=self._options)

    def _kept(
        self, function: Callable, ignored: list[str], is_right: Callable[[Any], bool]
    ) -> Callable:
        """Return a function whose results are kept; wrong ones on the disk are made anew."""
        kept = self._memory.cache(function, ignore=ignored)

        def call(*args, **options):
            found = kept(*args, **options)
            if is_right(found):
                return found
            warn_user(
                f"memory holds an object of type {type(found).__name__} where a result of "
                f"{function.__name__.lstrip('_')} is expected; it is computed anew. Something else "
                "has written to the folder: use one that nothing else writes to."
            )
            kept.call_and_shelve(*args, **options).clear()
            return kept(*args, **options)

        return call

    def _key(self, content: Any, ensemble: Any) -> str | None:
        """Return a hash of everything that determines the results; None if nothing is kept."""
        if not self._keeps:
            return None
        try:
            _check_names(content)
            return content_key(content, own_extractor)
        except UNKNOWN_CONTENT as error:
            warn_user(
                f"memory keeps nothing of {type(ensemble).__name__}, which cannot be pickled or "
                f"identified: {error}. Define its functions and classes at the top level of an "
                "importable module."
            )
            return None


class _ImportablePickler(pickle.Pickler):
    """Refuses functions and classes of `__main__`, where the same name may mean another thing.

    They cannot be loaded in another process either.
    """

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor):  # its class is all that could be refused
            return type, (type(obj),)
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"{obj.__qualname__} of __main__ is identified by name only")
        return NotImplemented


def _check_names(content: Any) -> None:
    """Raise if `content` holds functions or classes of `__main__`; arrays are not copied."""
    with open(os.devnull, "wb") as nowhere:
        _ImportablePickler(nowhere, protocol=5, buffer_callback=lambda _: None).dump(content)


def _fit_by_key(arguments: tuple[Any, ...], key: str) -> Any:
    """Do what `fit_ensemble` does; ``key`` is that of its arguments."""
    return fit_ensemble(*arguments)


def _describe(
    load: Callable[[], Any], key: str | None, n_samples: int
) -> tuple[EnsembleFacts, bool]:
    """Return the facts of the ensemble with this key, evaluated at ``n_samples`` rows.

    Also return whether its members have a variance of y.
    """
    ensemble = load()
    members = describe_ensemble(ensemble)
    facts = EnsembleFacts(
        type(ensemble).__name__,
        ensemble_kind(ensemble),
        members.classes,
        members.n_members,
        members.is_joint,
        members.are_functions,
        unseen_rows(ensemble, n_samples),
        None if members.inner is None else members.inner.transformer,
        from_logits=members.from_logits,
        optimism=members.optimism,
        are_trees=consists_of_trees(ensemble),
        are_of_y=members.inner is not None and members.inner.are_of_y,
    )
    return facts, members.predict_variance is not None


def _is_description(found: Any) -> bool:
    """Return whether an object is what `_describe` returns."""
    return isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], EnsembleFacts)


def _evaluate(
    load: Callable[[], Any],
    key: str | None,
    X: Any,
    transformed: bool = False,
    options: EvaluationOptions = ONE_JOB,
) -> np.ndarray:
    """Return the predictions of the members of the ensemble with this key."""
    ensemble, n_rows = load(), _num_samples(X)
    members = _members_of(ensemble, transformed)
    is_divisible = members.resample is None and n_rows > JOB_ROWS
    if is_divisible and effective_n_jobs(options.n_jobs) > 1:
        jobs = (
            delayed(_evaluate_block)(ensemble, _safe_indexing(X, rows), transformed)
            for rows in row_blocks(n_rows, JOB_ROWS)
        )
        return np.concatenate(Parallel(n_jobs=options.n_jobs)(jobs))
    if options.verbose:
        task = f"[teacher] {{done}} of {{total}} members evaluated at {n_rows:,} rows"
        progress, predict = Progress(task, members.n_members, True), members.predict
        members = replace(members, predict=lambda X: progress.counted(predict(X)))
    return evaluate_members(members, X)


def _evaluate_block(ensemble: Any, X: Any, transformed: bool) -> np.ndarray:
    """Return the predictions of the members of an ensemble at a block of rows."""
    return evaluate_members(_members_of(ensemble, transformed), X)


def _members_of(ensemble: Any, transformed: bool) -> Members:
    """Return the members of an ensemble, in the space of their transformed target if wanted."""
    members = describe_ensemble(ensemble)
    return members.inner.members if transformed and members.inner is not None else members
