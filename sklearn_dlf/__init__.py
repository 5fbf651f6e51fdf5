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
from ._export.arrays import load_student, save_student
from ._version import __version__ as __version__

__all__ = [
    "DLFClassifier",
    "DLFRegressor",
    "conformalize",
    "load_student",
    "predict_interval",
    "predict_quantiles",
    "predict_uncertainty",
    "sample_predictions",
    "sample_y",
    "save_student",
]
