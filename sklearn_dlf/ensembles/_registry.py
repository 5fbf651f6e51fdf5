"""Which objects are ensembles, and how their members are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from ._member_models import columns_for, is_fitted, kind_of, type_name


@dataclass(frozen=True)
class Members:
    """What an extractor says of one fitted ensemble: who its members are, how to ask them.

    Parameters
    ----------
    kind : {"regressor", "classifier"}
        What the members predict.

    n_members : int
        Number of members, at least two.

    predict : callable
        Takes `X`, yields the outputs of one member after the other: values of shape (n,) or
        (n, k) from regressors, probabilities of shape (n, K) from classifiers. Outputs are
        checked by whoever asks, so an extractor need not.

    classes : ndarray of shape (n_classes,), default=None
        Labels in the order of the columns of the probabilities. None for regressors, and for
        classifiers whose labels nobody said: then column `c` stands for class `c`.

    unseen : callable, default=None
        Takes nothing, returns a bool array of shape (rows of the ensemble's own fit, n_members),
        True where the member did not see the row; an array of another shape, or None, says that
        it is not known.

    resample : callable, default=None
        For draws of a posterior: takes the number of draws and a random state, returns the same
        `Members` with those draws.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dlf.ensembles import Members, member_predictions, register_ensemble
    >>> class Slopes:
    ...     def __init__(self, *slopes):
    ...         self.slopes = slopes
    >>> def extract(ensemble):
    ...     slopes = ensemble.slopes
    ...     return Members("regressor", len(slopes), lambda X: (s * X[:, 0] for s in slopes))
    >>> register_ensemble(Slopes, extract)
    >>> member_predictions(Slopes(1, 10), np.array([[2.0], [3.0]]))
    array([[ 2., 20.],
           [ 3., 30.]])
    """

    kind: str
    n_members: int
    predict: Callable[[Any], Iterable[Any]]
    classes: np.ndarray | None = None
    unseen: Callable[[], np.ndarray | None] | None = None
    resample: Callable[[int, Any], Members] | None = None

    def through(self, before=None, after=None) -> Members:
        """Return the same members, with `X` passed through `before` and outputs through `after`."""

        def predict(X):
            outputs = self.predict(X if before is None else before(X))
            return outputs if after is None else map(after, outputs)

        draw = self.resample
        if draw is None:
            return replace(self, predict=predict)

        def resample(n_members, random_state):
            return draw(n_members, random_state).through(before, after)

        return replace(self, predict=predict, resample=resample)


@singledispatch
def _extract(ensemble) -> Members:
    """Describe an ensemble of unknown type: say what is known and what can be done."""
    if isinstance(ensemble, type):
        raise TypeError(f"The class {ensemble.__qualname__} was given, expected an instance of it.")
    if isinstance(ensemble, Mapping | Iterator):
        raise TypeError(
            f"Models were given as a {type(ensemble).__name__}, expected a list: list(models"
            f"{'.values()' if isinstance(ensemble, Mapping) else ''})."
        )
    known = sorted(
        known_type.__qualname__
        for known_type, extractor in _extract.registry.items()
        if known_type is not object and not isinstance(extractor, _Refusal)
    )
    raise TypeError(
        f"{type_name(type(ensemble))} is not an ensemble known here. Known are "
        f"{', '.join(known)}, their subclasses, and objects with `sample_y`. Otherwise give "
        "a list of at least two fitted models, say what callables and torch modules return with "
        "`FittedEnsemble(models, outputs=...)`, or teach the package your type with "
        "`register_ensemble`, in the module of the type so that worker processes learn it too."
    )


class _Refusal:
    """The extractor of a type that looks like an ensemble and is none.

    The reason may be a function of the instance.
    """

    def __init__(self, reason):
        self.reason = reason

    def __call__(self, ensemble):
        reason = self.reason(ensemble) if callable(self.reason) else self.reason
        raise TypeError(f"{type(ensemble).__name__} is not an ensemble of alternatives: {reason}")


# Types of libraries that are not imported here, by qualified name.
_UNIMPORTED: dict[str, Callable[[Any], Members]] = {}


def register_ensemble(ensemble_type, extractor) -> None:
    """Teach the package a type of ensemble.

    The built-in types are registered by this function too. An instance is described by the
    extractor of the nearest class in its method resolution order, so subclasses are covered, and
    registering a type again replaces what was known of it.

    What is registered is known to one process. Register a type in the module that defines it, so
    that worker processes, which import that module, know it too; what a script or a notebook
    registers, they do not.

    Parameters
    ----------
    ensemble_type : type or str
        A class, an abstract base class, or the qualified name of a class (such as
        ``"catboost.core.CatBoost"``) whose library should not be imported for this.

    extractor : callable
        Takes a fitted instance, returns its :class:`Members`.

    See Also
    --------
    member_predictions : Ask the members.

    Examples
    --------
    A forest of which only the first trees are wanted:

    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import ExtraTreesRegressor
    >>> from sklearn_dlf.ensembles import Members, member_predictions, register_ensemble
    >>> class YoungForest(ExtraTreesRegressor):
    ...     pass
    >>> def first_trees(forest):
    ...     trees = forest.estimators_[:3]
    ...     return Members("regressor", len(trees), lambda X: (t.predict(X) for t in trees))
    >>> register_ensemble(YoungForest, first_trees)
    >>> X, y = make_regression(20, 4, random_state=0)
    >>> member_predictions(YoungForest(10).fit(X, y), X).shape
    (20, 3)
    """
    if not callable(extractor):
        raise TypeError(f"extractor must be callable, got {type_name(type(extractor))}")
    if isinstance(ensemble_type, str):
        _UNIMPORTED[ensemble_type] = extractor
    elif isinstance(ensemble_type, type):
        _extract.register(ensemble_type, extractor)
    else:
        raise TypeError(f"ensemble_type must be a class or its name, got {ensemble_type!r}")


def refuse_ensemble(ensemble_type, reason) -> None:
    """Register a type that is no ensemble, with the reason and the way out (or what says them)."""
    register_ensemble(ensemble_type, _Refusal(reason))


def find_extractor(ensemble) -> Callable[[Any], Members]:
    """Find the extractor of the nearest registered class; raise TypeError where there is none."""
    for base in type(ensemble).__mro__:
        extractor = _UNIMPORTED.pop(type_name(base), None)
        if extractor is not None:
            _extract.register(base, extractor)
    extractor = _extract.dispatch(type(ensemble))
    if isinstance(extractor, _Refusal) or extractor is _extract.dispatch(object):
        extractor(ensemble)  # raises, fitted or not
    return extractor


def describe_ensemble(ensemble) -> Members:
    """Describe the members of a fitted ensemble.

    Parameters
    ----------
    ensemble : object
        A fitted ensemble of a registered type, or a list of fitted models.

    Returns
    -------
    members : Members
        Kind, number, labels and the way to ask them.

    Raises
    ------
    TypeError
        If the type is unknown, or is no ensemble of alternatives (boosting, stacking, ...).

    ValueError
        If the ensemble is not fitted or has fewer than two members.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn_dlf.ensembles import describe_ensemble
    >>> X, y = make_classification(40, random_state=0)
    >>> members = describe_ensemble(RandomForestClassifier(10, random_state=0).fit(X, y))
    >>> members.kind, members.n_members, members.classes
    ('classifier', 10, array([0, 1]))
    """
    extractor = find_extractor(ensemble)
    if not is_fitted(ensemble):
        raise NotFittedError(
            f"This {type(ensemble).__name__} is not fitted, and only a fitted ensemble has "
            "members to ask: call its `fit` first."
        )
    members = extractor(ensemble)
    if members.n_members < 2:
        raise ValueError(
            f"An ensemble needs at least two members, got {members.n_members} "
            f"from {type(ensemble).__name__}."
        )
    if hasattr(ensemble, "fit"):  # a list or a wrapper leaves the columns to its models
        members = members.through(before=partial(columns_for, ensemble))
    return members


def ensemble_kind(ensemble) -> str:
    """Say whether an ensemble, fitted or not, is of regressors or of classifiers.

    Parameters
    ----------
    ensemble : object
        An ensemble of a registered type, fitted or not, or a list of fitted models.

    Returns
    -------
    kind : {"regressor", "classifier"}
        What its members predict.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.ensembles import ensemble_kind
    >>> ensemble_kind(RandomForestRegressor())
    'regressor'
    """
    find_extractor(ensemble)  # raises for what is no ensemble
    return kind_of(ensemble) or describe_ensemble(ensemble).kind


def is_fitted_ensemble(ensemble) -> bool:
    """Tell a fitted ensemble from one that has still to be fitted.

    Parameters
    ----------
    ensemble : object
        An ensemble of a registered type, fitted or not, or a list of fitted models.

    Returns
    -------
    fitted : bool
        True if its members can be asked.

    Raises
    ------
    TypeError
        If the type is unknown or is no ensemble of alternatives.

    ValueError
        If a list holds a model that is not fitted: lists are never fitted here.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import BaggingRegressor
    >>> from sklearn_dlf.ensembles import is_fitted_ensemble
    >>> X, y = make_regression(20, 4, random_state=0)
    >>> is_fitted_ensemble(BaggingRegressor()), is_fitted_ensemble(BaggingRegressor().fit(X, y))
    (False, True)
    """
    find_extractor(ensemble)
    if not is_fitted(ensemble):
        return False
    describe_ensemble(ensemble)
    return True
