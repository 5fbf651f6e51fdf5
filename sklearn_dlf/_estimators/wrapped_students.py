"""Functions that call a student which is inside other estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_array

from .._utils.numbers import without_dates
from .._utils.parameters import check_levels
from .unwrap import find_with_method


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
    predict_uncertainty : Uncertainty in its aleatoric and epistemic parts.

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
    wrapped = find_with_method(estimator, "sample_predictions", "a student")
    values = wrapped.student.sample_predictions(
        wrapped.transform(X), n_samples=n_samples, random_state=random_state
    )
    return wrapped.in_units_of_y(values)


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
    wrapped = find_with_method(estimator, "sample_y", "a regressor")
    values = wrapped.student.sample_y(
        wrapped.transform(X), n_samples=n_samples, random_state=random_state
    )
    return wrapped.in_units_of_y(values)


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
        If `estimator` is not fitted, or was fitted without y and not conformalized.

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
    wrapped = find_with_method(estimator, "predict_quantiles", "a regressor")
    student, rows = wrapped.student, wrapped.transform(X)
    if wrapped.invert is None:
        return student.predict_quantiles(rows, quantiles)
    levels = check_levels(quantiles, "quantiles")
    # A decreasing transformation maps the (1 - p)-quantile of the transformed target to the
    # p-quantile of y; an increasing one maps the p-quantile to it. So the levels p and 1 - p are
    # both transformed back, and their order tells which of the two is the p-quantile.
    at_level = wrapped.in_units_of_y(student.predict_quantiles(rows, levels))
    at_opposite = wrapped.in_units_of_y(student.predict_quantiles(rows, 1 - levels))
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
        Lower and upper end, in units of y. An end beyond what float64 can hold is infinite.

    Raises
    ------
    TypeError
        If there is no student in `estimator`, or the student is a classifier.

    NotFittedError
        If `estimator` is not fitted, or was fitted without y and not conformalized.

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
    wrapped = find_with_method(estimator, "predict_interval", "a regressor")
    ends = wrapped.student.predict_interval(wrapped.transform(X), confidence_level=confidence_level)
    return np.sort(
        wrapped.in_units_of_y(ends), axis=-1
    )  # a decreasing transformation swaps the ends


def conformalize(estimator: Any, X: ArrayLike, y: ArrayLike) -> Any:
    """Give the intervals of a student, which may be inside other estimators, a guarantee.

    Parameters
    ----------
    estimator : fitted estimator
        As in :func:`sample_predictions`.

    X : array-like or DataFrame with n_samples rows
        Held-out rows, to which neither members nor student were fitted, as `estimator` takes them.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed values there, in units of y.

    Returns
    -------
    estimator
        The same estimator, whose student was changed in place. :func:`predict_interval` and
        :func:`predict_quantiles` of it have a guaranteed probability now.

    Raises
    ------
    TypeError
        If there is no student in `estimator`, or it is one of classifiers.

    NotFittedError
        If `estimator` is not fitted.

    ValueError
        If values are NaN or infinite, or shapes do not match.

    See Also
    --------
    DLFRegressor.conformalize : The method of a student, with the details.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_dlf import DLFRegressor, conformalize, predict_interval
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_samples=120, random_state=0)
    >>> student = DLFRegressor(q=3, n_epochs=5, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), student)
    >>> fit = {"dlfregressor__predictions": data.predictions[:80]}
    >>> pipeline = pipeline.fit(data.X[:80], data.y[:80], **fit)
    >>> pipeline = conformalize(pipeline, data.X[80:], data.y[80:])
    >>> predict_interval(pipeline, data.X, confidence_level=0.9).shape
    (120, 2)
    """
    wrapped = find_with_method(estimator, "conformalize", "a student of regressors")
    values = without_dates(y, "y")
    values = check_array(values, dtype=np.float64, ensure_2d=False, input_name="y")
    wrapped.student.conformalize(wrapped.transform(X), wrapped.transform_target(values))
    return estimator


def predict_uncertainty(estimator: Any, X: ArrayLike) -> Bunch:
    """Uncertainty of a student, which may be inside other estimators, in its two parts.

    Parameters
    ----------
    estimator : fitted estimator
        A student, or a pipeline, search or ``FrozenEstimator`` around one.

    X : array-like or DataFrame with n_samples rows
        Rows as `estimator` takes them.

    Returns
    -------
    Bunch
        Of a classifier, in nats, each (n_samples,): ``total``, the entropy of the averaged
        probabilities; ``aleatoric``, the mean entropy of the members' probabilities;
        ``epistemic``, their difference, which is the mutual information of class and member.

        Of a regressor, each (n_samples,) or (n_samples, n_outputs), in squared units of y:
        ``total``, the variance of y; ``aleatoric``, that around a member; ``epistemic``, that of
        the members, as far as it counts for y; and in units of y ``std``, the root of ``total``.

    Raises
    ------
    TypeError
        If there is no student in `estimator`, or the target of a regressor is transformed. A
        variance cannot be transformed back: use :func:`sample_y` or :func:`predict_quantiles`.

    NotFittedError
        If `estimator` is not fitted, or is a regressor that was fitted without y and whose members
        have no variance of their own.

    See Also
    --------
    sample_predictions : Predictions or probabilities of single members.
    predict_interval : A central interval of y from a regressor.

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

    The variance of y, from a regressor:

    >>> from sklearn_dlf import DLFRegressor
    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_samples=60, random_state=0)
    >>> student = DLFRegressor(q=3, n_epochs=5, random_state=0)
    >>> student = student.fit(data.X, data.y, predictions=data.predictions, unseen=True)
    >>> sorted(predict_uncertainty(student, data.X))
    ['aleatoric', 'epistemic', 'std', 'total']
    """
    wrapped = find_with_method(estimator, "predict_uncertainty", "a student")
    if wrapped.invert is not None:
        raise TypeError(
            "A variance cannot be transformed back to units of y; got an estimator with a "
            "TransformedTargetRegressor. Use sample_y, whose draws are transformed back one by "
            "one, or predict_quantiles or predict_interval."
        )
    return wrapped.student.predict_uncertainty(wrapped.transform(X))
