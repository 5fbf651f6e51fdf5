"""Columns of rows, matched with those that a model was fitted with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse, isspmatrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from .._utils.numbers import numeric_array

# Writes the name of a column as a library records it, given the name and its position.
Spelling = Callable[[Any, int], Any]


def type_name(cls: type) -> str:
    """Return the qualified name of a class, without the module for builtins."""
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def is_of_type(model: Any, name: str) -> bool:
    """Return whether a model is of the type of that qualified name, which is not imported."""
    return any(type_name(base) == name for base in type(model).__mro__)


def is_catboost(model: Any) -> bool:
    """Return whether a model is one of CatBoost."""
    return is_of_type(model, _CATBOOST)


def fitted_column_names(model: Any) -> list[str] | None:
    """Return the names of the columns a model was fitted with; None if it was fitted on arrays."""
    names = _recorded_names(model)
    return None if names is None or _are_numbered(model, names) else names


def match_columns(model: Any, X: Any) -> Any:
    """Return `X` as the model expects it: with names if it was fitted with names, else an array.

    Columns of a frame are matched by name. Where a library writes names in another way, as LightGBM
    writes blanks as underscores, names that it writes alike match.
    """
    X = _as_strings(model, X)
    names = _recorded_names(model)
    columns = getattr(X, "columns", None)
    if names is not None and _are_numbered(model, names):
        # Numbers for names: of arrays, or of a frame with such names, which is then matched.
        is_frame = columns is not None
        written = sorted(map(str, _spelled(columns, _spelling(model)))) if is_frame else []
        if written != sorted(names) and (is_frame or not hasattr(model, "feature_names_in_")):
            names = None
    n_expected = getattr(model, "n_features_in_", 0) or None  # 0 in CatBoost models from a file
    if names is not None and columns is not None:
        return _select_columns(model, X, names)
    # Images have more dimensions. scikit-learn records the second of any rows.
    if n_expected is not None and np.shape(X)[1:2] != (n_expected,):
        raise ValueError(
            f"X has shape {np.shape(X)}, but {type(model).__name__} was fitted with "
            f"{n_expected} features, expected (n_samples, {n_expected})."
        )
    if columns is not None:
        return X if n_expected is None else _without_names(X)
    if names is not None and isinstance(X, np.ndarray):
        return _name_columns(X, names)
    if issparse(X) and _spelling(model) is not None:
        # LightGBM and CatBoost know matrices of scipy, but neither its arrays nor all formats.
        return X if isspmatrix(X) and X.format in ("csr", "csc") else csr_matrix(X)
    return X


def _as_strings(model: Any, X: Any) -> Any:
    """Return a single column as a sequence for a model that reads sequences of strings only.

    A vectoriser of texts would take the names of the columns of a frame for its texts.
    """
    if len(getattr(X, "shape", ())) != 2 or X.shape[1] != 1:
        return X
    try:
        tags = get_tags(_first_reader(model)).input_tags
    except (AttributeError, TypeError, ValueError):  # not all models have tags
        return X
    if not tags.string or tags.two_d_array:
        return X
    return X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]


def _first_reader(model: Any) -> Any:
    """Return the part of a fitted wrapper that reads its rows first; the model if it is none."""
    for part in _parts_with_its_columns(model):
        return _first_reader(part)
    return model


def _recorded_names(model: Any) -> list[str] | None:
    """Return the names that a model has recorded, numbers of columns included."""
    names = getattr(model, "feature_names_in_", None)
    if names is None and is_catboost(model):
        names = model.feature_names_
    if names is None:  # LightGBM; before version 4.5 it has no other names
        names = getattr(model, "feature_name_", None)
    if names is None:
        for part in _parts_with_its_columns(model):
            return _recorded_names(part)
    return None if names is None else list(names)


def _are_numbered(model: Any, names: list[str]) -> bool:
    """Return whether names are those that the model's library gives the columns of arrays."""
    return any(
        is_of_type(part, library) and names == [prefix + str(i) for i in range(len(names))]
        for part in _nested(model)
        for library, prefix in _NUMBERED.items()
    )


def _parts_with_its_columns(model: Any) -> Iterator[Any]:
    """Yield the fitted part of a wrapper that gets the rows of the wrapper as they are."""
    if isinstance(model, Pipeline):
        steps = [step for _, step in model.steps if step not in ("passthrough", None)]
        yield from steps[:1]
    elif isinstance(model, FeatureUnion):
        yield from (part for _, part in model.transformer_list[:1])
    elif isinstance(model, _COMBINED):
        yield from getattr(model, "estimators_", [])[:1]
    elif isinstance(model, CalibratedClassifierCV):
        yield from (c.estimator for c in getattr(model, "calibrated_classifiers_", [])[:1])
    for wrapper, name in _WRAPPED.items():
        if isinstance(model, wrapper) and hasattr(model, name):
            yield getattr(model, name)


#: Several models that get the rows as they are, and whose first one gives its names to all.
_COMBINED = (
    VotingRegressor,
    VotingClassifier,
    StackingRegressor,
    StackingClassifier,
    MultiOutputRegressor,
    MultiOutputClassifier,
    OneVsRestClassifier,
)

#: Where wrappers keep the fitted model that gets their rows. `estimator_` of others is not fitted.
_WRAPPED = {
    BaseSearchCV: "best_estimator_",
    TransformedTargetRegressor: "regressor_",
    FixedThresholdClassifier: "estimator_",
    TunedThresholdClassifierCV: "estimator_",
    FrozenEstimator: "estimator",
}


def _nested(model: Any) -> Iterator[Any]:
    """Yield a model, and the parts of wrappers that get its rows."""
    yield model
    for part in _parts_with_its_columns(model):
        yield from _nested(part)


_LIGHTGBM = "lightgbm.sklearn.LGBMModel"
_CATBOOST = "catboost.core.CatBoost"

#: What precedes the number in the names that libraries give the columns of arrays.
_NUMBERED = {_LIGHTGBM: "Column_", _CATBOOST: ""}

#: How libraries write the names of columns. scikit-learn records names as they are.
_SPELLINGS: dict[str, Spelling] = {
    _LIGHTGBM: lambda name, _: str(name).replace(" ", "_"),
    "xgboost.sklearn.XGBModel": lambda name, _: (
        " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    ),
    _CATBOOST: lambda name, position: str(name) or str(position),
}


def _spelling(model: Any) -> Spelling | None:
    """Return how the model that recorded the names writes them; None if it keeps them.

    A wrapper may copy the names of the model inside. If it recorded them itself, they are among
    those that are written alike.
    """
    for part in _nested(model):
        for name, spell in _SPELLINGS.items():
            if is_of_type(part, name):
                return spell
    return None


def _spelled(names: Any, spell: Spelling | None) -> list:
    return list(names) if spell is None else [spell(name, i) for i, name in enumerate(names)]


def _plain(names: Sequence[Any]) -> list:
    """Return names for a message, without their types of NumPy."""
    return [str(name) if isinstance(name, str) else name for name in names]


def _select_columns(model: Any, X: Any, names: list[str]) -> Any:
    """Select the columns of a DataFrame by name, in the order the model was fitted with."""
    received = list(X.columns)
    if received == names and len(set(names)) == len(names):
        return X
    spell = _spelling(model)
    wanted, written = _spelled(names, spell), _spelled(received, spell)
    positions: dict[Any, list[int]] = {}
    for position, name in enumerate(written):
        positions.setdefault(name, []).append(position)
    missing = [name for name, key in zip(names, wanted, strict=True) if key not in positions]
    if missing:
        raise ValueError(
            f"X lacks columns that {type(model).__name__} was fitted with: received "
            f"{_plain(received)}, expected {_plain(names)}, missing {_plain(missing)}. If a step "
            "before the student has replaced them, give fit the rows as the ensemble takes them by "
            "X_ensemble."
        )
    several = [received[i] for key in wanted if len(positions[key]) > 1 for i in positions[key]]
    if several:
        raise ValueError(
            f"X has several columns for one that {type(model).__name__} was fitted with: "
            f"{_plain(several)}. Columns are found by name, so that one column is expected for "
            f"each of {_plain(names)}."
        )
    order = [positions[key][0] for key in wanted]
    if hasattr(X, "iloc"):
        return X if order == list(range(len(received))) else X.iloc[:, order]
    X = X[[received[i] for i in order]]
    if any(is_of_type(model, library) for library in _SPELLINGS):  # LightGBM 4.6 compares names
        X = X.rename({received[i]: name for i, name in zip(order, names, strict=True)})
    return X


def _without_names(X: Any) -> Any:
    """Return a DataFrame as an array, of numbers if all columns are numbers.

    It is for a model that was fitted without names, or on a frame whose names are no strings, which
    scikit-learn does not record. The latter finds categories in the types of the columns, so that
    it gets the frame.
    """
    try:
        return numeric_array(X)
    except TypeError:
        names_are_text = all(isinstance(name, str) for name in X.columns)
        return np.asarray(X) if names_are_text else X


def _name_columns(X: np.ndarray, names: list[str]) -> Any:
    """Return an array as a DataFrame with the names the model was fitted with.

    Some models find their columns by name.
    """
    try:
        import pandas as pd
    except ImportError:
        # The names came from another library. The array is used as it is; scikit-learn warns.
        return X
    return pd.DataFrame(X, columns=names, copy=False)
