"""The registry: which types are ensembles, and how their members are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from typing import Any, get_args

import numpy as np
from sklearn.exceptions import NotFittedError

from ._member_models import Kind, is_fitted, kind_of, match_columns, type_name


@dataclass(frozen=True)
class Members:
    """The members of one fitted ensemble: what they predict, and a function that evaluates them.

    Each type of ensemble has an extractor, a function that takes a fitted ensemble and returns its
    `Members`. To use ensembles of a type of your own, write an extractor and pass it to
    :func:`register_ensemble`.

    Parameters
    ----------
    kind : {"regressor", "classifier"}
        What the members predict: values of `y`, or probabilities of classes.

    n_members : int
        Number of members. :func:`describe_ensemble` raises an error where it is less than two.

    predict : callable
        Called as ``predict(X)``. It returns an iterable, such as a generator, of one array for
        each member: values of shape (n_samples,) or (n_samples, n_outputs) from regressors,
        probabilities of shape (n_samples, n_classes) from classifiers. With a generator, the
        outputs of only one member are in memory at a time. :func:`member_predictions` checks the
        outputs, so `predict` need not.

    classes : ndarray of shape (n_classes,), default=None
        Labels in the order of the columns of the probabilities. None for regressors, and for
        classifiers whose labels are unknown. Column `c` then stands for class `c`.

    unseen : callable, default=None
        Called without arguments. It returns a bool array with a row for each row of the ensemble's
        own fit and a column for each member, True where the member was not trained on the row. It
        returns None where that is not known; an array of any other shape is treated as None.
        The default, None, is for ensembles for which it is never known.

    predict_variance : callable, default=None
        Only for regressors whose members have a variance of y of their own. Called as
        ``predict_variance(X)``. It returns an iterable of one array for each member, of the shape
        that `predict` returns, in squared units of `y`.

    resample : callable, default=None
        Only for members that are draws from a posterior. Called as
        ``resample(n_members, random_state)``. It returns `Members` with that number of draws,
        made from that random state.

    Raises
    ------
    TypeError
        If `n_members` is not an integer.

    ValueError
        If `kind` is neither "regressor" nor "classifier".

    See Also
    --------
    register_ensemble : Register an extractor for a type.

    Examples
    --------
    A type whose members are lines through the origin:

    >>> import numpy as np
    >>> from sklearn_dlf.ensembles import Members, member_predictions, register_ensemble
    >>> class Lines:
    ...     def __init__(self, *slopes):
    ...         self.slopes = slopes
    >>> def extract(ensemble):
    ...     def predict(X):
    ...         for slope in ensemble.slopes:
    ...             yield slope * X[:, 0]
    ...
    ...     return Members("regressor", len(ensemble.slopes), predict)
    >>> register_ensemble(Lines, extract)
    >>> member_predictions(Lines(1, 10), np.array([[2.0], [3.0]]))
    array([[ 2., 20.],
           [ 3., 30.]])
    """

    kind: Kind
    n_members: int
    predict: Callable[[Any], Iterable[Any]]
    classes: np.ndarray | None = None
    unseen: Callable[[], np.ndarray | None] | None = None
    resample: Callable[[int, Any], Members] | None = None
    predict_variance: Callable[[Any], Iterable[Any]] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be 'regressor' or 'classifier', got {self.kind!r}.")
        n_members: Any = self.n_members
        if not isinstance(n_members, int | np.integer) or isinstance(n_members, bool):
            raise TypeError(f"n_members must be an int, got {self.n_members!r}.")

    def through(
        self,
        before: Callable[[Any], Any] | None = None,
        after: Callable[[Any], Any] | None = None,
    ) -> Members:
        """Return the same members with their rows or their outputs transformed.

        Parameters
        ----------
        before : callable, default=None
            Applied to `X` once, before the members are evaluated. None leaves `X` as it is.

        after : callable, default=None
            Applied to the output of each member. None leaves the outputs as they are.

        Returns
        -------
        members : Members
            Their `resample` applies the same transformations to other draws. If outputs are
            transformed, they have no `predict_variance`, as the variance is not transformed.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_dlf.ensembles import Members
        >>> members = Members("regressor", 2, lambda X: (X[:, 0], X[:, 1]))
        >>> logs = members.through(before=np.exp, after=np.log)
        >>> [output.round(9).tolist() for output in logs.predict(np.array([[1.0, 2.0]]))]
        [[1.0], [2.0]]
        """

        def predict(X):
            outputs = self.predict(X if before is None else before(X))
            return outputs if after is None else map(after, outputs)

        variance = self.predict_variance if after is None else None
        if variance is not None and before is not None:
            inner = variance

            def variance(X):
                return inner(before(X))

        draw = self.resample
        if draw is None:
            return replace(self, predict=predict, predict_variance=variance)

        def resample(n_members, random_state):
            return draw(n_members, random_state).through(before, after)

        return replace(self, predict=predict, predict_variance=variance, resample=resample)


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
