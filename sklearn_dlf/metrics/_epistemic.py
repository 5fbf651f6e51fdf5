"""Epistemic uncertainty of students and ensembles alike, for figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier

from .._estimators.unwrap import find_student
from .._estimators.wrapped_students import predict_uncertainty, sample_predictions
from ..ensembles import ensemble_kind, member_predictions
from ._scores import mutual_information

# Number of members drawn for their standard deviation if a student's target was transformed, for
# which there is no closed form. 200 was chosen: the relative standard error of a normal sample's
# standard deviation is then about 1 / sqrt(2 * 200) = 5 %.
N_DRAWS = 200


def epistemic_uncertainty(estimator: Any, X: ArrayLike) -> tuple[np.ndarray, str]:
    """Epistemic uncertainty of a student or ensemble at rows, and the kind of its members.

    It is the mutual information of class and member in nats for classifiers, and the members'
    standard deviation in units of y for regressors.
    """
    try:
        student, transform, invert, _ = find_student(estimator)
    except TypeError:
        kind, members = ensemble_kind(estimator), member_predictions(estimator, X)
        uncertainty = mutual_information if kind == "classifier" else _standard_deviation
        return uncertainty(members), kind
    if is_classifier(student):
        return predict_uncertainty(estimator, X).epistemic, "classifier"
    if invert is None:
        return student.predict(transform(X), return_std=True)[1], "regressor"
    return _standard_deviation(sample_predictions(estimator, X, N_DRAWS, 0)), "regressor"


def _standard_deviation(members: np.ndarray) -> np.ndarray:
    """Standard deviation over members, the last axis."""
    return members.std(axis=-1, ddof=1)
