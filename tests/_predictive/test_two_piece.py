"""Two-piece normal distributions, integrated numerically."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr
from scipy.stats import norm

from sklearn_dlf._predictive.two_piece import (
    center,
    from_normal,
    split_levels,
    to_symmetric,
    variance,
)

SKEWNESS = [0.4, 1.0, 2.5]
Y = np.linspace(-14, 14, 560_001)


def density(skewness):
    """Return the density at `Y` of what a standard normal becomes."""
    values, log_factors = to_symmetric(Y - center(skewness), skewness)
    return norm.pdf(values) * np.exp(log_factors)


@pytest.mark.parametrize("skewness", SKEWNESS)
def test_mean_and_variance_of_a_normal_are_kept(skewness):
    weights = density(skewness) * (Y[1] - Y[0])
    assert_allclose(weights.sum(), 1.0, rtol=1e-4)
    assert_allclose(weights @ Y, 0.0, atol=1e-4)
    assert_allclose(weights @ Y**2, 1.0, rtol=1e-4)


@pytest.mark.parametrize("skewness", SKEWNESS)
def test_quantiles_are_those_of_the_density(skewness):
    levels = np.array([0.001, 0.05, 0.3, 0.5, 0.8, 0.99])
    tails, factors = split_levels(levels, skewness)
    quantiles = center(skewness) - factors * norm.ppf(tails)
    below = np.cumsum(density(skewness)) * (Y[1] - Y[0])
    assert_allclose(np.interp(quantiles, Y, below), levels, atol=1e-4)


@pytest.mark.parametrize("skewness", SKEWNESS)
def test_values_of_a_normal_become_quantiles_of_their_levels(skewness):
    z = np.array([-4.0, -1.0, -0.1, 0.0, 0.6, 3.0, 20.0])
    found = from_normal(z, skewness)
    assert (np.diff(found) > 0).all()
    tails, factors = split_levels(ndtr(z[:-1]), skewness)
    assert_allclose(found[:-1], -factors * norm.ppf(tails), rtol=1e-9)


def test_without_skewness_nothing_changes():
    one = np.ones(1)
    values, log_factors = to_symmetric(Y, one)
    assert_allclose(values, Y, rtol=0, atol=0)
    assert_allclose(log_factors, 0.0)
    assert_allclose(center(one), 0.0)
    assert_allclose(from_normal(Y[::1000], one), Y[::1000], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("skewness", SKEWNESS)
def test_variance_of_a_mixture_is_that_of_its_density(skewness):
    std, weights = np.array([0.5, 2.0]), np.array([0.7, 0.3])
    mean_std = weights @ std
    values, log_factors = to_symmetric(Y - center(skewness) * mean_std, skewness)
    mixture = (norm.pdf(values[:, None] / std) / std) @ weights * np.exp(log_factors)
    mass = mixture * (Y[1] - Y[0])
    assert_allclose(mass @ Y, 0.0, atol=1e-4)
    assert_allclose(variance(weights @ std**2, mean_std, skewness), mass @ Y**2, rtol=1e-3)
