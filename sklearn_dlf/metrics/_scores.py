"""Scores of predictive distributions and of classes, and a student's fidelity to its teacher.

All losses are means over rows. Smaller is better.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import Bunch, check_consistent_length, column_or_1d

from .._predictive.logits import entropies
from .._utils.numbers import with_gaps
from .._utils.parameters import check_count
from .._utils.standardise import column_std, in_units
from .._utils.warning import warn_user
from ._factors import compare_factors
from ._validation import (
    check_intervals,
    check_member_probabilities,
    check_numbers,
    check_probabilities,
    check_vector,
    check_weights,
)


def crps_ensemble(
    y_true: ArrayLike, draws: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Continuous ranked probability score (CRPS) of draws of y.

    The score of a row is ``E|D - y| - E|D - D'| / 2``. Both expectations are over the given draws
    [Gneiting2007]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Observed values.
    draws : array-like of shape (n_samples, n_draws)
        Draws of y at each row, or the members of an ensemble.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None weights all rows equally.

    Returns
    -------
    float
        Mean over rows, in units of y. Smaller is better.

    Raises
    ------
    ValueError
        If shapes do not match, there are no rows, a value is NaN or infinite, or the weights are
        negative or all zero.

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
    y_true, draws = check_vector(y_true, "y_true"), check_numbers(draws, "draws")
    check_consistent_length(y_true, draws)
    sample_weight = check_weights(sample_weight, y_true)
    n_draws = draws.shape[1]
    draws = np.sort(draws, axis=1)
    # E|D - D'| / 2 over all pairs is a weighted sum of the sorted draws.
    weights = (2.0 * np.arange(1, n_draws + 1) - n_draws - 1) / n_draws**2
    distance = np.abs(draws - y_true[:, None]).mean(axis=1)
    return float(np.average(distance - draws @ weights, weights=sample_weight))


def gaussian_mixture_nll(
    y_true: ArrayLike,
    means: ArrayLike,
    variances: ArrayLike,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Negative log-likelihood (NLL) of y under a mixture of normals at each row.

    All components of a mixture have the same weight.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Observed values.
    means, variances : array-like of shape (n_samples, n_components)
        Means of the components, in units of y, and their variances, in squared units of y.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. None weights all rows equally.

    Returns
    -------
    float
        Mean over rows, in nats. Smaller is better.

    Raises
    ------
    ValueError
        If shapes do not match, there are no rows, a value is NaN or infinite, a variance is not
        positive, the weights are negative or all zero, or the result is no float: y lies 1e150
        standard deviations or more from all means.

    Examples
    --------
    >>> from sklearn_dlf.metrics import gaussian_mixture_nll
    >>> round(gaussian_mixture_nll([0.0], [[0.0]], [[1.0]]), 4)
    0.9189
    """
    y_true, means = check_vector(y_true, "y_true"), check_numbers(means, "means")
    variances = check_numbers(variances, "variances")
    check_consistent_length(y_true, means, variances)
    sample_weight = check_weights(sample_weight, y_true)
    if variances.shape != means.shape:
        raise ValueError(
            f"means and variances must have the same shape; got {means.shape} and "
            f"{variances.shape}."
        )
    if variances.min() <= 0.0:
        raise ValueError(f"variances must be positive; the smallest is {variances.min()}.")
    with np.errstate(over="ignore"):
        squares = np.square((y_true[:, None] - means) / np.sqrt(variances))
    log_density = -0.5 * (np.log(2 * np.pi) + np.log(variances) + squares)
    losses = np.log(means.shape[1]) - logsumexp(log_density, axis=1)
    loss = float(np.average(losses, weights=sample_weight))
    if not np.isfinite(loss):
        raise ValueError(
            "The likelihood of y_true is too small for a float: a value lies too many standard "
            "deviations from all means. Check that variances are squared units of y_true."
        )
    return loss


def interval_coverage(y_true: ArrayLike, intervals: ArrayLike) -> float:
    """Share of rows at which y lies in the interval, ends included.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Observed values.
    intervals : array-like of shape (n_samples, 2)
        Lower and upper ends, as `predict_interval` returns them.

    Returns
    -------
    float
        Between 0 and 1. It is near the confidence level if the intervals are calibrated.

    Raises
    ------
    ValueError
        If shapes do not match, there are no rows, a value is NaN or infinite, or a lower end is
        above the upper one.

    Examples
    --------
    >>> from sklearn_dlf.metrics import interval_coverage
    >>> interval_coverage([1.0, 5.0], [[0.0, 2.0], [0.0, 2.0]])
    0.5
    """
    y_true, intervals = check_vector(y_true, "y_true"), check_intervals(intervals)
    check_consistent_length(y_true, intervals)
    return float(np.mean((intervals[:, 0] <= y_true) & (y_true <= intervals[:, 1])))


def member_fidelity(
    members: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    *,
    latent_parameters: Mapping[str, ArrayLike] | None = None,
    held_out_members: ArrayLike | None = None,
) -> Bunch:
    """Compare a student's mean, standard deviation and factors with its teacher's members.

    Parameters
    ----------
    members : array-like of shape (n_samples, n_members)
        Predictions of the teacher's members, at rows on which neither teacher nor student was
        trained. At least two rows and two members.
    mean, std : array-like of shape (n_samples,)
        The student's mean and standard deviation of the members, in the same units.
    latent_parameters : Bunch, default=None
        What `latent_parameters` of a student with one output returns at the rows. None for a
        student without factors.
    held_out_members : array-like of shape (n_samples, n_held_out), default=None
        Predictions of members from which the student has not learnt, such as models that were
        trained by the teacher's recipe with other seeds. They need `latent_parameters`.

    Returns
    -------
    Bunch
        ``mean_error``: root mean squared difference between the means of student and teacher,
        in units of the standard deviation of the teacher's mean over rows. ``std_ratio``: the
        student's standard deviation, averaged over rows, divided by the teacher's.
        ``std_correlation``: Pearson correlation of the two standard deviations over rows. A score
        is NaN, with an `UndefinedMetricWarning`, if what it divides by is zero.

        ``factor_variance_ratio``: share of the student's variance, summed over rows, that its
        factors explain; the rest is member noise. None without `latent_parameters`, and NaN if
        the student has no variance. ``joint_gain``: log-likelihood of the held-out members under
        the student, less that under normals with the same means and variances that are
        independent from row to row, in nats per row and member. It is positive if the factors say
        how these members vary together. It is negative if the factors describe the teacher's own
        members more than the process that they are draws of. None without `held_out_members`.

    Raises
    ------
    ValueError
        If shapes do not match, a value is NaN or infinite, a standard deviation is negative,
        there are fewer than two rows or two members, the latent parameters are of several
        outputs, or held-out members are given without latent parameters.

    Examples
    --------
    >>> from sklearn_dlf.metrics import member_fidelity
    >>> members = [[0.0, 2.0], [1.0, 5.0]]
    >>> fidelity = member_fidelity(members, mean=[1.0, 3.0], std=[1.5, 3.0])
    >>> fidelity.mean_error, round(fidelity.std_ratio, 2)
    (0.0, 1.06)

    The factors of members that are drawn from a known model:

    >>> from sklearn_dlf.datasets import make_dlf_ensemble
    >>> data = make_dlf_ensemble(n_members=30, random_state=0)
    >>> truth = {"mean": data.mean, "loadings": data.loadings}
    >>> truth["member_std"] = 0 * data.mean + data.member_noise
    >>> fidelity = member_fidelity(
    ...     data.predictions[:, :20], data.mean[:, 0], data.predictions.std(axis=1),
    ...     latent_parameters=truth, held_out_members=data.predictions[:, 20:],
    ... )
    >>> round(fidelity.factor_variance_ratio, 2), fidelity.joint_gain > 0
    (0.98, True)
    """
    mean, student_std = check_vector(mean, "mean"), check_vector(std, "std")
    members = check_numbers(members, "members")
    check_consistent_length(mean, student_std, members)
    if min(members.shape) < 2:
        raise ValueError(
            "members must have at least two rows and two members, whose standard deviations are "
            f"compared; got shape {members.shape}."
        )
    if student_std.min() < 0:
        raise ValueError(f"std must not be negative; the smallest is {student_std.min()}.")
    if latent_parameters is None and held_out_members is not None:
        raise ValueError(
            "held_out_members were given without latent_parameters, under which their likelihood "
            "is computed; expected latent_parameters=student.latent_parameters(X) too."
        )
    teacher_mean = members.mean(axis=1)
    teacher_std = column_std(members.T, _sample_std)
    error = _root_mean_square(mean - teacher_mean)
    mean_spread = float(column_std(teacher_mean))
    stds = [in_units(std - std.mean())[0] for std in (student_std, teacher_std)]
    product = np.mean(stds[0] * stds[1])
    return Bunch(
        mean_error=_divide(error, mean_spread, "the teacher's mean is the same at all rows"),
        std_ratio=_divide(student_std.mean(), teacher_std.mean(), "the members agree at all rows"),
        std_correlation=_divide(
            product,
            _root_mean_square(stds[0]) * _root_mean_square(stds[1]),
            "the student's or the members' standard deviation is the same at all rows",
        ),
        **compare_factors(len(mean), latent_parameters, held_out_members),
    )


def _sample_std(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the standard deviation of a sample along an axis."""
    return values.std(axis=axis, ddof=1)


def _root_mean_square(values: np.ndarray) -> float:
    """Root of the mean square of values (n,), also where their squares leave float64."""
    scaled, exponent = in_units(values)
    return float(np.ldexp(np.sqrt(np.mean(scaled**2)), exponent))


def _divide(numerator: float, denominator: float, reason: str) -> float:
    """Return a score that is a quotient; NaN with a warning if there is nothing to divide by."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        quotient = np.divide(numerator, denominator)
    if not np.isfinite(quotient):  # rounding may leave a denominator that is nearly zero
        warn_user(f"A score of member_fidelity is NaN: {reason}.", UndefinedMetricWarning)
        return float("nan")
    return float(quotient)


def expected_calibration_error(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    n_bins: int = 15,
) -> float:
    """Mean absolute difference between confidence and accuracy over bins of confidence.

    The confidence of a row is its largest probability. The bins have equal width, and a bin is
    weighted by its number of rows [Guo2017]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    probabilities : array-like of shape (n_samples, n_classes)
        Probabilities, as `predict_proba` returns them.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the columns. None stands for 0, 1, ...
    n_bins : int, default=15
        Number of bins of confidence between 0 and 1.

    Returns
    -------
    float
        Between 0 and 1. Smaller is better.

    Raises
    ------
    ValueError
        If shapes do not match, there are no rows, a probability is NaN, infinite or negative,
        probabilities do not sum to one (with a tolerance of 1e-3), y has a label that is not in
        `classes`, or `n_bins` is less than 1.
    TypeError
        If `n_bins` is not an integer.

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
    n_bins = check_count(n_bins, "n_bins")
    shares = check_numbers(probabilities, "probabilities")
    check_probabilities(shares, "probabilities")
    labels = np.arange(shares.shape[1]) if classes is None else np.asarray(classes)
    if labels.shape != (shares.shape[1],):
        raise ValueError(
            f"classes must have one label for each of the {shares.shape[1]} columns of "
            f"probabilities; got shape {labels.shape}."
        )
    observed = column_or_1d(with_gaps(y_true))
    check_consistent_length(observed, shares)
    if not np.isin(observed, labels).all():
        raise ValueError(
            f"y_true has the labels {list(dict.fromkeys(observed.tolist()))}, of which some are "
            f"not in classes, {labels.tolist()}. Give the labels in the order of the columns by "
            "classes, such as classes=estimator.classes_."
        )
    confidence = shares.max(axis=1)
    surplus = confidence - (labels[shares.argmax(axis=1)] == observed)
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(observed))


def mutual_information(members: ArrayLike) -> np.ndarray:
    """Mutual information of class and member at each row, the epistemic uncertainty.

    It is the entropy of the averaged probabilities less the mean entropy of the members'
    probabilities. It is zero where all members agree.

    Parameters
    ----------
    members : array-like of shape (n_samples, n_classes, n_members)
        Probabilities, as `member_predictions` or `sample_predictions` returns them.

    Returns
    -------
    ndarray of shape (n_samples,)
        In nats, not negative.

    Raises
    ------
    ValueError
        If the shape is different, there are no rows, a value is NaN, infinite or negative, or the
        probabilities do not sum to one over classes (with a tolerance of 1e-3).

    Examples
    --------
    >>> from sklearn_dlf.metrics import mutual_information
    >>> mutual_information([[[1.0, 0.0], [0.0, 1.0]]]).round(4)
    array([0.6931])
    """
    probabilities = check_member_probabilities(members)
    aleatoric = entropies(probabilities).mean(axis=-1)
    # Not negative by Jensen's inequality, except for rounding.
    return np.maximum(entropies(probabilities.mean(axis=-1)) - aleatoric, 0.0)
