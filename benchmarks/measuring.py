"""What is measured of students, in one way for all of them."""

from __future__ import annotations

import copy
import time

import numpy as np
from scipy.stats import energy_distance

from sklearn_dlf._predictive.target_noise import MemberResiduals, TargetNoise
from sklearn_dlf.ensembles import member_predictions, unseen_rows
from sklearn_dlf.metrics import (
    crps_ensemble,
    gaussian_mixture_nll,
    interval_coverage,
    member_fidelity,
    neg_nll_scorer,
)

# Draws of y that scores and intervals are taken from.
N_DRAWS = 1000


def score_draws(y, draws):
    """CRPS and coverage of the central 95 % interval of draws (n, n_draws)."""
    ends = np.quantile(draws, [0.025, 0.975], axis=1).T
    return {"crps": crps_ensemble(y, draws), "coverage_95": interval_coverage(y, ends)}


def member_noise(teachers, data):
    """Variance of y around each member as the students take it, (1, n_members)."""
    residuals = MemberResiduals(data.y[:, None], None, unseen_rows(teachers, len(data.X)))
    for _ in residuals.watch([member_predictions(teachers, data.X)[:, None]]):
        pass
    return residuals.variances().T


def measure_teachers(teachers, data, members, seed):
    """Scores of an ensemble whose ``members`` (n, n_members) each have a noise of their own."""
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
    """NLL of y under the student's own distribution.

    A mixture over the variance of the noise of y, and over members where the student has them.
    """
    if not hasattr(student, "member_predictions"):
        return -neg_nll_scorer(student, X, y)
    means, noise = student.member_predictions(X), student.target_noise_.nodes()[0]
    # Every member at every variance of the noise.
    means = np.repeat(means, len(noise), axis=1)
    variances = np.tile(noise, (len(X), means.shape[1] // len(noise)))
    return gaussian_mixture_nll(y, means, variances)


def nll_without_misfit(student, X, y):
    """NLL of y under the teachers' own noise, without what the student misses of their mean."""
    student = copy.copy(student)
    student.target_noise_ = TargetNoise(student.target_noise_.member_variances)
    return student_nll(student, X, y)


def measure_student(student, X, y, members, seed):
    """Scores of a student, and its fidelity to its teachers' ``members`` (n, n_members)."""
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
    """Frobenius norm of the difference of the covariances over rows, over the teachers' norm."""
    covariance = np.cov(members)
    return float(np.linalg.norm(np.cov(own) - covariance) / np.linalg.norm(covariance))


def mean_energy_distance(members, own):
    """Mean over rows of the energy distance of draws, in units of the teachers' spread there."""
    spread = np.maximum(members.std(axis=1), 1e-12 * np.abs(members).max())
    distances = [
        energy_distance(left / scale, right / scale)
        for left, right, scale in zip(members, own, spread, strict=True)
    ]
    return float(np.mean(distances))


def count_parameters(student):
    """Numbers that a fitted student has learnt."""
    return sum(parameter.numel() for parameter in student.student_.parameters())


def share_of_bound(student):
    """Gain in log-likelihood over no factors, as a share of that of any loadings."""
    # Without factors the likelihood is that of unit noise, since spread is the unit.
    without = -0.5 * (np.log(2 * np.pi) + 1)
    gain = student.log_likelihoods_[-1] - without
    return float(gain / (student.log_likelihood_bound_ - without))


def processor_seconds(function, *args, **kwargs):
    """Processor seconds that a call takes: other work on the machine does not count."""
    began = time.process_time()
    function(*args, **kwargs)
    return time.process_time() - began


def time_fit(estimator, *args, **kwargs):
    """Processor seconds that a fit takes."""
    return processor_seconds(estimator.fit, *args, **kwargs)
