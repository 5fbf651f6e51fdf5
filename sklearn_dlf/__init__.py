"""Distil any fitted ensemble, its uncertainty included, into one small network."""

from ._classifier import DLFClassifier
from ._regressor import DLFRegressor

__version__ = "0.1.0"

__all__ = ["DLFClassifier", "DLFRegressor"]
