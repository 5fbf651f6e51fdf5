"""Tests of the correlation of the member noise between rows, and of random functions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.gaussian_process.kernels import Matern

from sklearn_dlf._latent.row_correlation import RandomFunctions, RowCorrelation

X = np.random.RandomState(0).standard_normal((12, 3))


def draw(correlation, n_members, seed=0, n_outputs=1):
    return RandomFunctions(
        correlation, X.shape[1], n_outputs, n_members, np.random.RandomState(seed)
    )


def test_correlation_is_that_of_scikit_learns_kernel():
    kernel = Matern(length_scale=0.7, nu=1.5)
    assert_allclose(RowCorrelation(1.0, 0.7).among(X), kernel(X), rtol=1e-12)


def test_share_holds_off_the_diagonal_only():
    correlation = RowCorrelation(0.3, 2.0).among(X)
    off = ~np.eye(len(X), dtype=bool)
    assert_allclose(correlation[off], 0.3 * RowCorrelation(1.0, 2.0).among(X)[off])
    assert_allclose(np.diag(correlation), 1.0)


@pytest.mark.parametrize(("share", "common"), [(0, 0), (0.6, 0), (1, 0), (0, 0.5), (0.6, 0.4)])
def test_draws_have_the_correlation(share, common):
    correlation = RowCorrelation(share, 1.5, common)
    draws = draw(correlation, 8_000).evaluate(X)[:, 0]
    # The standard error of a correlation is at most 0.011.
    assert_allclose(np.cov(draws), correlation.among(X), atol=0.06)


def variance_of_mean(correlation, std):
    among = correlation.among(X)
    return sum(each @ among @ each for each in std.T) / len(std) ** 2


@pytest.mark.parametrize("factor", [0.8, 1.4, 1.8])
def test_correlation_is_changed_to_the_variance_of_the_mean(factor):
    std = np.random.RandomState(1).uniform(0.5, 2, (len(X), 2))
    before = RowCorrelation(0.6, 1.5)
    wanted = factor * variance_of_mean(before, std)
    after = before.with_mean_variance(wanted, std, X)
    assert_allclose(variance_of_mean(after, std), wanted)
    assert after.length_scale == before.length_scale
    assert (after.common > 0) == (factor > 1)


def test_functions_stay_functions_where_their_mean_varies_less():
    std = np.random.RandomState(1).uniform(0.5, 2, (len(X), 2))
    before = RowCorrelation(1.0, 1.5)
    wanted = 0.8 * variance_of_mean(before, std)
    after = before.with_mean_variance(wanted, std, X, are_functions=True)
    assert after.share == 1
    assert after.length_scale < before.length_scale
    assert 0.9 * wanted < variance_of_mean(after, std) <= wanted * (1 + 1e-9)


@pytest.mark.parametrize("wanted", [0.0, 1e9])
@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize("std", [0.0, 1.0])
def test_a_correlation_stays_one_whatever_is_wanted(wanted, share, std):
    std = np.full((len(X), 1), std)
    after = RowCorrelation(share, 1.5).with_mean_variance(wanted, std, X)
    assert after.share >= 0
    assert after.share + after.common <= 1


def test_draws_of_different_outputs_and_members_are_independent():
    draws = draw(RowCorrelation(1.0, 5.0), 4_000, n_outputs=2).evaluate(X[:1])[0]
    assert abs(np.corrcoef(draws)[0, 1]) < 0.06
    halves = draw(RowCorrelation(1.0, 5.0), 2, n_outputs=3_000).evaluate(X[:1])[0]
    assert abs(np.corrcoef(halves.T)[0, 1]) < 0.06


def test_smooth_draws_are_functions_of_the_row():
    functions = draw(RowCorrelation(1.0, 1.0), 20)
    whole, again = functions.evaluate(X), functions.evaluate(X[::-1])[::-1]
    assert_allclose(whole, again, rtol=1e-9, atol=1e-12)


def test_two_samples_of_one_row_differ_by_what_is_independent():
    functions = draw(RowCorrelation(0.75, 1.0), 20_000)
    twice = functions.evaluate(X[[0, 0]])[:, 0]
    assert_allclose(np.corrcoef(twice)[0, 1], 0.75, atol=0.02)
