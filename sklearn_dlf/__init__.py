"""Distil any fitted ensemble, its uncertainty included, into one small network."""

from ._estimators.dlf_classifier import DLFClassifier
from ._estimators.dlf_regressor import DLFRegressor
from ._estimators.wrapped_students import (
    conformalize,
    predict_interval,
    predict_quantiles,
    predict_uncertainty,
    sample_predictions,
    sample_y,
)

__version__ = "0.1.0"

__all__ = [
    "DLFClassifier",
    "DLFRegressor",
    "conformalize",
    "predict_interval",
    "predict_quantiles",
    "predict_uncertainty",
    "sample_predictions",
    "sample_y",
]
