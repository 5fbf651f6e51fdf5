"""What can be a teacher: fitted ensembles, and how their members are asked."""

from . import _posterior_draws, _sklearn, _wrappers  # noqa: F401 (they register the built-in types)
from ._deep.estimators import DeepEnsembleClassifier, DeepEnsembleRegressor
from ._fitted_ensemble import FittedEnsemble
from ._member_predictions import member_predictions, unseen_rows
from ._registry import (
    Members,
    describe_ensemble,
    ensemble_kind,
    is_fitted_ensemble,
    register_ensemble,
)

__all__ = [
    "DeepEnsembleClassifier",
    "DeepEnsembleRegressor",
    "FittedEnsemble",
    "Members",
    "describe_ensemble",
    "ensemble_kind",
    "is_fitted_ensemble",
    "member_predictions",
    "register_ensemble",
    "unseen_rows",
]
