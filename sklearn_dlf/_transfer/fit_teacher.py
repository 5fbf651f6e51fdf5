"""Fits of an unfitted teacher, with weights of the rows where it can take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from .._utils.standardise import scale_weights
from .._utils.warning import warn_user

VOTING = VotingRegressor, VotingClassifier
STACKING = StackingRegressor, StackingClassifier


def fit_ensemble(prototype: Any, X: Any, y: Any, sample_weight: Any) -> Any:
    """Fit a clone of an unfitted ensemble, with weights if it takes weights."""
    ensemble = clone(prototype)
    name = None if sample_weight is None else name_of_weights(ensemble)
    if name is None:
        return ensemble.fit(X, y)
    return ensemble.fit(X, y, **{name: scale_weights(np.asarray(sample_weight))})


def warn_of_lost_weights(prototype: Any) -> None:
    """Warn if an unfitted ensemble takes no weights of rows."""
    if name_of_weights(prototype) is None:
        warn_user(
            f"sample_weight does not reach the ensemble: fit of {type(prototype).__name__}, or of "
            "what is inside it, takes no weights, so that it is fitted with equal ones. The "
            "student is trained with the weights given. Fit the ensemble before, as its own "
            "documentation says, and give it to fit."
        )


def name_of_weights(estimator: Any) -> str | None:
    """Return the argument of `fit` that takes weights of rows; None if there is none.

    scikit-learn's meta-estimators take any argument, and pass it on to what is inside.
    """
    is_meta = isinstance(estimator, VOTING + STACKING)  # scikit-learn 1.6 names the argument
    if not is_meta and has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if sklearn.get_config()["enable_metadata_routing"]:
        consumed = get_routing_for_object(estimator).consumes("fit", ["sample_weight"])
        return "sample_weight" if consumed else None
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = name_of_weights(last)
        return None if inner is None else f"{name}__{inner}"
    if is_meta:
        # what is inside gets all the same arguments
        inside = [each for _, each in estimator.estimators if not isinstance(each, str)]
        if isinstance(estimator, STACKING) and estimator.final_estimator is not None:
            inside.append(estimator.final_estimator)
        return "sample_weight" if {*map(name_of_weights, inside)} == {"sample_weight"} else None
    if isinstance(estimator, BaseSearchCV):
        return None if _replaces_estimators(estimator) else name_of_weights(estimator.estimator)
    if isinstance(estimator, TransformedTargetRegressor):
        inside = estimator.regressor
        return "sample_weight" if inside is None else name_of_weights(inside)
    return None


def _replaces_estimators(search: BaseSearchCV) -> bool:
    """Return whether candidates of a search are estimators, which may take no weights."""
    grids = getattr(search, "param_grid", None) or getattr(search, "param_distributions", None)
    grids = [grids] if isinstance(grids, dict) else grids or []
    candidates = [values for grid in grids for values in grid.values()]
    return any(
        hasattr(each, "fit")
        for values in candidates
        if isinstance(values, list | tuple)
        for each in values
    )
