"""One fitted model as a member: its kind, the columns that it was fitted with, and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _is_fitted
from skorch import NeuralNet
from torch.nn import Module

from .._predictive.transformed_target import TargetTransformer
from .._utils.numbers import numeric_array
from ._columns import fitted_column_names as fitted_column_names
from ._columns import is_catboost, is_of_type, match_columns
from ._torch_models import evaluate_module, evaluate_net

# Outputs whose sums are as near to one as this in all rows are probabilities, and no logits.
NEAR_ONE = 1e-4

Kind = Literal["regressor", "classifier"]

#: What callables, torch modules and models of unknown kind can return.
Outputs = Literal["values", "probabilities", "logits", "mean_variance"]

#: When a classifier is represented by its predicted labels: "needed" is without `predict_proba`.
Votes = Literal["never", "always", "needed"]


@dataclass(frozen=True)
class Model:
    """One member: its kind, functions that evaluate it, and the labels of its columns.

    `inner` is the model inside a ``TransformedTargetRegressor``, with the transformation of y.
    `predict_variance` returns the variance of y around the member, if the member has one.
    """

    kind: Kind
    predict: Callable[[Any], np.ndarray]
    classes: np.ndarray | None = None
    inner: tuple[Model, TargetTransformer] | None = None
    predict_variance: Callable[[Any], np.ndarray] | None = None


def kind_of(model: Any) -> Kind | None:
    """Return the kind of a model, fitted or not; None if it is neither of the two.

    Some packages, NGBoost among them, tell it by the convention before scikit-learn 1.6 only. What
    wraps their models then does not know it.
    """
    if hasattr(model, "__sklearn_tags__"):
        if is_classifier(model):
            return "classifier"
        if is_regressor(model):
            return "regressor"
    kind = getattr(model, "_estimator_type", None)
    if kind in get_args(Kind):
        return kind
    inside = wrapped_model(model)
    return None if inside is None else kind_of(inside)


def wrapped_model(model: Any) -> Any:
    """Return the model inside of a pipeline, a search or a frozen one; None of others."""
    if isinstance(model, Pipeline):
        return model.steps[-1][1]
    if isinstance(model, FrozenEstimator):
        return model.estimator
    if isinstance(model, BaseSearchCV):
        return getattr(model, "best_estimator_", model.estimator)
    return None


def kind_of_outputs(outputs: Outputs | None) -> Kind:
    """Return the kind of a model that returns such `outputs`."""
    return "regressor" if outputs in ("values", "mean_variance") else "classifier"


def is_fitted(model: Any) -> bool:
    """Return whether a model is fitted; True for models without scikit-learn's interface.

    Some models can predict before they are fitted: a Gaussian process predicts its prior.
    `check_is_fitted` accepts them, alone or in a pipeline. Here they count as not fitted.
    """
    if isinstance(model, NeuralNet):  # versions differ in what scikit-learn finds of them
        return getattr(model, "initialized_", False)
    if is_catboost(model):
        return model.is_fitted()
    if not hasattr(model, "__sklearn_tags__"):
        return True
    if isinstance(model, Pipeline):
        return is_fitted(model.steps[-1][1])
    if isinstance(model, FrozenEstimator):
        return is_fitted(model.estimator)
    try:
        return _is_fitted(model) or _has_learnt(model)
    except NotFittedError:
        return False


def _has_learnt(model: Any) -> bool:
    """Return whether a model holds more than a new one with its parameters.

    Models of some packages, such as NGBoost, keep what they have learnt under names without the
    trailing underscore by which scikit-learn knows fitted ones.
    """
    if type(model).__module__.startswith("sklearn."):
        return False
    parameters = model.get_params(deep=False)
    try:
        blank = vars(type(model)(**parameters))
    except Exception:  # whatever another package raises: it cannot be compared
        return False
    names = set(vars(model)) - set(parameters)
    return any(_is_more(vars(model)[name], blank.get(name)) for name in names)


def _is_more(value: Any, blank: Any) -> bool:
    """Return whether an attribute holds something, and that of a new model nothing."""
    is_empty = blank is None or (isinstance(blank, list | tuple | dict) and not blank)
    return is_empty and value is not None and not (isinstance(value, type(blank)) and not value)


def _voting(model: Any) -> str:
    """Return the estimator that fits a list of models like this one."""
    return "VotingClassifier" if is_classifier(model) else "VotingRegressor"


def describe_model(
    model: Any,
    outputs: Outputs | None = None,
    *,
    label: str = "The model",
    votes: Votes = "never",
) -> Model:
    """Describe one fitted model of a list or of an ensemble.

    `outputs` is what callables, torch modules and models of unknown kind return. `votes` is when a
    classifier is represented by its predicted labels; "needed" is without `predict_proba`. Errors
    name the model by `label`.
    """
    label = f"{label} ({type(model).__name__})"
    if isinstance(model, type):
        raise TypeError(f"{label} is the class {model.__name__}, expected a fitted instance.")
    if not is_fitted(model):
        raise NotFittedError(
            f"{label} is not fitted, expected fitted models: call its `fit`. To have models fitted "
            f'here, and cross-fitted by cv, give {_voting(model)}([("0", model), ...]) in place of '
            "the list. Where a search or another estimator has cloned fitted ones, wrap the list "
            "in FittedEnsemble."
        )
    kind = kind_of(model)
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    if hasattr(last, "pred_dist") and kind != "classifier" and outputs is None:
        return _describe_distribution(model)
    if kind is None:
        return _describe_by_outputs(model, outputs, label)
    if outputs is not None and kind != kind_of_outputs(outputs):
        raise ValueError(f"outputs={outputs!r} contradicts {label}, which is a {kind}.")
    if kind == "regressor":
        predict = partial(_evaluate_estimator, model, "predict")
        return replace(_with_variance(model, predict), inner=_inside_transformed_target(model))
    classes = getattr(model, "classes_", None)
    if classes is None and isinstance(model, NeuralNet):
        raise ValueError(
            f"{label} has no `classes_`: skorch learns them in fit, and not by initialize and "
            "load_params. Give them to the net, NeuralNetClassifier(..., classes=[...]), or give "
            "its module: FittedEnsemble([net.module_ for net in nets], outputs='logits', "
            "classes=[...]), or outputs='probabilities' if it ends in softmax."
        )
    has_probabilities = hasattr(model, "predict_proba")
    if classes is None and has_probabilities:  # NGBoost's do not keep them
        return Model(kind, partial(_evaluate_estimator, model, "predict_proba"))
    if classes is None or np.ndim(classes[0]) > 0:
        raise ValueError(f"{label} has no `classes_` of one output, expected a single target.")
    classes = np.asarray(classes)
    if votes == "always" or (votes == "needed" and not has_probabilities):
        return Model(kind, partial(_predict_votes, model, classes), classes)
    if has_probabilities:
        return Model(kind, partial(_evaluate_estimator, model, "predict_proba"), classes)
    raise ValueError(
        f"{label} has no `predict_proba`, expected probabilities: calibrate it first, for example "
        "with CalibratedClassifierCV."
    )


def _describe_distribution(model: Any) -> Model:
    """Describe a model, alone or behind a pipeline, that predicts a distribution, as NGBoost's."""

    def variance(X):
        last = model
        if isinstance(model, Pipeline):
            last, X = model[-1], _rows_of_last_step(model, X)
        return numeric_array(_evaluate_estimator(last, "pred_dist", X).dist.var(), "Variances")

    return Model(
        "regressor", partial(_evaluate_estimator, model, "predict"), predict_variance=variance
    )


def _inside_transformed_target(model: Any) -> tuple[Model, TargetTransformer] | None:
    """Return the model that predicts a transformed target; None if y is not transformed."""
    if isinstance(model, TransformedTargetRegressor):
        inside = describe_model(model.regressor_)
        transformers = (model.transformer_,)
        if inside.inner is not None:
            inside, further = inside.inner
            transformers = (*transformers, *further.transformers)
        return inside, TargetTransformer(*transformers)
    if isinstance(model, Pipeline):
        inner = _inside_transformed_target(model.steps[-1][1])
        if inner is None or len(model) == 1:
            return inner

        def predict(X: Any) -> np.ndarray:
            return inner[0].predict(_rows_of_last_step(model, X))

        return replace(inner[0], predict=predict), inner[1]
    if isinstance(model, FrozenEstimator | BaseSearchCV):
        name = "estimator" if isinstance(model, FrozenEstimator) else "best_estimator_"
        return _inside_transformed_target(getattr(model, name, None))
    return None


def inner_models(models: Sequence[Model]) -> tuple[list[Model], TargetTransformer] | None:
    """Return the models that predict a target transformed in one way; None if they do not."""
    inner = [model.inner for model in models if model.inner is not None]
    if not inner or len(inner) < len(models):
        return None
    transformer = inner[0][1]
    if not all(transformer.same_as(other) for _, other in inner):
        return None
    return [model for model, _ in inner], transformer


def _describe_by_outputs(model: Any, outputs: Outputs | None, label: str) -> Model:
    """Describe a model that has no kind of its own."""
    if is_of_type(model, "xgboost.core.Booster"):
        raise TypeError(
            f"{label} takes rows as a DMatrix, expected a model that takes arrays: pass callables "
            "to FittedEnsemble, such as lambda X: booster.predict(xgboost.DMatrix(X)), or models "
            "of xgboost's scikit-learn interface, whose load_model reads boosters from files."
        )
    if outputs is None:
        raise TypeError(
            f"{label} is neither a regressor nor a classifier, so that it is unknown what it "
            "returns. Expected a fitted regressor or classifier; for other models, use "
            f"FittedEnsemble(models, outputs=...) with outputs one of {get_args(Outputs)}."
        )
    evaluate: Callable[[Any], Any]
    if isinstance(model, NeuralNet):
        method = "forward" if outputs == "logits" else "predict_proba"
        evaluate = partial(evaluate_net, model, method)
    elif isinstance(model, Module):
        evaluate = partial(evaluate_module, model)
    elif outputs == "values" and hasattr(model, "predict"):
        return _with_variance(model, partial(_evaluate_estimator, model, "predict"))
    elif outputs == "probabilities" and hasattr(model, "predict_proba"):
        evaluate = partial(_evaluate_estimator, model, "predict_proba")
    elif callable(model):
        evaluate = model
    else:
        raise TypeError(
            f"{label} has no method that returns {outputs} and is not callable: pass a callable "
            "that takes X and returns them."
        )
    return Model(
        kind_of_outputs(outputs),
        lambda X: as_outputs(evaluate(X), outputs),
        predict_variance=(
            (lambda X: as_variance(evaluate(X))) if outputs == "mean_variance" else None
        ),
    )


def _evaluate_estimator(model: Any, method: str, X: Any) -> Any:
    """Call a method of a model at rows with the columns it was fitted with.

    Skorch nets, alone or as the last step of a pipeline, are evaluated by `evaluate_net`. As the
    last step, a pipeline refuses what scikit-learn does not know as fitted, such as NGBoost's.
    """
    if isinstance(model, NeuralNet):
        return evaluate_net(model, method, X)
    if isinstance(model, Pipeline):
        last = model.steps[-1][1]
        if isinstance(last, NeuralNet):
            return evaluate_net(last, method, _rows_of_last_step(model, X))
        if not _is_fitted(last):
            return getattr(last, method)(_rows_of_last_step(model, X))
    return getattr(model, method)(match_columns(model, X))


def _rows_of_last_step(pipeline: Pipeline, X: Any) -> Any:
    """Return rows as the last step of a fitted pipeline takes them."""
    X = match_columns(pipeline, X)
    return pipeline[:-1].transform(X) if len(pipeline) > 1 else X


def _with_variance(model: Any, predict: Callable[[Any], Any]) -> Model:
    """Describe a regressor; CatBoost's RMSEWithUncertainty returns a variance as second column."""
    if is_catboost(model) and model.get_all_params()["loss_function"] == "RMSEWithUncertainty":
        return Model(
            "regressor",
            lambda X: predict(X)[:, 0],
            predict_variance=lambda X: as_variance(predict(X)),
        )
    return Model("regressor", predict)


def _predict_votes(model: Any, classes: np.ndarray, X: Any) -> np.ndarray:
    """Return a classifier's labels as (n, K): one in the column of the label, zeros elsewhere."""
    labels = np.asarray(_evaluate_estimator(model, "predict", X)).reshape(-1, 1)
    return (labels == classes).astype(np.float64)


def as_outputs(raw: ArrayLike, outputs: Outputs) -> np.ndarray:
    """Turn values, probabilities or logits into values or probabilities.

    A single column of probabilities or logits belongs to the second of two classes.
    """
    raw = numeric_array(raw, "Outputs of members")
    if outputs == "values":
        return raw
    if outputs == "mean_variance":
        return _check_pair(raw)[:, 0]
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if outputs == "logits":  # in float64, from which logits are recovered
        raw = raw.astype(np.float64)
        refuse_probabilities(raw)
    if raw.ndim == 2:
        return softmax(raw, axis=1) if outputs == "logits" else raw
    if outputs == "logits":
        return np.stack([expit(-raw), expit(raw)], axis=-1)
    return np.stack([1 - raw, raw], axis=-1)


def refuse_probabilities(raw: np.ndarray) -> None:
    """Raise ValueError if logits are probabilities: positive, and one in sum in each row.

    They are (n, K), or (n, K, n_members).
    """
    if raw.ndim < 2 or len(raw) < 2 or raw.min(initial=1) < 0:
        return
    if np.ptp(raw) > 0 and np.abs(raw.sum(axis=1) - 1).max() < NEAR_ONE:
        raise ValueError(
            "outputs='logits' was given, and the members return probabilities: no value is "
            "negative, and those of a row sum to one. Use outputs='probabilities'."
        )


def as_variance(raw: ArrayLike) -> np.ndarray:
    """Return the second column of mean and variance (n, 2)."""
    return _check_pair(numeric_array(raw, "Outputs of members"))[:, 1]


def _check_pair(raw: np.ndarray) -> np.ndarray:
    """Return mean and variance (n, 2), or raise."""
    if raw.ndim != 2 or raw.shape[1] != 2:
        raise ValueError(
            "outputs='mean_variance' expects two columns of each member, the mean and the variance "
            f"of y, (n_samples, 2); got {raw.shape}."
        )
    return raw


def have_variance(models: Sequence[Model]) -> bool:
    """Return whether every model has a variance of y of its own."""
    return all(model.predict_variance is not None for model in models)
