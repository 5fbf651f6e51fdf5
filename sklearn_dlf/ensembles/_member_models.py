"""One fitted model as a member: its kind, its columns, its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import _is_fitted
from skorch import NeuralNet
from torch.nn import Module

from ._torch_models import ask_module, ask_net

#: What can be said of the outputs of callables, torch modules and models of unknown kind.
OUTPUTS = ("values", "probabilities", "logits")


@dataclass(frozen=True)
class Model:
    """One member: what it predicts, the labels of its columns if known, and how to ask it."""

    kind: str
    predict: Callable[[Any], np.ndarray]
    classes: np.ndarray | None = None


def type_name(cls) -> str:
    """Qualified name of a class, without the module for builtins."""
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def kind_of(model) -> str | None:
    """Ask a model, fitted or not, for "regressor" or "classifier"; None if it is neither."""
    if not hasattr(model, "__sklearn_tags__"):
        return getattr(model, "_estimator_type", None)  # the convention before scikit-learn 1.6
    return "classifier" if is_classifier(model) else "regressor" if is_regressor(model) else None


def kind_of_outputs(outputs) -> str:
    """Say what a model is that returns `outputs`."""
    return "regressor" if outputs == "values" else "classifier"


def is_fitted(model) -> bool:
    """Ask whether a model is fitted; what does not follow scikit-learn's way counts as fitted.

    Models that need no fit, such as Gaussian processes that predict their prior, are not fitted
    before it all the same: `check_is_fitted` would let them pass, alone or in a pipeline.
    """
    if not hasattr(model, "__sklearn_tags__"):
        return True
    if isinstance(model, Pipeline):
        return is_fitted(model.steps[-1][1])
    if isinstance(model, FrozenEstimator):
        return is_fitted(model.estimator)
    try:
        return _is_fitted(model)
    except NotFittedError:
        return False


def _is_catboost(model) -> bool:
    return any(type_name(base) == "catboost.core.CatBoost" for base in type(model).__mro__)


def known_names(model) -> list[str] | None:
    """Names of the columns a model was fitted with, None where it was fitted on an array."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and _is_catboost(model):
        names = model.feature_names_
        if names == [str(i) for i in range(len(names))]:  # what CatBoost calls columns of arrays
            names = None
    return None if names is None else list(names)


def columns_for(model, X):
    """Hand `X` over as a model knows it: by name to models with names, else as an array."""
    names = known_names(model)
    n_expected = getattr(model, "n_features_in_", 0) or None  # 0 in CatBoost models from a file
    columns = getattr(X, "columns", None)
    if names is not None and columns is not None:
        return _select_columns(model, X, names)
    if n_expected is not None and (len(np.shape(X)) != 2 or np.shape(X)[1] != n_expected):
        raise ValueError(
            f"X has shape {np.shape(X)}, but {type(model).__name__} was fitted with "
            f"{n_expected} features, expected (n_samples, {n_expected})."
        )
    if columns is not None:
        return X if n_expected is None else np.asarray(X)
    if names is not None and isinstance(X, np.ndarray):
        return _name_columns(X, names)
    return X


def _select_columns(model, X, names):
    """Pick columns of a DataFrame by name, in the order the model was fitted with."""
    received = list(X.columns)
    missing = [name for name in names if name not in received]
    if missing:
        raise ValueError(
            f"X lacks columns that {type(model).__name__} was fitted with: received {received}, "
            f"expected {names}, missing {missing}."
        )
    return X if received == names else X[names]


def _name_columns(X, names):
    """Give an array the names a model was fitted with: some models find their columns by them."""
    try:
        import pandas as pd
    except ImportError:  # then the names came from another library; scikit-learn warns
        return X
    return pd.DataFrame(X, columns=names, copy=False)


def describe_model(model, outputs=None, *, label="The model", votes="never") -> Model:
    """Describe one fitted model of a list or of an ensemble.

    `outputs` (one of `OUTPUTS`) says what callables, modules and models of unknown kind return.
    `votes` ("never", "always", "needed": without `predict_proba`) says when a classifier votes.
    """
    label = f"{label} ({type(model).__name__})"
    if isinstance(model, type):
        raise TypeError(f"{label} is the class {model.__name__}, expected a fitted instance.")
    if not is_fitted(model):
        raise NotFittedError(
            f"{label} is not fitted, expected fitted models: call its `fit`. Where a search "
            "or another estimator has cloned them unfitted, wrap the list in FittedEnsemble."
        )
    kind = kind_of(model)
    if kind not in ("regressor", "classifier"):
        return _describe_by_outputs(model, outputs, label)
    if outputs is not None and kind != kind_of_outputs(outputs):
        raise ValueError(f"outputs={outputs!r} contradicts {label}, which is a {kind}.")
    if kind == "regressor":
        predict = _main_output(model, partial(_ask_estimator, model, "predict"))
        return Model(kind, predict)
    classes = getattr(model, "classes_", None)
    if classes is None or np.ndim(classes[0]) > 0:
        raise ValueError(f"{label} has no `classes_` of one output, expected a single target.")
    classes = np.asarray(classes)
    has_probabilities = hasattr(model, "predict_proba")
    if votes == "always" or (votes == "needed" and not has_probabilities):
        return Model(kind, partial(_cast_votes, model, classes), classes)
    if has_probabilities:
        return Model(kind, partial(_ask_estimator, model, "predict_proba"), classes)
    raise ValueError(
        f"{label} has no `predict_proba`, expected probabilities: calibrate it first, for example "
        "with CalibratedClassifierCV."
    )


def _describe_by_outputs(model, outputs, label) -> Model:
    """Describe a model that does not say what it predicts."""
    if any(type_name(base) == "xgboost.core.Booster" for base in type(model).__mro__):
        raise TypeError(
            f"{label} takes rows as a DMatrix, expected a model that takes arrays: give "
            "FittedEnsemble callables, such as lambda X: booster.predict(xgboost.DMatrix(X)), or "
            "models of xgboost's scikit-learn interface, which load_model reads too."
        )
    if outputs is None:
        raise TypeError(
            f"{label} does not say whether it returns values or probabilities, expected a fitted "
            f"regressor or classifier: say it with FittedEnsemble(models, outputs=...), {OUTPUTS}."
        )
    if isinstance(model, NeuralNet):
        ask = partial(ask_net, model, "forward" if outputs == "logits" else "predict_proba")
    elif isinstance(model, Module):
        ask = partial(ask_module, model)
    elif outputs == "values" and hasattr(model, "predict"):
        ask = _main_output(model, partial(_ask_estimator, model, "predict"))
    elif outputs == "probabilities" and hasattr(model, "predict_proba"):
        ask = partial(_ask_estimator, model, "predict_proba")
    elif callable(model):
        ask = model
    else:
        raise TypeError(f"{label} has no method to ask it for {outputs}, nor is it callable.")
    return Model(kind_of_outputs(outputs), lambda X: as_outputs(ask(X), outputs))


def _ask_estimator(model, method, X):
    """Call a method of a model on the columns it knows; nets are asked as such in pipelines too."""
    if isinstance(model, NeuralNet):
        return ask_net(model, method, X)
    if isinstance(model, Pipeline) and isinstance(model.steps[-1][1], NeuralNet):
        X = columns_for(model, X)
        return ask_net(model[-1], method, model[:-1].transform(X) if len(model) > 1 else X)
    return getattr(model, method)(columns_for(model, X))


def _main_output(model, predict):
    """Leave out the variance that CatBoost's RMSEWithUncertainty returns beside the value."""
    if _is_catboost(model) and model.get_all_params()["loss_function"] == "RMSEWithUncertainty":
        return lambda X: predict(X)[:, 0]
    return predict


def _cast_votes(model, classes, X) -> np.ndarray:
    """Ask a classifier for labels: one (n, K) in the column of its label, zeros elsewhere."""
    labels = np.asarray(_ask_estimator(model, "predict", X)).reshape(-1, 1)
    return (labels == classes).astype(np.float64)


def as_outputs(raw, outputs) -> np.ndarray:
    """Turn what was said to be values, probabilities or logits into values or probabilities.

    A single column of probabilities or logits belongs to the second of two classes.
    """
    raw = np.asarray(raw)
    if outputs == "values":
        return raw
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim == 2:
        return softmax(raw, axis=1) if outputs == "logits" else raw
    if outputs == "logits":
        return np.stack([expit(-raw), expit(raw)], axis=-1)
    return np.stack([1 - raw, raw], axis=-1)


def align_classes(models, classes=None) -> tuple[np.ndarray | None, list[np.ndarray | None]]:
    """Find the union of the models' labels, and the columns of each model in it (None: as is)."""
    known = [model.classes for model in models if model.classes is not None]
    if classes is None:
        if not known:
            return None, [None] * len(models)
        try:
            union = sorted(set().union(*(labels.tolist() for labels in known)))
        except TypeError as error:
            kinds = sorted({str(labels.dtype) for labels in known})
            raise ValueError(
                f"The classifiers' labels cannot be ordered together: received labels of "
                f"types {kinds}, expected one type."
            ) from error
        classes = known[0] if known[0].tolist() == union else np.array(union)
    position = {label: column for column, label in enumerate(classes.tolist())}
    columns: list[np.ndarray | None] = []
    for model in models:
        labels = [] if model.classes is None else model.classes.tolist()
        unknown = [label for label in labels if label not in position]
        if unknown:
            raise ValueError(
                f"A classifier knows the labels {unknown}, expected labels among "
                f"classes={classes.tolist()}."
            )
        same = model.classes is None or labels == list(position)
        columns.append(None if same else np.array([position[label] for label in labels]))
    return classes, columns


def spread_columns(probabilities, columns, classes) -> np.ndarray:
    """Put probabilities into their columns among all classes; zero for classes never seen."""
    if columns is None:
        return probabilities
    spread = np.zeros((len(probabilities), len(classes)))
    spread[:, columns] = probabilities
    return spread
