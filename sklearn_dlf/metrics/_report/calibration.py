"""Calibration of a student at observed values: intervals of y, or probabilities of classes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from ..._estimators.wrapped_students import predict_interval
from ..._rows.labels import check_labels, class_indicators, observed_values
from .._scorers import neg_nll_scorer
from .._scores import expected_calibration_error, interval_coverage
from .comparison import Comparison

# The mean of y is another one than the ensemble's from so many standard errors on, of as many rows.
LEVEL_ERRORS, LEVEL_ROWS = 4.0, 30


class Calibration(NamedTuple):
    """Scores at observed y; None where they do not exist.

    Attributes
    ----------
    targets : ndarray (n, k) or None
        Values of y, or labels as zeros and ones.
    coverage : ndarray (n_levels, n_outputs) or None
        Share of rows whose y lies in the student's interval.
    nll, teacher_nll, ece, teacher_ece : float or None
        Mean negative log density in nats, and expected calibration error. The teacher's are known
        of classifiers only.
    note : str or None
        Why something is missing.
    """

    targets: np.ndarray | None = None
    coverage: np.ndarray | None = None
    nll: float | None = None
    teacher_nll: float | None = None
    ece: float | None = None
    teacher_ece: float | None = None
    note: str | None = None


def calibrate_at(
    student: Any, compared: Comparison, X: Any, y: Any, levels: np.ndarray
) -> Calibration:
    """Score what the student says of y."""
    if y is None:
        return Calibration(note="No y was given, so that calibration is not known.")
    if compared.classes is not None:
        return _of_classes(compared, y, compared.classes)
    values = observed_values(y, *compared.mean.shape)
    try:
        intervals = [predict_interval(student, X, level) for level in levels]
    except NotFittedError:
        return Calibration(
            values,
            note="The student was fitted without y and has no intervals. Fit it with y, or call "
            "conformalize with held-out rows.",
        )
    shape = *values.shape, 2
    coverage = np.array(
        [
            [
                interval_coverage(values[:, k], ends.reshape(shape)[:, k])
                for k in range(values.shape[1])
            ]
            for ends in intervals
        ]
    )
    try:
        nll = -neg_nll_scorer(student, X, values)
    except (TypeError, NotFittedError):
        note = "The density of y is not known, and neither is its NLL: y is transformed outside "
        note += "the student, or the student was fitted without y."
        return Calibration(values, coverage, note=note)
    return Calibration(values, coverage, nll)


def note_on_level(compared: Comparison, targets: np.ndarray | None) -> list[str]:
    """Return a note if the mean of y is not that of the ensemble, as far as rows tell."""
    if targets is None or len(targets) < LEVEL_ROWS:
        return []
    mean = compared.members.mean(axis=-1)
    errors = targets - mean
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        std = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
        distance = np.where(std > 0, np.abs(errors.mean(axis=0)) / std, 0.0)
    worst = int(distance.argmax())
    if distance[worst] < LEVEL_ERRORS:
        return []
    if compared.classes is not None:
        what = f"frequency of class {compared.classes[worst]}"
    else:
        what = "mean of y" if len(distance) == 1 else f"mean of output {worst} of y"
    return [
        f"The {what} is {targets[:, worst].mean():.3g} at these rows, and the ensemble's "
        f"{mean[:, worst].mean():.3g}, {distance[worst]:.1f} standard errors away. A student that "
        "is faithful to it is as far off, and so are sums of what it predicts."
    ]


def _of_classes(compared: Comparison, y: Any, classes: np.ndarray) -> Calibration:
    labels = check_labels(y)
    if len(labels) != len(compared.mean):
        raise ValueError(
            f"y must have a label for each of the {len(compared.mean)} rows of X; got "
            f"{len(labels)}."
        )
    indicators = _indicators(labels, classes)
    codes = indicators.argmax(axis=1)
    scores = []
    for probabilities in (compared.mean, compared.members.mean(axis=-1)):
        scores.append(log_loss(codes, probabilities, labels=np.arange(len(classes))))
        scores.append(expected_calibration_error(codes, probabilities))
    nll, ece, teacher_nll, teacher_ece = scores
    return Calibration(indicators, None, nll, teacher_nll, ece, teacher_ece)


def _indicators(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return labels (n,) as zeros and ones (n, n_classes), or raise ValueError."""
    known = np.isin(labels, classes)
    if not known.all():
        raise ValueError(
            f"y has the labels {np.unique(labels[~known].astype(str)).tolist()}, which are no "
            f"classes of the student; its classes are {classes.tolist()}."
        )
    return class_indicators(labels, classes)
