"""Extractors of estimators that wrap an ensemble: the members are those of the ensemble inside."""

from __future__ import annotations

from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import Pipeline

from .._predictive.transformed_target import TargetTransformer
from ._members import Members, back_transformed
from ._registry import describe_ensemble, register_ensemble


def _pipeline(pipeline: Pipeline) -> Members:
    """Transform the rows once, then evaluate the members of the last step."""
    members = describe_ensemble(pipeline.steps[-1][1])
    return members.through(before=pipeline[:-1].transform) if len(pipeline) > 1 else members


def _search(search: Any) -> Members:
    """Describe the best estimator, which a search keeps with refit=True only."""
    if not hasattr(search, "best_estimator_"):
        raise ValueError(
            f"{type(search).__name__} was fitted with refit={search.refit!r} and keeps no "
            "estimator, expected a search with refit=True."
        )
    return describe_ensemble(search.best_estimator_)


def _transformed_target(regressor: TransformedTargetRegressor) -> Members:
    """Transform the outputs of each member back to the unit of `y`.

    The regressor itself transforms the mean over members back. Under a nonlinear transformation
    the mean of the transformed members differs from it.
    """
    members = describe_ensemble(regressor.regressor_)
    return back_transformed(members, TargetTransformer(regressor.transformer_))


register_ensemble(Pipeline, _pipeline)
register_ensemble(GridSearchCV, _search)
register_ensemble(RandomizedSearchCV, _search)
# Registered by name: an import of successive halving requires scikit-learn's experimental switch.
register_ensemble(
    "sklearn.model_selection._search_successive_halving.BaseSuccessiveHalving", _search
)
register_ensemble(TransformedTargetRegressor, _transformed_target)
register_ensemble(FrozenEstimator, lambda frozen: describe_ensemble(frozen.estimator))
# The threshold changes the predicted labels only. Members are evaluated by their probabilities.
for _type in (FixedThresholdClassifier, TunedThresholdClassifierCV):
    register_ensemble(_type, lambda classifier: describe_ensemble(classifier.estimator_))
