"""Estimators around an ensemble: look through them; and what only looks like an ensemble."""

from __future__ import annotations

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import Pipeline
from skorch import NeuralNet
from torch.nn import Module

from ._registry import Members, describe_ensemble, refuse_ensemble, register_ensemble


def _pipeline(pipeline) -> Members:
    """Transform the rows once, then ask the members of the last step."""
    members = describe_ensemble(pipeline.steps[-1][1])
    return members.through(before=pipeline[:-1].transform) if len(pipeline) > 1 else members


def _search(search) -> Members:
    if not hasattr(search, "best_estimator_"):
        raise ValueError(
            f"{type(search).__name__} was fitted with refit={search.refit!r} and keeps no "
            "estimator, expected a search with refit=True."
        )
    return describe_ensemble(search.best_estimator_)


def _transformed_target(regressor) -> Members:
    """Bring each member back to the unit of `y`.

    Where the transformation bends, the mean of the members is not the regressor's own
    prediction, which brings back the mean.
    """

    def invert(output):
        output = np.asarray(output)
        columns = output.reshape(len(output), -1)  # transformers want two dimensions
        return regressor.transformer_.inverse_transform(columns)

    return describe_ensemble(regressor.regressor_).through(after=invert)


register_ensemble(Pipeline, _pipeline)
register_ensemble(GridSearchCV, _search)
register_ensemble(RandomizedSearchCV, _search)
# Successive halving cannot be imported without scikit-learn's switch for experiments.
register_ensemble(
    "sklearn.model_selection._search_successive_halving.BaseSuccessiveHalving", _search
)
register_ensemble(TransformedTargetRegressor, _transformed_target)
register_ensemble(FrozenEstimator, lambda frozen: describe_ensemble(frozen.estimator))
for _type in (FixedThresholdClassifier, TunedThresholdClassifierCV):  # labels only: not asked
    register_ensemble(_type, lambda classifier: describe_ensemble(classifier.estimator_))

_BOOSTED = (
    "its parts are added up, each correcting those before it, so that none is a model of y. Fit "
    "several with different seeds or bootstrap samples and give them as a list, or bag them: "
    "BaggingRegressor(GradientBoostingRegressor())."
)
_SUMMED_FOREST = (
    "it is a random forest whose library hands out no trees that predict y one by one. Give a "
    "list of several with different seeds, or a forest of scikit-learn, such as "
    "RandomForestRegressor or RandomForestClassifier."
)


def _why_lightgbm(model):
    """LightGBM chooses between boosting and a random forest by a parameter."""
    is_forest = model.get_params().get("boosting_type") in ("rf", "random_forest")
    return _SUMMED_FOREST if is_forest else _BOOSTED


_REFUSALS = {
    _BOOSTED: (
        GradientBoostingRegressor,
        GradientBoostingClassifier,
        HistGradientBoostingRegressor,
        HistGradientBoostingClassifier,
        "xgboost.sklearn.XGBModel",
    ),
    _SUMMED_FOREST: ("xgboost.sklearn.XGBRFRegressor", "xgboost.sklearn.XGBRFClassifier"),
    _why_lightgbm: ("lightgbm.sklearn.LGBMModel",),
    (
        "its members were fitted to the rows that those before them got wrong, and are combined "
        "by a weighted median or vote. Give a list of several AdaBoost models, or bag them: "
        "BaggingClassifier(AdaBoostClassifier())."
    ): (AdaBoostRegressor, AdaBoostClassifier),
    (
        "its final estimator weighs the others by fitted coefficients. Give a list of the models "
        "themselves or a VotingRegressor or VotingClassifier of them, or a list of several "
        "stacked models."
    ): (StackingRegressor, StackingClassifier),
    (
        "it holds one model for each target. Give a list of several (each is one member with all "
        "targets), or an ensemble that fits all targets itself, such as RandomForestRegressor."
    ): (MultiOutputRegressor, MultiOutputClassifier, RegressorChain, ClassifierChain),
    (
        "it holds one model for each class, pair of classes or bit of a code. Give a list of "
        "several (each is one member with all classes), or bag it: "
        "BaggingClassifier(OneVsRestClassifier(...))."
    ): (OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier),
    (
        "it is one network. Give a list of several, FittedEnsemble([net, ...], outputs=...) for "
        "torch modules; where one network returns all members at once, give a callable that "
        "puts them last: FittedEnsemble(callable, outputs=..., n_members=...)."
    ): (Module, NeuralNet),
}
for _reason, _types in _REFUSALS.items():
    for _refused in _types:
        refuse_ensemble(_refused, _reason)
