"""Lists of fitted models, and the opaque wrapper that survives scikit-learn's machinery."""

from __future__ import annotations

from collections import Counter

import numpy as np
from torch.nn import Module

from ._member_models import (
    OUTPUTS,
    align_classes,
    as_outputs,
    describe_model,
    kind_of,
    kind_of_outputs,
    known_names,
    spread_columns,
)
from ._member_predictions import member_predictions
from ._registry import Members, describe_ensemble, register_ensemble


def _list_members(models, outputs=None, classes=None) -> Members:
    """Describe a list of fitted models: classifiers are aligned to the union of their labels."""
    if len(models) < 2:
        raise ValueError(f"An ensemble needs at least two models, got a list of {len(models)}.")
    described = [
        describe_model(model, outputs, label=f"Model {i}") for i, model in enumerate(models)
    ]
    kinds = Counter(model.kind for model in described)
    if len(kinds) > 1:
        counts = " and ".join(f"{n} {kind}s" for kind, n in kinds.items())
        raise ValueError(f"The list mixes {counts}, expected models of one kind.")
    kind = described[0].kind
    if kind == "regressor":
        return Members(kind, len(models), lambda X: (model.predict(X) for model in described))
    classes, columns = align_classes(described, classes)

    def predict(X):
        for model, own_columns in zip(described, columns, strict=True):
            yield spread_columns(model.predict(X), own_columns, classes)

    return Members(kind, len(models), predict, classes)


def _callable_members(function, outputs, classes, n_members) -> Members:
    """Describe one callable that returns all members at once, along the last axis."""

    def predict(X):
        raw = np.asarray(function(X))
        if raw.ndim not in (2, 3) or raw.shape[-1] != n_members:
            raise ValueError(
                f"The callable returned an array of shape {raw.shape}, expected members last: "
                f"(n_samples, ..., n_members={n_members})."
            )
        return (as_outputs(raw[..., i], outputs) for i in range(n_members))

    return Members(kind_of_outputs(outputs), n_members, predict, classes)


class FittedEnsemble:
    """A fitted ensemble that scikit-learn leaves as it is.

    It clones to itself, has no length and hides its models, so that it can be a parameter of an
    estimator or a fit parameter of a search: bare lists would be cloned unfitted, or cut with the
    rows. It also says what models do not say of themselves.

    Parameters
    ----------
    models : list of fitted models, fitted ensemble or callable
        A list may hold fitted regressors or classifiers of any library with scikit-learn's
        interface (each is one member, ensembles too), skorch nets, torch modules and callables.
        Modules are asked in evaluation mode, on the device they are on. A single callable
        returns all members at once, along the last axis.

    outputs : {"values", "probabilities", "logits"}, default=None
        What callables, torch modules and other models that are no regressors or classifiers
        return: values of `y`, probabilities, or logits (or log-probabilities). A single column of
        the last two belongs to the second of two classes. None for models that say it themselves.

    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns of callables and torch modules; classifiers are
        aligned to them. None for the union of the labels that classifiers know.

    n_members : int, default=None
        Number of members a single callable returns, or number of draws from a posterior
        (50 by default; 10 virtual ensembles of a CatBoost model). Must not be given otherwise.

    random_state : int, RandomState instance or None, default=0
        Of the draws from a posterior. With an integer, each call draws the same numbers.

    Attributes
    ----------
    kind : {"regressor", "classifier"}
        What the members predict.

    n_members : int
        Number of members.

    classes_ : ndarray of shape (n_classes,)
        Labels in the order of the columns of the probabilities. Classifiers only, and only where
        the models or `classes` say them; otherwise column `c` stands for class `c`.

    n_features_in_ : int
        Number of columns of `X`, where a model knows it.

    feature_names_in_ : ndarray of str
        Names of the columns of `X`, where a model knows them.

    Raises
    ------
    TypeError
        If the models are of an unknown type, or do not say what they return.

    ValueError
        If a model is not fitted, there are fewer than two members, or a list mixes regressors
        and classifiers.

    See Also
    --------
    member_predictions : Ask the members of any known ensemble.
    register_ensemble : Teach the package a type of ensemble.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import LinearRegression, Ridge
    >>> from sklearn_dlf.ensembles import FittedEnsemble
    >>> X, y = make_regression(20, 3, random_state=0)
    >>> ensemble = FittedEnsemble([LinearRegression().fit(X, y), Ridge().fit(X, y)])
    >>> ensemble
    FittedEnsemble([LinearRegression, Ridge], kind='regressor', n_members=2)
    >>> ensemble.member_predictions(X).shape
    (20, 2)
    >>> clone(ensemble) is ensemble
    True

    Two torch modules that return logits of three classes:

    >>> import torch
    >>> modules = [torch.nn.Linear(3, 3) for _ in range(2)]
    >>> networks = FittedEnsemble(modules, outputs="logits", classes=["a", "b", "c"])
    >>> networks.member_predictions(X).shape
    (20, 3, 2)
    """

    def __init__(self, models, *, outputs=None, classes=None, n_members=None, random_state=0):
        if outputs is not None and outputs not in OUTPUTS:
            raise ValueError(f"outputs must be one of {OUTPUTS} or None, got {outputs!r}.")
        self._models = list(models) if isinstance(models, list | tuple) else models
        self._outputs = outputs
        self._classes = None if classes is None else np.asarray(classes)
        self._n_members = n_members
        self._random_state = random_state
        members = self._describe()  # what is wrong with the models is said here
        self.kind, self.n_members = members.kind, members.n_members

    def _describe(self) -> Members:
        models = self._models
        if isinstance(models, list):
            members = _list_members(models, self._outputs, self._classes)
        elif self._is_bare_callable():
            return self._describe_callable()
        else:
            members = describe_ensemble(models)
            if self._outputs is not None or self._classes is not None:
                raise ValueError(
                    f"{type(models).__name__} says itself what it returns, expected neither "
                    "`outputs` nor `classes`."
                )
        if self._n_members is None:
            return members
        if members.resample is None:
            raise ValueError(
                f"n_members={self._n_members} was given, but {type(models).__name__} has "
                f"{members.n_members} members that are not drawn: leave it out."
            )
        return members.resample(self._n_members, self._random_state)

    def _is_bare_callable(self):
        models = self._models
        is_model = isinstance(models, (Module, type)) or kind_of(models) is not None
        return callable(models) and not is_model

    def _describe_callable(self):
        if self._outputs is None or self._n_members is None:
            raise ValueError(
                f"A single callable returns all members at once, got outputs={self._outputs!r} "
                f"and n_members={self._n_members}: expected outputs, one of {OUTPUTS}, and "
                "n_members, the length of its last axis. Put callables that return one member "
                "each into a list."
            )
        return _callable_members(self._models, self._outputs, self._classes, self._n_members)

    def member_predictions(self, X, *, dtype=np.float64) -> np.ndarray:
        """Ask every member.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows as the models want them.

        dtype : dtype, default=np.float64
            Of the result.

        Returns
        -------
        predictions : ndarray
            (n_samples, n_members) or (n_samples, n_outputs, n_members) from regressors,
            probabilities (n_samples, n_classes, n_members) from classifiers.
        """
        return member_predictions(self, X, dtype=dtype)

    @property
    def classes_(self):
        """Labels in the order of the columns of the probabilities."""
        classes = self._describe().classes
        if classes is None:
            raise AttributeError(
                "classes_ is known for classifiers only, and for callables and torch modules "
                "only where FittedEnsemble(..., classes=...) says the labels."
            )
        return classes

    @property
    def n_features_in_(self):
        """Number of columns of `X`."""
        return self._first_known("n_features_in_")

    @property
    def feature_names_in_(self):
        """Names of the columns of `X`."""
        return np.asarray(self._first_known("feature_names_in_"), dtype=object)

    def _first_known(self, attribute):
        models = self._models if isinstance(self._models, list) else [self._models]
        for model in models:
            known = known_names(model) if attribute == "feature_names_in_" else None
            known = getattr(model, attribute, None) if known is None else known
            if known is not None:
                return known
        raise AttributeError(f"No model of this FittedEnsemble knows its {attribute}.")

    def __sklearn_clone__(self):
        return self

    def __repr__(self):
        models = self._models
        if isinstance(models, list):
            counts = Counter(getattr(m, "__name__", type(m).__name__) for m in models)
            names = (name if n == 1 else f"{n} x {name}" for name, n in counts.items())
            shown = f"[{', '.join(names)}]"
        else:
            shown = getattr(models, "__name__", type(models).__name__)
        return f"FittedEnsemble({shown}, kind={self.kind!r}, n_members={self.n_members})"


register_ensemble(list, _list_members)
register_ensemble(tuple, _list_members)
register_ensemble(FittedEnsemble, FittedEnsemble._describe)
