"""A student and its teacher, evaluated at the same rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from ..._estimators.dlf_regressor import DLFRegressor
from ..._estimators.unwrap import WrappedStudent, find_with_method
from ..._estimators.wrapped_students import sample_predictions
from ..._transfer.predictions_teacher import PredictionsTeacher
from ...ensembles import FittedEnsemble
from ...ensembles._class_columns import are_named_codes
from ...ensembles._fitted_ensemble import with_known_outputs
from ...ensembles._member_predictions import evaluate_members
from ...ensembles._members import Members
from ...ensembles._registry import describe_ensemble
from .._epistemic import N_DRAWS
from .._scores import mutual_information
from .row_covariance import RowCovariance, of_draws, of_moments

# Members drawn from the student for covariances over rows that have no closed form: a choice. The
# error of a correlation of two rows is then about 0.03.
N_COVARIANCE_DRAWS = 1000

# Most rows, and most entries (rows times outputs), between which covariances are compared. They
# were chosen so that draws take 32 MB at most.
MAX_COVARIANCE_ROWS, MAX_ENTRIES = 200, 4000


class Comparison(NamedTuple):
    """What student and teacher predict at n rows.

    Each part has the columns of one output of a regressor, or all classes of a classifier.

    Attributes
    ----------
    kind : {"regressor", "classifier"}
        What the members predict.
    members : ndarray (n, k, n_members)
        Values in units of y, or probabilities in the order of the student's classes.
    mean : ndarray (n, k)
        The student's mean of the members.
    spread, teacher_spread : ndarray (n, n_parts)
        Standard deviations in units of y, or mutual information in nats.
    rows : int ndarray (m,)
        Rows between which covariances are compared.
    covariances : list of RowCovariance
        The student's covariances between these rows, of each part.
    classes : ndarray or None
        The student's labels.
    """

    kind: str
    members: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    teacher_spread: np.ndarray
    rows: np.ndarray
    covariances: list[RowCovariance]
    classes: np.ndarray | None

    @property
    def parts(self) -> list[slice]:
        """The columns of each part: of each output, or all classes at once."""
        if self.kind == "classifier":
            return [slice(None)]
        return [slice(output, output + 1) for output in range(self.mean.shape[1])]


def spread_of(members: np.ndarray, kind: str) -> np.ndarray:
    """Return the spread (n, n_parts) of members (n, k, n_members)."""
    if kind == "classifier":
        return mutual_information(members)[:, None]
    return members.std(axis=-1, ddof=1)


def compare_at_rows(
    student: Any,
    ensemble: Any,
    X: Any,
    X_ensemble: Any,
    predictions: ArrayLike | list | None,
    random_state: np.random.RandomState,
) -> tuple[Comparison, Members]:
    """Evaluate student and teacher; raise for what cannot be compared."""
    wrapped = find_with_method(student, "sample_predictions", "a student")
    n_samples = _num_samples(X)
    if n_samples < 2:
        raise ValueError(
            f"X must have at least two rows, over which scores are computed; got {n_samples}."
        )
    kind = "classifier" if is_classifier(wrapped.student) else "regressor"
    if predictions is not None:
        ensemble = _as_ensemble(ensemble, predictions, kind, n_samples)
    elif ensemble is None:
        raise ValueError(
            "Neither `ensemble` nor `predictions` was given; expected the fitted teacher, or the "
            "predictions of its members at X."
        )
    described = describe_ensemble(with_known_outputs(ensemble, kind))
    if described.kind != kind:
        raise ValueError(
            f"The ensemble is one of {described.kind}s, and the student is a {kind}; expected a "
            f"{described.kind} as student, or an ensemble of {kind}s."
        )
    members = evaluate_members(described, _rows_of_ensemble(wrapped, X, X_ensemble))
    members = members if members.ndim == 3 else members[:, None]
    if len(members) != n_samples:
        raise ValueError(
            f"The ensemble was evaluated at {len(members)} rows and X has {n_samples}; expected "
            "the same rows in X_ensemble, in the form that the ensemble takes."
        )
    classes = None
    if kind == "classifier":
        classes = np.asarray(wrapped.student.classes_)
        members = members[:, _order_of_classes(described.classes, classes, members.shape[1])]
    mean, spread = _moments(student, wrapped, X)
    if mean.shape[1] != members.shape[1]:
        raise ValueError(
            f"The members have {members.shape[1]} outputs, and the student has {mean.shape[1]}; "
            "expected members of the kind that the student has learnt from."
        )
    rows = _choose_rows(n_samples, members.shape[1], random_state)
    covariances = _covariances(student, wrapped, _safe_indexing(X, rows), random_state)
    teacher_spread = spread_of(members, kind)
    compared = Comparison(kind, members, mean, spread, teacher_spread, rows, covariances, classes)
    return compared, described


def _as_ensemble(
    ensemble: Any, predictions: ArrayLike | list, kind: str, n_samples: int
) -> FittedEnsemble:
    """Return predictions (n, ..., n_members) as an ensemble that returns them at any rows."""
    if ensemble is not None:
        raise ValueError(
            "Both `ensemble` and `predictions` were given; expected one teacher. Pass None as "
            "`ensemble` to use the predictions."
        )
    values = PredictionsTeacher(predictions, n_samples).predictions
    outputs: Any = "probabilities" if kind == "classifier" else "values"
    return FittedEnsemble(lambda _: values, outputs=outputs, n_members=values.shape[-1])


def _rows_of_ensemble(wrapped: WrappedStudent, X: Any, X_ensemble: Any) -> Any:
    """Return the rows as the ensemble takes them."""
    if X_ensemble is None:
        return X
    return X_ensemble(wrapped.transform(X)) if callable(X_ensemble) else X_ensemble


def _order_of_classes(
    of_teacher: np.ndarray | None, of_student: np.ndarray, n_columns: int
) -> np.ndarray:
    """Return the teacher's columns in the order of the student's classes, or raise ValueError."""
    if n_columns != len(of_student):
        raise ValueError(
            f"The members have {n_columns} classes, and the student has {len(of_student)}: "
            f"{of_student.tolist()}; expected the same."
        )
    # Without labels, or where the student was fitted to codes of them, the order is the same.
    is_code = np.array_equal(of_student, np.arange(n_columns))
    if of_teacher is None or (is_code and np.asarray(of_teacher).dtype.kind in "OUST"):
        return np.arange(n_columns)
    if are_named_codes(of_teacher, of_student):
        raise ValueError(
            f"The ensemble has the codes {np.asarray(of_teacher).tolist()}, and the student the "
            f"labels {of_student.tolist()}. Say which label each code stands for: "
            "FittedEnsemble(models, classes=...), in the order of the codes."
        )
    positions = {label: column for column, label in enumerate(np.asarray(of_teacher).tolist())}
    missing = [label for label in of_student.tolist() if label not in positions]
    if missing:
        raise ValueError(
            f"The student's classes {missing} are none of the ensemble's, {list(positions)}; "
            "expected the same labels."
        )
    return np.array([positions[label] for label in of_student.tolist()])


def _moments(student: Any, wrapped: WrappedStudent, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the student's mean (n, k) and spread (n, n_parts)."""
    rows = wrapped.transform(X)
    if is_classifier(wrapped.student):
        spread = wrapped.student.predict_uncertainty(rows).epistemic
        return wrapped.student.predict_proba(rows), spread[:, None]
    if wrapped.invert is None:
        mean, std = wrapped.student.predict(rows, return_std=True)
    else:  # the moments of transformed members have no closed form
        draws = sample_predictions(student, X, N_DRAWS, 0)
        mean, std = draws.mean(axis=-1), draws.std(axis=-1, ddof=1)
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return mean.reshape(len(mean), -1), std.reshape(len(std), -1)


def _covariances(
    student: Any, wrapped: WrappedStudent, X: Any, random_state: np.random.RandomState
) -> list[RowCovariance]:
    """Return the student's covariances between rows, of each output or over all classes."""
    if isinstance(wrapped.student, DLFRegressor) and wrapped.invert is None:
        _, covariance = wrapped.student.predict(wrapped.transform(X), return_cov=True)
        covariance = covariance.reshape(*covariance.shape[:2], -1)
        return [of_moments(covariance[..., output]) for output in range(covariance.shape[2])]
    seed = random_state.randint(np.iinfo(np.int32).max)
    draws = sample_predictions(student, X, N_COVARIANCE_DRAWS, seed)
    draws = draws if draws.ndim == 3 else draws[:, None]
    if is_classifier(wrapped.student):
        return [of_draws(draws, random_state)]
    return [of_draws(draws[:, [output]], random_state) for output in range(draws.shape[1])]


def _choose_rows(n_samples: int, n_columns: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return the rows between which covariances are compared, in their order."""
    most = max(2, min(MAX_COVARIANCE_ROWS, MAX_ENTRIES // n_columns))
    if n_samples <= most:
        return np.arange(n_samples)
    return np.sort(random_state.choice(n_samples, most, replace=False))
