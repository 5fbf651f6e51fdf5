"""Published baselines with the interface of our own estimators, to compare with."""

from ._batch_ensemble import BatchEnsembleClassifier, BatchEnsembleRegressor
from ._dirichlet import DirichletClassifier
from ._hydra import HydraClassifier, HydraRegressor
from ._small_ensemble import SmallEnsembleClassifier, SmallEnsembleRegressor

__all__ = [
    "BatchEnsembleClassifier",
    "BatchEnsembleRegressor",
    "DirichletClassifier",
    "HydraClassifier",
    "HydraRegressor",
    "SmallEnsembleClassifier",
    "SmallEnsembleRegressor",
]
