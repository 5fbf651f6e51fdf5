"""Scores of predictive distributions and of classes, and a student's fidelity to its teacher.

All losses are means over rows; smaller is better.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import Bunch, check_array, check_consistent_length

from .._predictive.logits import entropies


def crps_ensemble(y_true, draws, sample_weight=None):
    """Continuous ranked probability score of draws of y.

    ``E|D - y| - E|D - D'| / 2`` with both expectations over the given draws [Gneiting2007]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Observed values.
    draws : array-like of shape (n_samples, n_draws)
        Draws of y at each row, or the members of an ensemble.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    float
        In units of y.

    Raises
    ------
    ValueError
        If shapes do not match, or a value is NaN or infinite.

    References
    ----------
    .. [Gneiting2007] Gneiting, Raftery. "Strictly Proper Scoring Rules, Prediction, and
       Estimation". JASA 102, 2007.

    Examples
    --------
    >>> from sklearn_dlf.metrics import crps_ensemble
    >>> crps_ensemble([0.0], [[-1.0, 1.0]])
    0.5
    """
    y_true, draws = _check_rows(y_true, draws=draws)
    n_draws = draws.shape[1]
    draws = np.sort(draws, axis=1)
    # E|D - D'| over all pairs is a weighted sum of the sorted draws.
    weights = (2.0 * np.arange(1, n_draws + 1) - n_draws - 1) / n_draws**2
    distance = np.abs(draws - y_true[:, None]).mean(axis=1)
    return float(np.average(distance - draws @ weights, weights=sample_weight))


def gaussian_mixture_nll(y_true, means, variances, sample_weight=None):
    """Negative log-likelihood of y under an equally weighted mixture of normals at each row.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Observed values.
    means, variances : array-like of shape (n_samples, n_components)
        Of the components, in units and squared units of y.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        If shapes do not match, a value is NaN or infinite, or a variance is not positive.

    Examples
    --------
    >>> from sklearn_dlf.metrics import gaussian_mixture_nll
    >>> round(gaussian_mixture_nll([0.0], [[0.0]], [[1.0]]), 4)
    0.9189
    """
    y_true, means, variances = _check_rows(y_true, means=means, variances=variances)
    if variances.shape != means.shape:
        raise ValueError(
            f"means and variances must have one shape; got {means.shape} and {variances.shape}."
        )
    if variances.min() <= 0.0:
        raise ValueError(f"variances must be positive; the smallest is {variances.min()}.")
    log_density = -0.5 * (
        np.log(2 * np.pi * variances) + (y_true[:, None] - means) ** 2 / variances
    )
    losses = np.log(means.shape[1]) - logsumexp(log_density, axis=1)
    return float(np.average(losses, weights=sample_weight))


def interval_coverage(y_true, intervals):
    """Share of rows whose y lies in its interval, ends included.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Observed values.
    intervals : array-like of shape (n_samples, 2)
        Lower and upper ends, as from ``predict_interval``.

    Returns
    -------
    float
        Between 0 and 1; near the intervals' confidence level where they are calibrated.

    Raises
    ------
    ValueError
        If shapes do not match, or a value is NaN or infinite.

    Examples
    --------
    >>> from sklearn_dlf.metrics import interval_coverage
    >>> interval_coverage([1.0, 5.0], [[0.0, 2.0], [0.0, 2.0]])
    0.5
    """
    y_true, intervals = _check_rows(y_true, intervals=intervals)
    if intervals.shape[1] != 2:
        raise ValueError(f"intervals must have shape (n_samples, 2); got {intervals.shape}.")
    return float(np.mean((intervals[:, 0] <= y_true) & (y_true <= intervals[:, 1])))


def member_fidelity(members, mean, std):
    """How a student's mean and standard deviation compare with its teacher's members.

    Parameters
    ----------
    members : array-like of shape (n_samples, n_members)
        Predictions of the teacher's members at rows that neither was trained on.
    mean, std : array-like of shape (n_samples,)
        The student's, in the same units.

    Returns
    -------
    Bunch
        ``mean_error``: root mean squared difference of the two means, in units of the standard
        deviation of the teacher's mean over rows; ``std_ratio``: the student's mean standard
        deviation over the teacher's; ``std_correlation``: Pearson correlation of the two over rows.

    Raises
    ------
    ValueError
        If shapes do not match, or a value is NaN or infinite.

    Examples
    --------
    >>> from sklearn_dlf.metrics import member_fidelity
    >>> members = [[0.0, 2.0], [1.0, 5.0]]
    >>> fidelity = member_fidelity(members, mean=[1.0, 3.0], std=[1.5, 3.0])
    >>> fidelity.mean_error, round(fidelity.std_ratio, 2)
    (0.0, 1.06)
    """
    mean, members, std = _check_rows(mean, members=members, std=np.reshape(std, (-1, 1)))
    teacher_mean, teacher_std = members.mean(axis=1), members.std(axis=1, ddof=1)
    return Bunch(
        mean_error=float(np.sqrt(np.mean((mean - teacher_mean) ** 2)) / teacher_mean.std()),
        std_ratio=float(std.mean() / teacher_std.mean()),
        std_correlation=float(np.corrcoef(std[:, 0], teacher_std)[0, 1]),
    )


def expected_calibration_error(y_true, probabilities, *, classes=None, n_bins=15):
    """Mean distance of confidence and accuracy over bins of confidence, weighted by their rows.

    Confidence is the largest probability of a row; bins are of equal width [Guo2017]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    probabilities : array-like of shape (n_samples, n_classes)
        As from ``predict_proba``.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns; None for 0, 1, ...
    n_bins : int, default=15
        Bins of confidence between 0 and 1.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If shapes do not match, or a probability is NaN or infinite.

    References
    ----------
    .. [Guo2017] Guo, Pleiss, Sun, Weinberger. "On Calibration of Modern Neural Networks". ICML
       2017.

    Examples
    --------
    >>> from sklearn_dlf.metrics import expected_calibration_error
    >>> expected_calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]])
    0.25
    """
    probabilities = check_array(probabilities, dtype=np.float64, input_name="probabilities")
    classes = np.arange(probabilities.shape[1]) if classes is None else np.asarray(classes)
    if classes.shape != (probabilities.shape[1],):
        raise ValueError(
            f"classes must have one label for each of the {probabilities.shape[1]} columns of "
            f"probabilities; got shape {classes.shape}."
        )
    y_true = np.asarray(y_true)
    check_consistent_length(y_true, probabilities)
    confidence = probabilities.max(axis=1)
    surplus = confidence - (classes[probabilities.argmax(axis=1)] == y_true)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(y_true))


def mutual_information(members):
    """Mutual information of class and member at each row: what the members do not agree on.

    The entropy of the averaged probabilities less the average entropy of the members' own.

    Parameters
    ----------
    members : array-like of shape (n_samples, n_classes, n_members)
        Probabilities, as from ``member_predictions`` or ``sample_predictions``.

    Returns
    -------
    ndarray of shape (n_samples,)
        In nats, not negative.

    Raises
    ------
    ValueError
        If the shape is another, or a value is NaN or infinite.

    Examples
    --------
    >>> from sklearn_dlf.metrics import mutual_information
    >>> mutual_information([[[1.0, 0.0], [0.0, 1.0]]]).round(4)
    array([0.6931])
    """
    members = check_array(
        members, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="members"
    )
    if members.ndim != 3:
        raise ValueError(
            f"members must have shape (n_samples, n_classes, n_members); got {members.shape}."
        )
    shared = entropies(members).mean(axis=-1)
    return np.maximum(entropies(members.mean(axis=-1)) - shared, 0.0)


def _check_rows(y_true, **arrays):
    """Validate a vector and matrices with one row for each of its values, as float64."""
    y_true = check_array(y_true, ensure_2d=False, dtype=np.float64, input_name="y_true")
    if y_true.ndim != 1:
        raise ValueError(f"y_true must have shape (n_samples,); got {y_true.shape}.")
    checked = [
        check_array(array, dtype=np.float64, input_name=name) for name, array in arrays.items()
    ]
    check_consistent_length(y_true, *checked)
    return y_true, *checked
