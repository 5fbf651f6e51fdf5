"""Tests of the estimate of the process by members that are held out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import check_grad
from scipy.spatial.distance import pdist, squareform

from sklearn_dlf._latent import process
from sklearn_dlf._latent.process import estimate_process
from sklearn_dlf._latent.row_correlation import RandomFunctions, RowCorrelation

N_SOME = 100


def estimate(members, X, q):
    """Return the estimate from members (n, n_members), in units of their mean variance."""
    residuals = members - members.mean(axis=1, keepdims=True)
    residuals /= np.sqrt(np.square(residuals).sum(axis=1).mean() / (members.shape[1] - 1))
    return estimate_process(residuals, residuals[:N_SOME, None], X[:N_SOME], q)


def make_members(n_rows=600, n_members=60, noise=0.3, share=0.0, length_scale=1.0, seed=0):
    """Return rows, and members of a process with two strong factors."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n_rows, 2))
    loadings = np.sin(X @ rng.standard_normal((2, 2)) * 2)
    correlation = RowCorrelation(share, length_scale)
    functions = RandomFunctions(correlation, 2, 1, n_members, rng).evaluate(X)[:, 0]
    return X, loadings @ rng.standard_normal((2, n_members)) + noise * functions


def test_factors_of_the_process_are_kept():
    X, members = make_members()
    assert (estimate(members, X, 2).factor_shares > 0.9).all()


def test_factors_of_the_sample_are_taken_away():
    X, members = make_members()
    assert (estimate(members, X, 8).factor_shares[2:] < 0.35).all()


def test_independent_noise_has_no_correlation_between_rows():
    X, members = make_members(noise=1.0)
    assert estimate(members, X, 2).row_correlation.share < 0.15


@pytest.mark.parametrize("length_scale", [0.5, 2.0])
def test_correlation_of_the_noise_is_found(length_scale):
    X, members = make_members(noise=1.0, share=0.9, length_scale=length_scale)
    found = estimate(members, X, 2).row_correlation
    assert found.share > 0.7
    assert abs(np.log(found.length_scale / length_scale)) < np.log(1.5)


def test_without_structure_nothing_is_found():
    rng = np.random.RandomState(0)
    found = estimate(rng.standard_normal((600, 30)), rng.standard_normal((600, 3)), 5)
    assert found.factor_shares.mean() < 0.3
    assert found.row_correlation.share < 0.1 or found.gain < 0.01


def test_too_few_members_leave_factors_as_they_are():
    X, members = make_members(n_members=4)
    found = estimate(members, X, 2)
    assert_allclose(found.factor_shares, 1.0)
    assert found.row_correlation.share == 0


def test_slope_of_the_likelihood_is_its_derivative():
    X, members = make_members(n_rows=N_SOME, n_members=20)
    residuals = members - members.mean(axis=1, keepdims=True)
    folds = process._make_folds(residuals, residuals[:, None], 3)[:2]
    distance = squareform(pdist(X))

    def value(parameters):
        return process._negative_log_likelihood(parameters, folds, distance)[0]

    def slope(parameters):
        return process._negative_log_likelihood(parameters, folds, distance)[1]

    assert check_grad(value, slope, np.array([0.3, -0.2, 0.5, -1.0, 0.1])) < 1e-5


def test_shares_of_factors_that_no_fold_has_are_those_of_the_last_known_one():
    X, members = make_members(n_members=6)
    shares = estimate(members, X, 5).factor_shares  # folds have at most four members
    assert shares[3] == shares[4]
