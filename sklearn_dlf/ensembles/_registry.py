"""The registry: which types are ensembles, and how their members are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial, singledispatch
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from ._columns import match_columns, type_name
from ._member_models import Kind, is_fitted, kind_of
from ._members import Members


@singledispatch
def _extract(ensemble) -> Members:
    """Raise TypeError for an ensemble of unknown type, with the types that are registered."""
    if isinstance(ensemble, type):
        raise TypeError(f"The class {ensemble.__qualname__} was given, expected an instance of it.")
    if isinstance(ensemble, Mapping | Iterator):
        raise TypeError(
            f"Models were given as a {type(ensemble).__name__}, expected a list: list(models"
            f"{'.values()' if isinstance(ensemble, Mapping) else ''})."
        )
    if isinstance(ensemble, np.ndarray):
        raise TypeError(
            f"An array of shape {ensemble.shape} was given as the ensemble. What members predict "
            "at the rows of fit is given by fit(X, y, predictions=array), members last."
        )
    registered = sorted(
        registered_type.__qualname__
        for registered_type, extractor in _extract.registry.items()
        if registered_type is not object and not isinstance(extractor, _Refusal)
    )
    raise TypeError(
        f"{type_name(type(ensemble))} is not a registered type of ensemble. Registered are "
        f"{', '.join(registered)}, their subclasses, and objects with `sample_y`. Expected one of "
        "these or a list of at least two fitted models. For callables and torch modules, use "
        "`FittedEnsemble(models, outputs=...)`. To use another type, register it with "
        "`register_ensemble` in the module that defines it, so that worker processes register it "
        "too."
    )


class _Refusal:
    """Extractor that raises TypeError, for a type that looks like an ensemble but is not one.

    `reason` is a sentence with the reason and the way out, or a function that takes the instance
    and returns such a sentence.
    """

    def __init__(self, reason: str | Callable[[Any], str]):
        self.reason = reason

    def __call__(self, ensemble):
        reason = self.reason(ensemble) if callable(self.reason) else self.reason
        raise TypeError(f"{type(ensemble).__name__} is not an ensemble of alternatives: {reason}")


# Extractors of types whose libraries are not imported here, by qualified name of the type.
_UNIMPORTED: dict[str, Callable[[Any], Members]] = {}


def register_ensemble(ensemble_type: type | str, extractor: Callable[[Any], Members]) -> None:
    """Register a type of ensemble.

    The built-in types are registered by this function too. The extractor of an instance is that of
    the nearest registered class in its method resolution order, so that subclasses are covered. To
    register a type again replaces its extractor.

    A registration is valid in the process that makes it. Register a type in the module that
    defines it: worker processes import that module, and register the type as well. They do not
    run what a script or a notebook registers.

    Parameters
    ----------
    ensemble_type : type or str
        A class, an abstract base class, or the qualified name of a class, such as
        ``"catboost.core.CatBoost"``, whose library should not be imported for this.

    extractor : callable
        Takes a fitted instance, returns its :class:`Members`.

    Raises
    ------
    TypeError
        If `extractor` is not callable, or `ensemble_type` is neither a class nor a string.

    See Also
    --------
    Members : What an extractor returns.
    member_predictions : Evaluate the members.

    Examples
    --------
    A forest of which only the first trees are used:

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
        raise TypeError(f"extractor must be callable, got {type_name(type(extractor))}.")
    if isinstance(ensemble_type, str):
        _UNIMPORTED[ensemble_type] = extractor
    elif isinstance(ensemble_type, type):
        _extract.register(ensemble_type, extractor)
    else:
        raise TypeError(f"ensemble_type must be a class or its name, got {ensemble_type!r}.")


def refuse_ensemble(ensemble_type: type | str, reason: str | Callable[[Any], str]) -> None:
    """Register a type that is not an ensemble, with the reason and the way out.

    `reason` is the text, or a function that takes an instance and returns the text.
    """
    register_ensemble(ensemble_type, _Refusal(reason))


def find_extractor(ensemble: Any) -> Callable[[Any], Members]:
    """Return the extractor of the nearest registered class; raise TypeError if there is none."""
    for base in type(ensemble).__mro__:
        extractor = _UNIMPORTED.pop(type_name(base), None)
        if extractor is not None:
            _extract.register(base, extractor)
    extractor = _extract.dispatch(type(ensemble))
    if isinstance(extractor, _Refusal) or extractor is _extract.dispatch(object):
        extractor(ensemble)  # raises TypeError, whether or not the ensemble is fitted
    return extractor


def own_extractor(ensemble_type: type) -> Callable[[Any], Members] | None:
    """Return the extractor of a type if the user has registered it, None if this package has."""
    extractor = _UNIMPORTED.get(type_name(ensemble_type)) or _extract.dispatch(ensemble_type)
    module = getattr(extractor, "__module__", None) or type(extractor).__module__
    is_of_package = module.partition(".")[0] == __name__.partition(".")[0]
    return None if is_of_package else extractor


def describe_ensemble(ensemble: Any) -> Members:
    """Describe the members of a fitted ensemble.

    Parameters
    ----------
    ensemble : object
        A fitted ensemble of a registered type, or a list of fitted models.

    Returns
    -------
    members : Members
        What the members predict, their number, their labels, and a function that evaluates them.

    Raises
    ------
    TypeError
        If the type is not registered, or is not an ensemble of alternatives (boosting, stacking,
        ...).

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
            f"This {type(ensemble).__name__} is not fitted, expected a fitted ensemble: call its "
            "`fit` first."
        )
    members = extractor(ensemble)
    if not isinstance(members, Members):
        raise TypeError(
            f"The extractor of {type(ensemble).__name__} must return Members; got "
            f"{type_name(type(members))}. It was given to register_ensemble."
        )
    if members.n_members < 2:
        raise ValueError(
            f"An ensemble needs at least two members, got {members.n_members} "
            f"from {type(ensemble).__name__}."
        )
    # For an object without `fit`, such as a list, columns are matched for each model instead.
    if hasattr(ensemble, "fit"):
        members = members.through(before=partial(match_columns, ensemble))
    return members


def ensemble_kind(ensemble: Any) -> Kind:
    """Return whether an ensemble, fitted or not, consists of regressors or of classifiers.

    Parameters
    ----------
    ensemble : object
        An ensemble of a registered type, fitted or not, or a list of fitted models.

    Returns
    -------
    kind : {"regressor", "classifier"}
        What its members predict.

    Raises
    ------
    TypeError
        If the type is not registered, or is not an ensemble of alternatives.

    ValueError
        If a list holds a model that is not fitted.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf.ensembles import ensemble_kind
    >>> ensemble_kind(RandomForestRegressor())
    'regressor'
    """
    find_extractor(ensemble)  # raises for types that are not ensembles
    return kind_of(ensemble) or describe_ensemble(ensemble).kind


def is_fitted_ensemble(ensemble: Any) -> bool:
    """Return whether an ensemble is fitted.

    Parameters
    ----------
    ensemble : object
        An ensemble of a registered type, fitted or not, or a list of fitted models.

    Returns
    -------
    fitted : bool
        True if the members can be evaluated.

    Raises
    ------
    TypeError
        If the type is not registered, or is not an ensemble of alternatives.

    ValueError
        If a list holds a model that is not fitted: the package never fits the models of a list.

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
