"""Published baselines with the interface of our own estimators, to compare with."""

from ._batch_ensemble import BatchEnsembleRegressor
from ._hydra import HydraRegressor
from ._small_ensemble import SmallEnsembleRegressor

__all__ = ["BatchEnsembleRegressor", "HydraRegressor", "SmallEnsembleRegressor"]
