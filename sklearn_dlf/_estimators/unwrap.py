"""Ask a student that is inside other estimators: pipelines, searches, transformed targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted


class Reached(NamedTuple):
    """A student, what its rows have to pass, and what brings its outputs back to units of y."""

    student: Any
    transform: Callable = lambda X: X
    invert: Callable | None = None


def reach_student(estimator) -> Reached:
    """Find the student behind an estimator, or say why there is none.

    A student is whatever has ``sample_predictions``. ``invert`` takes values (n, ...) or
    (n, n_outputs, ...), or is None where they are in units of y already.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise TypeError(f"A fitted estimator is expected; got {estimator!r}.")
    if hasattr(estimator, "sample_predictions"):
        return Reached(estimator)
    if isinstance(estimator, Pipeline):
        inner = reach_student(estimator.steps[-1][1])
        if len(estimator) == 1:
            return inner
        return inner._replace(transform=lambda X: inner.transform(estimator[:-1].transform(X)))
    if isinstance(estimator, FrozenEstimator):
        return reach_student(estimator.estimator)
    if isinstance(estimator, BaseSearchCV):
        if not estimator.refit:
            raise TypeError(
                f"{type(estimator).__name__} was given refit={estimator.refit!r} and keeps no "
                "fitted estimator; expected a search with refit=True."
            )
        check_is_fitted(estimator, "best_estimator_")
        return reach_student(estimator.best_estimator_)
    if isinstance(estimator, TransformedTargetRegressor):
        check_is_fitted(estimator, "regressor_")
        inner = reach_student(estimator.regressor_)
        return inner._replace(invert=_then_invert(inner, estimator.transformer_))
    raise TypeError(
        f"No student is reached through {type(estimator).__name__}; expected DLFRegressor or "
        "another estimator with sample_predictions, or a Pipeline that ends in one, a search over "
        "one (such as GridSearchCV), a TransformedTargetRegressor or a FrozenEstimator around one."
    )


def sample_predictions(estimator, X, n_samples=1, random_state=None):
    """Draw members from a student, however deep it is wrapped.

    Parameters
    ----------
    estimator : fitted estimator
        A student, or a pipeline, search, ``TransformedTargetRegressor`` or ``FrozenEstimator``
        around one.

    X : array-like or DataFrame with n_rows rows
        Rows as `estimator` takes them.

    n_samples : int, default=1
        Members to draw.

    random_state : int, RandomState instance or None, default=None
        As in the student's method.

    Returns
    -------
    ndarray of shape (n_rows, n_samples), (n_rows, n_outputs, n_samples) or, from a classifier, \
(n_rows, n_classes, n_samples)
        Predictions of each member, in units of y (each draw is inverted where the target was
        transformed), or its probabilities.

    Raises
    ------
    TypeError
        If there is no student behind `estimator`.

    NotFittedError
        If it is not fitted.

    See Also
    --------
    predict_interval : Intervals of y.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sklearn_dlf import DLFRegressor, sample_predictions
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_samples=60, random_state=0)
    >>> student = DLFRegressor(q=3, n_epochs=5, random_state=0)
    >>> pipeline = make_pipeline(PolynomialFeatures(2), student)
    >>> pipeline = pipeline.fit(data.X, data.y, dlfregressor__predictions=data.predictions)
    >>> sample_predictions(pipeline, data.X, n_samples=5, random_state=0).shape
    (60, 5)
    """
    return _ask(estimator, X, "sample_predictions", n_samples=n_samples, random_state=random_state)


def sample_y(estimator, X, n_samples=1, random_state=None):
    """Draw values of y from a student, however deep it is wrapped.

    Parameters
    ----------
    estimator, X, n_samples, random_state
        As in :func:`sample_predictions`.

    Returns
    -------
    ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
        In units of y; each draw is inverted where the target was transformed.

    Raises
    ------
    TypeError
        If there is no student behind `estimator`, or it is one of classifiers.

    NotFittedError
        If it is not fitted, or was fitted without y.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn_dlf import DLFRegressor, sample_y
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_samples=60, random_state=0)
    >>> student = DLFRegressor(q=3, n_epochs=5, random_state=0)
    >>> student = student.fit(data.X, data.y, predictions=data.predictions)
    >>> sample_y(FrozenEstimator(student), data.X, n_samples=5, random_state=0).shape
    (60, 5)
    """
    return _ask(estimator, X, "sample_y", n_samples=n_samples, random_state=random_state)


def predict_interval(estimator, X, confidence_level=0.9):
    """Central interval of y from a student, however deep it is wrapped.

    Where the target was transformed, the ends are transformed back, which is exact if each output
    is transformed by itself.

    Parameters
    ----------
    estimator : fitted estimator
        As in :func:`sample_predictions`.

    X : array-like or DataFrame with n_samples rows
        Rows as `estimator` takes them.

    confidence_level : float, default=0.9
        Probability that y lies in the interval, strictly between 0 and 1.

    Returns
    -------
    ndarray of shape (n_samples, 2) or (n_samples, n_outputs, 2)
        Lower and upper end, in units of y.

    Raises
    ------
    TypeError
        If there is no student behind `estimator`, or it is one of classifiers.

    NotFittedError
        If it is not fitted, or was fitted without y.

    ValueError
        If the level is not between 0 and 1.

    Examples
    --------
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_dlf import DLFRegressor, predict_interval
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_samples=60, random_state=0)
    >>> student = DLFRegressor(RandomForestRegressor(10), q=2, n_epochs=5, random_state=0)
    >>> model = TransformedTargetRegressor(student, transformer=StandardScaler())
    >>> predict_interval(model.fit(data.X, data.y), data.X, confidence_level=0.8).shape
    (60, 2)
    """
    ends = _ask(estimator, X, "predict_interval", confidence_level=confidence_level)
    return np.sort(ends, axis=-1)  # a falling transformation turns them round


def _ask(estimator, X, method, **arguments):
    """Call a method of the student behind an estimator; values in units of y."""
    student, transform, invert = reach_student(estimator)
    if not hasattr(student, method):
        raise TypeError(f"{type(student).__name__} has no {method}; expected a regressor.")
    check_is_fitted(student)
    values = getattr(student, method)(transform(X), **arguments)
    return values if invert is None else invert(values)


def _then_invert(inner, transformer):
    """Undo what was done to the target inside, then the transformation outside."""

    def invert(values):
        values = values if inner.invert is None else inner.invert(values)
        outputs_last = np.moveaxis(values[:, None] if values.ndim == 2 else values, 1, -1)
        columns = outputs_last.reshape(-1, outputs_last.shape[-1])  # transformers take matrices
        columns = np.asarray(transformer.inverse_transform(columns))
        inverted = np.moveaxis(columns.reshape(*outputs_last.shape[:-1], -1), -1, 1)
        return inverted[:, 0] if values.ndim == 2 else inverted

    return invert
