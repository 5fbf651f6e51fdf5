"""Ensembles that can be teachers, and the evaluation of their members."""

# Imported because they register the built-in types.
from . import _posterior_draws, _refused, _sklearn, _wrappers  # noqa: F401
from ._deep.classifier import DeepEnsembleClassifier
from ._deep.regressor import DeepEnsembleRegressor
from ._fitted_ensemble import FittedEnsemble
from ._member_predictions import member_predictions, unseen_rows
from ._members import Members
from ._parameter_draws import parameter_draws
from ._registry import (
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
    "parameter_draws",
    "register_ensemble",
    "unseen_rows",
]
