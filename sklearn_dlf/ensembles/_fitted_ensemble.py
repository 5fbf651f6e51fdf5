"""Lists of fitted models, and a wrapper that scikit-learn neither clones nor cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import check_random_state
from torch.nn import Module

from .._predictive.output_transformers import as_transformer
from .._predictive.transformed_target import TargetTransformer
from .._utils.numbers import numeric_array
from ._class_columns import align_classes, check_classes, expand_columns
from ._member_models import (
    Model,
    Outputs,
    as_outputs,
    as_variance,
    describe_model,
    fitted_column_names,
    kind_of,
    kind_of_outputs,
)
from ._member_predictions import member_predictions
from ._members import Members, regressors_as_members, with_transformed
from ._quantile_models import refuse_quantiles
from ._registry import describe_ensemble, register_ensemble


def _list_members(
    models: Sequence[Any], outputs: Outputs | None = None, classes: np.ndarray | None = None
) -> Members:
    """Describe a list of fitted models; classifiers are aligned to the union of their labels."""
    if len(models) < 2:
        hint = " If it is an ensemble or a posterior, give it without a list." if models else ""
        raise ValueError(
            f"An ensemble needs at least two models, got a list of {len(models)}.{hint}"
        )
    described: list[Any] = [
        describe_model(model, outputs, label=f"Model {i}") for i, model in enumerate(models)
    ]
    kinds = Counter(model.kind for model in described)
    if len(kinds) > 1:
        counts = " and ".join(f"{n} {kind}s" for kind, n in kinds.items())
        raise ValueError(f"The list mixes {counts}, expected models of one kind.")
    kind = described[0].kind
    if kind == "regressor":
        refuse_quantiles(models)
        members = regressors_as_members(described, _regressor_members)
        return replace(members, are_functions=_are_draws(models))
    classes, columns = align_classes(described, classes)

    def predict(X):
        for model, own_columns in zip(described, columns, strict=True):
            yield expand_columns(model.predict(X), own_columns, classes)

    return Members(kind, len(models), predict, classes, are_functions=_are_draws(models))


def _are_draws(models: Sequence[Any]) -> bool:
    """Return whether all models are draws from a posterior, as `parameter_draws` makes them."""
    return all(getattr(model, "is_draw", False) for model in models)


def _regressor_members(models: Sequence[Model]) -> Members:
    """Return models as members; they have variances of y if all models have."""
    variances = [model.predict_variance for model in models if model.predict_variance is not None]
    return Members(
        "regressor",
        len(models),
        lambda X: (model.predict(X) for model in models),
        predict_variance=(
            None
            if len(variances) < len(models)
            else lambda X: (variance(X) for variance in variances)
        ),
    )


def _callable_members(
    function: Callable[[Any], Any],
    outputs: Outputs,
    classes: np.ndarray | None,
    n_members: int,
) -> Members:
    """Describe one callable that returns all members at once, along the last axis."""

    def evaluate(X):
        raw = numeric_array(function(X), "Outputs of the callable")
        if raw.ndim not in (2, 3) or raw.shape[-1] != n_members:
            raise ValueError(
                f"The callable returned an array of shape {raw.shape}, expected members last: "
                f"(n_samples, ..., n_members={n_members})."
            )
        return raw

    def predict(X):
        raw = evaluate(X)
        return (as_outputs(raw[..., i], outputs) for i in range(n_members))

    def predict_variance(X):
        raw = evaluate(X)
        return (as_variance(raw[..., i]) for i in range(n_members))

    return Members(
        kind_of_outputs(outputs),
        n_members,
        predict,
        classes,
        predict_variance=predict_variance if outputs == "mean_variance" else None,
    )


class FittedEnsemble:
    """Wrapper of a fitted ensemble that passes through scikit-learn unchanged.

    A bare list of fitted models is not safe as a parameter of an estimator or as a fit parameter of
    a search: scikit-learn clones its models unfitted, or cuts it as if it were an array of rows.
    The wrapper clones to itself, has no length and hides its models. It also adds what some models
    lack: what they return, and the labels of their columns.

    Parameters
    ----------
    models : list of fitted models, fitted ensemble or callable
        A list may hold fitted regressors or classifiers of any library with scikit-learn's
        interface, skorch nets, torch modules and callables. Each is one member, also if it is an
        ensemble itself. Modules are evaluated in evaluation mode, on the device they are on. They
        get numbers in their own precision, and integers as they are if they have an embedding. A
        single callable returns all members at once, along the last axis.

    outputs : {"values", "probabilities", "logits", "mean_variance"}, default=None
        What the models return that are neither regressors nor classifiers, such as callables and
        torch modules: values of `y`, probabilities, or logits (or log-probabilities). A single
        column of probabilities or logits belongs to the second of two classes. "mean_variance":
        two columns, mean and variance of `y`; students distil both. None for regressors and
        classifiers.

    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns of callables and torch modules. The columns of
        classifiers are aligned to them. They name the codes of classifiers that were fitted to 0,
        1, ... in place of labels that are no numbers, as XGBoost's are. None for the union of the
        classifiers' labels.

    n_members : int, default=None
        Number of members that a single callable returns, or number of draws from a posterior
        (1,000 by default; 10 virtual ensembles of a CatBoost model). It must be None for other
        ensembles.

    random_state : int, RandomState instance or None, default=0
        Determines the draws from a posterior. With an integer, each call makes the same draws.

    transformer : transformer or list of transformers, default=None
        A transformation of `y`, such as ``FunctionTransformer(np.log, np.exp)``, in whose space a
        student learns. A list has one for each output; None leaves an output as it is. For members
        that predict `y` itself and are all of one sign, such as boosted models with the loss of a
        gamma or Poisson distribution: intervals of the student are, too. It must be fitted, if it
        needs a fit. Models in a ``TransformedTargetRegressor`` bring one of their own.

    are_draws : bool, default=False
        Whether callables or modules are draws from a posterior: functions of any rows, which were
        not trained one by one. Rows are made for a student as for other posteriors then, and sums
        over rows are as uncertain as those of the draws. Draws of `parameter_draws`, of Gaussian
        processes and of linear models are known.

    Attributes
    ----------
    kind : {"regressor", "classifier"}
        What the members predict.

    n_members : int
        Number of members.

    classes_ : ndarray of shape (n_classes,)
        Labels in the order of the columns of the probabilities. Only for classifiers whose labels
        are known from the models or from `classes`; otherwise column `c` stands for class `c`.

    n_features_in_ : int
        Number of columns of `X`. Only if a model has this attribute.

    feature_names_in_ : ndarray of str
        Names of the columns of `X`. Only if a model was fitted with names.

    Raises
    ------
    TypeError
        If the type of the ensemble is not registered, if a model is neither a regressor nor a
        classifier and `outputs` is None, or if `n_members` is not an integer.

    ValueError
        If a model is not fitted, there are fewer than two members, a list mixes regressors and
        classifiers, or a parameter is given that contradicts the models or has no effect on them.

    See Also
    --------
    member_predictions : Evaluate the members of any registered ensemble.
    register_ensemble : Register a type of ensemble.

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

    def __init__(
        self,
        models: Any,
        *,
        outputs: Outputs | None = None,
        classes: ArrayLike | None = None,
        n_members: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        transformer: Any = None,
        are_draws: bool = False,
    ) -> None:
        is_known = isinstance(outputs, str) and outputs in get_args(Outputs)
        if outputs is not None and not is_known:
            raise ValueError(
                f"outputs must be one of {get_args(Outputs)} or None, got {outputs!r}."
            )
        check_random_state(random_state)  # raises if it is none
        self._models = list(models) if isinstance(models, list | tuple) else models
        self._outputs = outputs
        self._classes = None if classes is None else check_classes(classes)
        self._n_members = n_members
        self._random_state = random_state
        self._transformer = transformer
        if not isinstance(are_draws, bool | np.bool_):
            raise TypeError(f"are_draws must be True or False, got {are_draws!r}.")
        self._are_draws = bool(are_draws)
        members = describe_ensemble(self)  # raises an error if the models are no ensemble
        self.kind, self.n_members = members.kind, members.n_members

    def _describe(self) -> Members:
        """Describe the members; this is the extractor of the class."""
        members = self._describe_models()
        if self.__dict__.get("_are_draws"):  # older files have none
            members = replace(members, are_functions=True)
        transformer = self.__dict__.get("_transformer")  # older files have none
        if transformer is not None:
            return with_transformed(members, self._check_transformer(members, transformer))
        return replace(members, from_logits=True) if self._outputs == "logits" else members

    @staticmethod
    def _check_transformer(members: Members, transformer: Any) -> TargetTransformer:
        """Return the transformer of y, or raise if it is none, or members take none."""
        of_all = as_transformer(transformer)
        if members.kind != "regressor" or members.inner is not None:
            what = "classifiers" if members.kind == "classifier" else "models with one of their own"
            raise ValueError(f"transformer={transformer!r} was given, and the members are {what}.")
        return TargetTransformer(of_all)

    def _describe_models(self) -> Members:
        """Describe the members, whatever their outputs are made from."""
        models = self._models
        if isinstance(models, list):
            members = _list_members(models, self._outputs, self._classes)
        elif self._is_bare_callable():
            return self._describe_callable()
        else:
            members = describe_ensemble(models)
            if self.__dict__.get("_are_draws"):
                raise ValueError(
                    f"are_draws is for callables and modules; got a {type(models).__name__}, of "
                    "which it is known what its members are."
                )
            if self._outputs is not None or self._classes is not None:
                raise ValueError(
                    f"It is known what the members of a {type(models).__name__} return: leave out "
                    f"`outputs` and `classes`, got outputs={self._outputs!r} and "
                    f"classes={self._classes}."
                )
        if members.resample is not None:
            n_members = members.n_members if self._n_members is None else self._n_members
            return members.resample(n_members, self._random_state)
        if self._n_members is not None:
            raise ValueError(
                f"n_members={self._n_members} was given, but the {members.n_members} members of "
                f"{type(models).__name__} are not draws from a posterior: leave out `n_members`."
            )
        return members

    def _is_bare_callable(self) -> bool:
        """Return whether the models are one callable that is neither a module nor a class."""
        models = self._models
        is_model = isinstance(models, (Module, type)) or kind_of(models) is not None
        return callable(models) and not is_model

    def _describe_callable(self) -> Members:
        if self._outputs is None or self._n_members is None:
            raise ValueError(
                f"A single callable returns all members at once, got outputs={self._outputs!r} "
                f"and n_members={self._n_members}: expected outputs, one of {get_args(Outputs)}, "
                "and n_members, the length of its last axis. Put callables that return one member "
                "each into a list."
            )
        function: Any = self._models
        return _callable_members(function, self._outputs, self._classes, self._n_members)

    def member_predictions(self, X: ArrayLike, *, dtype: DTypeLike = np.float64) -> np.ndarray:
        """Evaluate every member.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows as the models expect them.

        dtype : dtype, default=np.float64
            Floating-point dtype of the result.

        Returns
        -------
        predictions : ndarray
            (n_samples, n_members) or (n_samples, n_outputs, n_members), in the unit of `y`, from
            regressors; probabilities (n_samples, n_classes, n_members) from classifiers.
        """
        return member_predictions(self, X, dtype=dtype)

    @property
    def classes_(self) -> np.ndarray:
        """Labels in the order of the columns of the probabilities."""
        classes = self._describe().classes
        if classes is None:
            raise AttributeError(
                "classes_ exists for classifiers only. For callables and torch modules, give the "
                "labels with FittedEnsemble(..., classes=...)."
            )
        return classes

    @property
    def n_features_in_(self) -> int:
        """Number of columns of `X`."""
        return self._first_known("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns of `X`."""
        return np.asarray(self._first_known("feature_names_in_"), dtype=object)

    def _first_known(self, attribute: str) -> Any:
        """Return an attribute of the first model that has it."""
        models = self._models if isinstance(self._models, list) else [self._models]
        for model in models:
            value = fitted_column_names(model) if attribute == "feature_names_in_" else None
            value = getattr(model, attribute, None) if value is None else value
            if value is not None:
                return value
        raise AttributeError(f"No model of this FittedEnsemble has the attribute {attribute}.")

    def __sklearn_clone__(self) -> FittedEnsemble:
        return self

    def __repr__(self) -> str:
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


def with_known_outputs(ensemble: Any, kind: str) -> Any:
    """Return an ensemble for a student of that kind, which tells what its models return.

    The models of a list that are neither regressors nor classifiers, such as callables and torch
    modules, return values if the student is a regressor. For a classifier, they may return
    probabilities or logits, so that the list is returned as it is.
    """
    if kind != "regressor" or not isinstance(ensemble, list | tuple) or len(ensemble) < 2:
        return ensemble
    is_unknown = any(
        kind_of(model) is None and not isinstance(model, type) and not hasattr(model, "pred_dist")
        for model in ensemble
    )
    return FittedEnsemble(ensemble, outputs="values") if is_unknown else ensemble


def without_wrapper(ensemble: Any) -> Any:
    """Return what a FittedEnsemble holds: a list of models, or an ensemble; others as they are."""
    return ensemble._models if isinstance(ensemble, FittedEnsemble) else ensemble
