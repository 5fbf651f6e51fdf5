"""Distil any fitted ensemble, its uncertainty included, into one small network."""

from ._classifier import DLFClassifier
from ._regressor import DLFRegressor
from ._through import predict_interval, sample_predictions, sample_y

__version__ = "0.1.0"

__all__ = ["DLFClassifier", "DLFRegressor", "predict_interval", "sample_predictions", "sample_y"]
