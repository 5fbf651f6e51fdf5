"""Scores of predictive distributions and of a student's fidelity to its teacher; scorers.

All losses are means over rows; smaller is better. Scorers are for ``scoring=`` of searches and
cross-validation: they turn losses round, so that greater is better, and reach students inside
pipelines, searches and frozen estimators.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp, xlogy
from sklearn.base import is_classifier
from sklearn.metrics import log_loss
from sklearn.utils import Bunch, _safe_indexing, check_array, check_consistent_length, gen_batches
from sklearn.utils.validation import _num_samples

from ._contrasts import MIN_SPREAD
from ._em import NOISE_FLOOR
from ._latent import member_log_likelihood
from ._scoring import Scorer
from ._teacher import AskedEnsemble, GivenPredictions
from ._through import reach_student, sample_y
from .ensembles import is_fitted_ensemble

__all__ = [
    "crps_ensemble",
    "expected_calibration_error",
    "gaussian_mixture_nll",
    "interval_coverage",
    "make_member_log_likelihood_scorer",
    "member_fidelity",
    "member_log_likelihood_scorer",
    "mutual_information",
    "neg_crps_scorer",
    "neg_nll_scorer",
]

# Draws of y at a row for its CRPS; with S of them it is too large by the share 1 / S of their mean
# distance.
CRPS_DRAWS = 1000

# Rows whose draws are held at a time.
CRPS_ROWS = 2**12


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


def _student_nll(estimator, X, y, *, sample_weight=None):
    """NLL of y under a student's predictive distribution, mean over rows and outputs."""
    if is_classifier(estimator):
        probabilities = estimator.predict_proba(X)
        return log_loss(y, probabilities, labels=estimator.classes_, sample_weight=sample_weight)
    student, transform, invert = reach_student(estimator)
    if invert is not None:
        raise TypeError(
            "The density of y is not known where the target is transformed; expected an estimator "
            "without TransformedTargetRegressor. neg_crps_scorer needs no density."
        )
    mean, std = student.predict(transform(X), return_std=True)
    noise = student._check_target_noise("neg_nll_scorer").nodes()
    n_outputs = len(noise)
    variances = (std.reshape(-1, n_outputs, 1) ** 2 + noise).reshape(-1, noise.shape[1])
    means = np.broadcast_to(mean.reshape(-1, 1), variances.shape)
    weights = None if sample_weight is None else np.repeat(sample_weight, n_outputs)
    return gaussian_mixture_nll(np.ravel(y), means, variances, weights)


def _student_crps(estimator, X, y, *, sample_weight=None):
    """CRPS of y by draws from a student, mean over rows and outputs."""
    y = np.asarray(y, dtype=np.float64)
    n_samples = _num_samples(X)
    weights = np.ones(n_samples) if sample_weight is None else np.asarray(sample_weight)
    losses, total = 0.0, weights.sum()
    for rows in gen_batches(n_samples, CRPS_ROWS):
        draws = sample_y(estimator, _safe_indexing(X, rows), CRPS_DRAWS, random_state=0)
        draws = draws.reshape(-1, CRPS_DRAWS)
        share = np.repeat(weights[rows], len(draws) // len(weights[rows]))
        losses += crps_ensemble(np.ravel(y[rows]), draws, share) * weights[rows].sum()
    return losses / total


def _members_under_student(
    estimator, X, y=None, *, ensemble=None, predictions=None, X_ensemble=None
):
    """Log-likelihood of the teacher's members at X under a student, nats per member and entry."""
    student, transform, _ = reach_student(estimator)
    if not hasattr(student, "latent_parameters") or is_classifier(student):
        raise TypeError(
            f"The likelihood of members is not known under {type(student).__name__}; expected "
            "DLFRegressor."
        )
    rows = transform(X)
    if predictions is None:
        if X_ensemble is None:
            X_ensemble = rows if ensemble is None else X
        teacher: AskedEnsemble | GivenPredictions = _asked_teacher(
            student.ensemble if ensemble is None else ensemble, X_ensemble
        )
    else:
        teacher = GivenPredictions(predictions, _num_samples(X))
    members = np.concatenate(list(teacher.blocks()))
    heads = student.latent_parameters(rows)
    # Without member noise the members' distribution is flat, and their density infinite or none.
    spread = np.maximum(student.output_spread_, MIN_SPREAD * student.output_scale_)
    variance = np.maximum(heads.member_std**2, NOISE_FLOOR * spread**2)
    deviations = members - heads.mean[..., None]
    return member_log_likelihood(
        heads.loadings.reshape(-1, heads.loadings.shape[-1]),
        deviations.reshape(-1, deviations.shape[-1]),
        variance.ravel(),
    )


def _asked_teacher(ensemble, rows):
    """Fitted ensemble at some rows, or an error that says how to have one."""
    if ensemble is None or not is_fitted_ensemble(ensemble):
        raise ValueError(
            "The student keeps no teacher, and its parameter `ensemble` is "
            f"{'None' if ensemble is None else 'not fitted'}; expected a FittedEnsemble there, "
            "make_member_log_likelihood_scorer(ensemble), or `predictions` at these rows, which "
            "metadata routing brings: member_log_likelihood_scorer.set_score_request("
            "predictions=True)."
        )
    return AskedEnsemble(ensemble, rows, "regressor")


def make_member_log_likelihood_scorer(ensemble):
    """Make a scorer of how likely the members of one fitted ensemble are under a student.

    Parameters
    ----------
    ensemble : fitted ensemble, list of fitted regressors or FittedEnsemble
        Asked at the rows that the scorer is given: those before any step of a pipeline.

    Returns
    -------
    callable
        As :data:`member_log_likelihood_scorer`, which asks the student's own teacher.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn_dlf import DLFRegressor
    >>> from sklearn_dlf.metrics import make_member_log_likelihood_scorer
    >>> X, y = make_regression(60, 3, noise=5.0, random_state=0)
    >>> forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    >>> student = DLFRegressor(q=2, n_epochs=5, random_state=0).fit(X, y, ensemble=forest)
    >>> scorer = make_member_log_likelihood_scorer(forest)
    >>> scorer(student, X) > scorer(student, X + 1)
    True
    """
    return Scorer(
        f"make_member_log_likelihood_scorer({type(ensemble).__name__})",
        _members_under_student,
        ensemble=ensemble,
    )


#: Minus the NLL of y (nats, mean over rows and outputs) under a student's predictive distribution;
#: from classifiers minus the log loss.
neg_nll_scorer = Scorer("neg_nll_scorer", _student_nll, sign=-1)

#: Minus the CRPS (units of y, mean over rows and outputs) of draws of y from a regressor; targets
#: may be transformed.
neg_crps_scorer = Scorer("neg_crps_scorer", _student_crps, sign=-1)

#: Log-likelihood of the teacher's members at the rows, nats per member and entry, in the units in
#: which the student was taught. The teacher is the student's parameter `ensemble` where that is
#: fitted, asked at the rows that the student sees or, with metadata routing, at `X_ensemble`; or
#: the metadata `predictions` (n_samples, ..., n_members).
member_log_likelihood_scorer = Scorer("member_log_likelihood_scorer", _members_under_student)


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
    mean = members.mean(axis=-1)
    shared = -xlogy(members, members).sum(axis=1).mean(axis=-1)
    return np.maximum(-xlogy(mean, mean).sum(axis=1) - shared, 0.0)
