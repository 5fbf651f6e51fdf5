"""Types that look like ensembles but are refused, each with the reason and the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from skorch import NeuralNet
from torch.nn import Module

from ._registry import refuse_ensemble

_BOOSTED = (
    "it predicts the sum of its parts, and each part is fitted to the errors of those before it, "
    "so that no part is a model of y. Fit several such models with different seeds or bootstrap "
    "samples and pass them as a list, or bag them: BaggingRegressor(GradientBoostingRegressor()), "
    "or BaggingClassifier(GradientBoostingClassifier())."
)
_SUMMED_FOREST = (
    "it is a random forest whose library does not return the predictions of single trees. Pass a "
    "list of several with different seeds, or a forest of scikit-learn, such as "
    "RandomForestRegressor or RandomForestClassifier."
)


def _reason_for_lightgbm(model: Any) -> str:
    """Return the reason that applies: a parameter of LightGBM selects boosting or a forest."""
    is_forest = model.get_params().get("boosting_type") in ("rf", "random_forest")
    return _SUMMED_FOREST if is_forest else _BOOSTED


_REFUSALS: dict[str | Callable[[Any], str], tuple[type | str, ...]] = {
    _BOOSTED: (
        GradientBoostingRegressor,
        GradientBoostingClassifier,
        HistGradientBoostingRegressor,
        HistGradientBoostingClassifier,
        "xgboost.sklearn.XGBModel",
    ),
    _SUMMED_FOREST: ("xgboost.sklearn.XGBRFRegressor", "xgboost.sklearn.XGBRFClassifier"),
    _reason_for_lightgbm: ("lightgbm.sklearn.LGBMModel",),
    (
        "each of its members is fitted with emphasis on the rows that earlier members predicted "
        "badly, and the members are combined by a weighted median or vote. Pass a list of several "
        "AdaBoost models, or bag them: BaggingClassifier(AdaBoostClassifier())."
    ): (AdaBoostRegressor, AdaBoostClassifier),
    (
        "its final estimator combines the others with fitted coefficients. Pass a list of the "
        "models themselves, a VotingRegressor or VotingClassifier of them, or a list of several "
        "stacked models."
    ): (StackingRegressor, StackingClassifier),
    (
        "draws of its logits are not known: its posterior is an approximation, of which "
        "scikit-learn gives probabilities only. Pass draws of logits that you make yourself, by "
        "parameter_draws(model, draws, outputs='logits', classes=...), or bag it: "
        "BaggingClassifier(GaussianProcessClassifier())."
    ): (GaussianProcessClassifier,),
    (
        "it holds one model for each target. Pass a list of several (each is one member that "
        "predicts all targets), or an ensemble that fits all targets itself, such as "
        "RandomForestRegressor."
    ): (MultiOutputRegressor, MultiOutputClassifier, RegressorChain, ClassifierChain),
    (
        "it holds one model for each class, pair of classes or bit of a code. Pass a list of "
        "several (each is one member that predicts all classes), or bag it: "
        "BaggingClassifier(OneVsRestClassifier(...))."
    ): (OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier),
    (
        "it is one network. Pass a list of several; for torch modules, use "
        "FittedEnsemble([net, ...], outputs=...). If one network returns the outputs of all "
        "members, pass a callable that returns the members along the last axis: "
        "FittedEnsemble(callable, outputs=..., n_members=...)."
    ): (Module, NeuralNet),
}
for _reason, _types in _REFUSALS.items():
    for _refused in _types:
        refuse_ensemble(_refused, _reason)
