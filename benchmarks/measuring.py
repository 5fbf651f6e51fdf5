"""Scores of students and teachers that several benchmarks share."""

from __future__ import annotations

import copy
import time

import numpy as np
from scipy.special import logsumexp
from scipy.stats import energy_distance, norm

from sklearn_dlf.ensembles import member_predictions, unseen_rows
from sklearn_dlf.metrics import (
    crps_ensemble,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
    neg_nll_scorer,
)

# Number of draws of y from which scores and intervals are computed; a choice.
N_DRAWS = 1000

# Smallest share of the teachers' residual variance that is taken for noise of y; a choice.
MIN_NOISE_SHARE = 0.05


def score_draws(y, draws):
    """Return the CRPS and the coverage of the central 95 % interval of draws (n, n_draws)."""
    ends = np.quantile(draws, [0.025, 0.975], axis=1).T
    return {"crps": crps_ensemble(y, draws), "coverage_95": interval_coverage(y, ends)}


def member_noise(teachers, data):
    """Return the variance of y around each member at rows that it did not see, (1, n_members).

    A member's residual there has its own deviation from the mean over members, and that of the
    truth. So the variance among members that did not see the row is subtracted twice.
    """
    members, unseen = member_predictions(teachers, data.X), unseen_rows(teachers, len(data.X))
    if unseen is None:
        unseen = np.zeros(members.shape, bool)
    squares = (data.y[:, None] - members) ** 2
    noise = squares.mean(axis=0)
    among = np.var(
        members, axis=1, ddof=1, where=np.where(unseen.sum(1)[:, None] > 1, unseen, True)
    )
    known = unseen.any(axis=0)
    counts = unseen[:, known].sum(axis=0)
    residual = (squares * unseen)[:, known].sum(axis=0) / counts
    twice = 2 * ((among[:, None] * unseen)[:, known].sum(axis=0) / counts).mean()
    noise[known] = residual * max(1 - twice / residual.mean(), MIN_NOISE_SHARE)
    return noise[None]


def measure_teachers(teachers, data, members, seed):
    """Return scores of an ensemble whose ``members`` (n, n_members) have a noise of y each."""
    y = data.y_test
    noise = np.broadcast_to(member_noise(teachers, data), members.shape)
    rng = np.random.RandomState(seed)
    pick = rng.randint(members.shape[1], size=N_DRAWS)
    draws = members[:, pick] + rng.standard_normal((len(y), N_DRAWS)) * np.sqrt(noise[:, pick])
    return {
        "rmse": float(np.sqrt(np.mean((y - members.mean(axis=1)) ** 2))),
        "nll": gaussian_mixture_nll(y, members, noise),
        **score_draws(y, draws),
    }


def student_nll(student, X, y):
    """Return the NLL of y under the student's own distribution.

    For students that hold members, it is a mixture over these too.
    """
    if not hasattr(student, "member_predictions"):
        return -neg_nll_scorer(student, X, y)
    from sklearn_dlf._predictive.scale_mixture import node_weights  # earlier commits have none

    noise, mean = student.target_noise_, student.predict(X)[:, None]
    members = mean + np.sqrt(noise.spread_share) * (student.member_predictions(X) - mean)
    factor = noise.factor(student.scaler_.transform(X), mean, members.var(axis=1)[:, None])
    std = noise.std_nodes(np.zeros(mean.shape), factor)  # (n, 1, n_nodes)
    logarithms = norm.logpdf(y[:, None, None], members[..., None], std)
    weights = node_weights() / members.shape[1]
    return float(-logsumexp(logarithms, b=weights, axis=(1, 2)).mean())


def nll_without_misfit(student, X, y):
    """Return the NLL of y under the noise of y alone, without the misfit of the student's mean."""
    student = copy.copy(student)
    student.target_noise_ = copy.copy(student.target_noise_)
    zeros = np.zeros(student.n_outputs_)
    student.target_noise_.squared_misfit = student.target_noise_.misfit_share = zeros
    return student_nll(student, X, y)


def measure_student(student, X, y, members, seed):
    """Return scores of a student, and its fidelity to its teachers' ``members`` (n, n_members)."""
    mean, std = student.predict(X, return_std=True)
    own = student.sample_predictions(X, N_DRAWS, random_state=seed)
    fidelity = member_fidelity(members, mean, std)
    return {
        "rmse": float(np.sqrt(np.mean((y - mean) ** 2))),
        "nll": student_nll(student, X, y),
        "nll_without_misfit": nll_without_misfit(student, X, y),
        **score_draws(y, student.sample_y(X, N_DRAWS, random_state=seed)),
        "mean_error": fidelity.mean_error,
        "std_ratio": fidelity.std_ratio,
        "std_corr": fidelity.std_correlation,
        "cov_error": relative_covariance_error(members, own),
        "energy": mean_energy_distance(members, own),
        "parameters": count_parameters(student),
    }


def relative_covariance_error(members, own):
    """Return the error of the covariance over rows, as a ratio of Frobenius norms."""
    covariance = np.cov(members)
    return float(np.linalg.norm(np.cov(own) - covariance) / np.linalg.norm(covariance))


def mean_energy_distance(members, own):
    """Return the mean over rows of the energy distance of two sets of members.

    The unit at each row is the spread of ``members`` there.
    """
    spread = np.maximum(members.std(axis=1), 1e-12 * np.abs(members).max())
    distances = [
        energy_distance(left / scale, right / scale)
        for left, right, scale in zip(members, own, spread, strict=True)
    ]
    return float(np.mean(distances))


def count_parameters(student):
    """Return the number of parameters of a fitted student."""
    if hasattr(student.student_, "n_parameters"):  # a model of scikit-learn in ten_lines.py
        return student.student_.n_parameters
    return sum(parameter.numel() for parameter in student.student_.parameters())


def share_of_bound(student):
    """Return the gain in log-likelihood over no factors, as a share of the bound's gain."""
    # Without factors the noise has variance one, because the spread is the unit.
    without = -0.5 * (np.log(2 * np.pi) + 1)
    gain = student.log_likelihoods_[-1] - without
    return float(gain / (student.log_likelihood_bound_ - without))


def processor_seconds(function, *args, **kwargs):
    """Return the processor seconds of a call, which do not count other work on the machine."""
    began = time.process_time()
    function(*args, **kwargs)
    return time.process_time() - began


def time_fit(estimator, *args, **kwargs):
    """Return the processor seconds of a fit."""
    return processor_seconds(estimator.fit, *args, **kwargs)
