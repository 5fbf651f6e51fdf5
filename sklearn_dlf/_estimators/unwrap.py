"""Call a student that is inside other estimators: pipelines, searches, transformed targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted


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
    """

    student: Any
    transform: Callable[[Any], Any] = lambda X: X
    invert: Callable[[np.ndarray], np.ndarray] | None = None


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
        return inner._replace(invert=_chain_inversion(inner.invert, estimator.transformer_))
    raise TypeError(
        f"No student was found in {type(estimator).__name__}; expected DLFRegressor, "
        "DLFClassifier or another estimator with sample_predictions, or a Pipeline that ends in "
        "one, a search over one (such as GridSearchCV), a TransformedTargetRegressor or a "
        "FrozenEstimator around one."
    )


def sample_predictions(
    estimator: Any,
    X: ArrayLike,
    n_samples: int = 1,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Draw members from a student, which may be inside other estimators.

    Parameters
    ----------
    estimator : fitted estimator
        A student, or a pipeline, search, ``TransformedTargetRegressor`` or ``FrozenEstimator``
        around one. They may be nested.

    X : array-like or DataFrame with n_rows rows
        Rows as `estimator` takes them.

    n_samples : int, default=1
        Number of members to draw.

    random_state : int, RandomState instance or None, default=None
        Determines the draws, as in the student's method.

    Returns
    -------
    ndarray of shape (n_rows, n_samples), (n_rows, n_outputs, n_samples) or, from a classifier, \
(n_rows, n_classes, n_samples)
        Predictions of each member in units of y, or its probabilities. If the target was
        transformed, each draw is transformed back.

    Raises
    ------
    TypeError
        If there is no student in `estimator`.

    NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    sample_y : Draws of y, noise of y included.
    predict_uncertainty : Uncertainty of a classifier.

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
    wrapped = _find_with_method(estimator, "sample_predictions", "a student")
    values = wrapped.student.sample_predictions(
        wrapped.transform(X), n_samples=n_samples, random_state=random_state
    )
    return values if wrapped.invert is None else wrapped.invert(values)


def sample_y(
    estimator: Any,
    X: ArrayLike,
    n_samples: int = 1,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Draw values of y from a regressor, which may be inside other estimators.

    Parameters
    ----------
    estimator, X, n_samples, random_state
        As in :func:`sample_predictions`.

    Returns
    -------
    ndarray of shape (n_rows, n_samples) or (n_rows, n_outputs, n_samples)
        Draws in units of y. If the target was transformed, each draw is transformed back.

    Raises
    ------
    TypeError
        If there is no student in `estimator`, or the student is a classifier.

    NotFittedError
        If `estimator` is not fitted, or was fitted without y.

    See Also
    --------
    predict_quantiles : Quantiles of y, without draws.

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
    wrapped = _find_with_method(estimator, "sample_y", "a regressor")
    values = wrapped.student.sample_y(
        wrapped.transform(X), n_samples=n_samples, random_state=random_state
    )
    return values if wrapped.invert is None else wrapped.invert(values)


def predict_quantiles(
    estimator: Any, X: ArrayLike, quantiles: ArrayLike = (0.05, 0.5, 0.95)
) -> np.ndarray:
    """Quantiles of y from a regressor, which may be inside other estimators.

    If the target was transformed, the quantiles are transformed back. That is exact if the
    transformation of each output is monotone, increasing or decreasing, and involves no other
    output.

    Parameters
    ----------
    estimator : fitted estimator
        As in :func:`sample_predictions`.

    X : array-like or DataFrame with n_samples rows
        Rows as `estimator` takes them.

    quantiles : array-like of shape (n_quantiles,), default=(0.05, 0.5, 0.95)
        Levels, strictly between 0 and 1.

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
        Quantiles in units of y, in the order of the levels.

    Raises
    ------
    TypeError
        If there is no student in `estimator`, or the student is a classifier.

    NotFittedError
        If `estimator` is not fitted, or was fitted without y.

    ValueError
        If a level is not between 0 and 1.

    See Also
    --------
    predict_interval : A central interval of y.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf import DLFRegressor, predict_quantiles
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_samples=60, random_state=0)
    >>> student = DLFRegressor(RandomForestRegressor(10), q=2, n_epochs=5, random_state=0)
    >>> model = TransformedTargetRegressor(student, func=np.log, inverse_func=np.exp)
    >>> model = model.fit(data.X, np.exp(data.y))
    >>> predict_quantiles(model, data.X, [0.1, 0.5, 0.9]).shape
    (60, 3)
    """
    wrapped = _find_with_method(estimator, "predict_quantiles", "a regressor")
    student, rows = wrapped.student, wrapped.transform(X)
    if wrapped.invert is None:
        return student.predict_quantiles(rows, quantiles)
    levels = np.atleast_1d(np.asarray(quantiles, dtype=np.float64))
    # A decreasing transformation maps the (1 - p)-quantile of the transformed target to the
    # p-quantile of y; an increasing one maps the p-quantile to it. So the levels p and 1 - p are
    # both transformed back, and their order tells which of the two is the p-quantile.
    at_level = wrapped.invert(student.predict_quantiles(rows, levels))
    at_opposite = wrapped.invert(student.predict_quantiles(rows, 1 - levels))
    return np.where(
        levels < 0.5, np.minimum(at_level, at_opposite), np.maximum(at_level, at_opposite)
    )


def predict_interval(estimator: Any, X: ArrayLike, confidence_level: float = 0.9) -> np.ndarray:
    """Central interval of y from a regressor, which may be inside other estimators.

    If the target was transformed, the ends are transformed back. That is exact under the conditions
    of :func:`predict_quantiles`.

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
        If there is no student in `estimator`, or the student is a classifier.

    NotFittedError
        If `estimator` is not fitted, or was fitted without y.

    ValueError
        If the level is not between 0 and 1.

    See Also
    --------
    predict_quantiles : Quantiles of y at any levels.

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
    wrapped = _find_with_method(estimator, "predict_interval", "a regressor")
    ends = wrapped.student.predict_interval(wrapped.transform(X), confidence_level=confidence_level)
    ends = ends if wrapped.invert is None else wrapped.invert(ends)
    return np.sort(ends, axis=-1)  # a decreasing transformation swaps the ends


def predict_uncertainty(estimator: Any, X: ArrayLike) -> Bunch:
    """Uncertainty of a classifier, which may be inside other estimators.

    Parameters
    ----------
    estimator : fitted estimator
        A student that is a classifier, or a pipeline, search or ``FrozenEstimator`` around one.

    X : array-like or DataFrame with n_samples rows
        Rows as `estimator` takes them.

    Returns
    -------
    Bunch
        In nats, each (n_samples,): ``total``, the entropy of the averaged probabilities;
        ``aleatoric``, the mean entropy of the members' probabilities; ``epistemic``, their
        difference, which is the mutual information of class and member.

    Raises
    ------
    TypeError
        If there is no student in `estimator`, or the student is a regressor.

    NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    sample_predictions : Probabilities of single members.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_dlf import DLFClassifier, predict_uncertainty
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(10)
    >>> student = DLFClassifier(forest, q=2, augment=None, n_epochs=2, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), student).fit(X, y)
    >>> uncertainty = predict_uncertainty(pipeline, X)
    >>> uncertainty.total.shape, uncertainty.epistemic.shape
    ((150,), (150,))
    """
    wrapped = _find_with_method(
        estimator,
        "predict_uncertainty",
        "a classifier. For a regressor, predict(X, return_std=True) returns the spread of the "
        "members, and predict_quantiles the quantiles of y",
    )
    return wrapped.student.predict_uncertainty(wrapped.transform(X))


def _find_with_method(estimator: Any, method: str, expected: str) -> WrappedStudent:
    """Find the fitted student inside an estimator, and check that it has a method."""
    wrapped = find_student(estimator)
    if not hasattr(wrapped.student, method):
        raise TypeError(
            f"{type(wrapped.student).__name__} has no method {method}; expected {expected}."
        )
    check_is_fitted(wrapped.student)
    return wrapped


def _chain_inversion(
    invert_inner: Callable[[np.ndarray], np.ndarray] | None, transformer: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that undoes the inner transformation of y first, then the outer one."""

    def invert(values: np.ndarray) -> np.ndarray:
        values = values if invert_inner is None else invert_inner(values)
        outputs_last = np.moveaxis(values[:, None] if values.ndim == 2 else values, 1, -1)
        columns = outputs_last.reshape(-1, outputs_last.shape[-1])  # transformers take matrices
        columns = np.asarray(transformer.inverse_transform(columns))
        inverted = np.moveaxis(columns.reshape(*outputs_last.shape[:-1], -1), -1, 1)
        return inverted[:, 0] if values.ndim == 2 else inverted

    return invert
