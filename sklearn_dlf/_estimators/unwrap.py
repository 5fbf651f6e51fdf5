"""Find a student that is inside other estimators: pipelines, searches, transformed targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._predictive.transformed_target import TargetTransformer


class WrappedStudent(NamedTuple):
    """A student, and what the estimators around it do to rows and to y.

    Attributes
    ----------
    student : estimator
        The student itself.
    transform : callable
        Takes rows as the outermost estimator takes them, returns rows as the student takes them.
    invert : callable or None
        Takes values (n, ...) or (n, n_outputs, ...) in the student's units of y, returns them in
        units of y. None if y is not transformed.
    transform_target : callable
        Takes y (n,) or (n, n_outputs), returns it in the student's units.
    """

    student: Any
    transform: Callable[[Any], Any] = lambda X: X
    invert: Callable[[np.ndarray], np.ndarray] | None = None
    transform_target: Callable[[np.ndarray], np.ndarray] = lambda y: y

    def in_units_of_y(self, values: np.ndarray) -> np.ndarray:
        """Return values (n, ...) or (n, n_outputs, ...) of the student in units of y."""
        if self.invert is None:
            return values
        with np.errstate(over="ignore"):  # the end of an interval may be beyond float64
            return self.invert(values)


def find_student(estimator: Any) -> WrappedStudent:
    """Find the student inside an estimator; raise TypeError if there is none.

    An estimator that has ``sample_predictions`` counts as a student.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise TypeError(f"A fitted estimator is expected; got {estimator!r}.")
    if isinstance(estimator, FrozenEstimator):
        return find_student(estimator.estimator)
    if hasattr(estimator, "sample_predictions"):
        return WrappedStudent(estimator)
    if isinstance(estimator, Pipeline):
        inner = find_student(estimator.steps[-1][1])
        if len(estimator) == 1:
            return inner
        return inner._replace(transform=lambda X: inner.transform(estimator[:-1].transform(X)))
    if isinstance(estimator, BaseSearchCV):
        if not estimator.refit:
            raise TypeError(
                f"{type(estimator).__name__} was given refit={estimator.refit!r} and keeps no "
                "fitted estimator; expected a search with refit=True."
            )
        check_is_fitted(estimator, "best_estimator_")
        return find_student(estimator.best_estimator_)
    if isinstance(estimator, TransformedTargetRegressor):
        check_is_fitted(estimator, "regressor_")
        inner = find_student(estimator.regressor_)
        transformer = estimator.transformer_

        def transform_target(y: np.ndarray) -> np.ndarray:
            columns = transformer.transform(y.reshape(len(y), -1))  # transformers take matrices
            return inner.transform_target(np.asarray(columns))

        return inner._replace(
            invert=_chain_inversion(inner, transformer), transform_target=transform_target
        )
    raise TypeError(
        f"No student was found in {type(estimator).__name__}; expected DLFRegressor, "
        "DLFClassifier or another estimator with sample_predictions, or a Pipeline that ends in "
        "one, a search over one (such as GridSearchCV), a TransformedTargetRegressor or a "
        "FrozenEstimator around one."
    )


def find_with_method(estimator: Any, method: str, expected: str) -> WrappedStudent:
    """Find the fitted student inside an estimator, and check that it has a method."""
    wrapped = find_student(estimator)
    if not hasattr(wrapped.student, method):
        raise TypeError(
            f"{type(wrapped.student).__name__} has no method {method}; expected {expected}."
        )
    check_is_fitted(wrapped.student)
    return wrapped


def _chain_inversion(inner: WrappedStudent, transformer: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that undoes the inner transformation of y first, then the outer one."""

    def invert(values: np.ndarray) -> np.ndarray:
        values = inner.in_units_of_y(values)
        with_outputs = values[:, None] if values.ndim == 2 else values
        inverted = TargetTransformer(transformer).invert(with_outputs)
        return inverted[:, 0] if values.ndim == 2 else inverted

    return invert
