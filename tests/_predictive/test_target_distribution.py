"""The distribution of y of a student whose members are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import t
from sklearn.utils import Bunch

from sklearn_dlf._predictive.members import StudentMembers
from sklearn_dlf._predictive.target_distribution import TargetDistribution
from sklearn_dlf._predictive.target_noise import TargetNoise
from sklearn_dlf._predictive.variance_functions import (
    VarianceFunction,
    make_piecewise_linear,
)

X = np.linspace(-2, 2, 5)[:, None]


class KnownMembers:
    """Normal members, whose mean is the row."""

    n_outputs, law = 1, None
    noise_moments = StudentMembers.noise_moments
    counting_for = StudentMembers.counting_for

    def __init__(self, variance):
        self.variance = variance

    def moments(self, X, exact=False):
        return Bunch(mean=X.copy(), variance=np.full_like(X, self.variance))

    def points(self, X):
        return X

    def with_member_law(self, member_law):
        return self

    def start_draws(self, n_samples, random_state):
        z = random_state.standard_normal(n_samples)
        return lambda X: X[:, None] + np.sqrt(self.variance) * z


def growing_noise(shape=4.0, **options):
    """Noise that grows with the row."""
    rows = np.linspace(-2, 2, 100)[:, None]
    encoding = make_piecewise_linear(np.column_stack([rows, rows, 0 * rows]))
    coefficients = np.where(encoding.columns == 0, 0.4, 0.0)
    functions = [VarianceFunction(encoding, coefficients)]
    return TargetNoise([shape], [3.0], variance_functions=functions, **options)


def test_noise_grows_with_the_row():
    aleatoric = TargetDistribution(KnownMembers(1.0), growing_noise()).variances(X).aleatoric
    assert_allclose(aleatoric[-1] / aleatoric[0], np.exp(5 * 0.4))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"spread_share": [0.3], "squared_misfit": [0.5]},
        {"spread_share": [0.7], "squared_misfit": [0.5], "spread_has_tails": True},
        {"spread_share": [0.3], "squared_misfit": [0.5], "skewness": [1.8]},
        {"spread_share": [0.7], "spread_has_tails": True, "skewness": [0.5]},
    ],
)
def test_draws_follow_the_quantiles(options):
    distribution = TargetDistribution(KnownMembers(1.5), growing_noise(**options))
    draws = distribution.draw(X, 20_000, np.random.RandomState(0))
    levels = np.array([0.05, 0.25, 0.75, 0.95])
    below = (draws[..., None] < distribution.quantiles(X, levels)[:, :, None]).mean(axis=2)
    # Three standard errors of a share of 20,000 draws are 0.01.
    assert_allclose(below, np.broadcast_to(levels, below.shape), atol=0.01)


def test_first_draws_do_not_depend_on_later_rows():
    distribution = TargetDistribution(KnownMembers(1.5), growing_noise())
    draws = distribution.draw(X, 7, np.random.RandomState(0))
    assert_allclose(draws[:2], distribution.draw(X[:2], 7, np.random.RandomState(0)))


@pytest.mark.parametrize("spread_has_tails", [False, True])
@pytest.mark.parametrize("skewness", [1.0, 1.8])
def test_noise_is_independent_from_row_to_row(spread_has_tails, skewness):
    noise = growing_noise(skewness=[skewness], spread_has_tails=spread_has_tails)
    distribution = TargetDistribution(KnownMembers(0.0), noise)
    rows = np.zeros((400, 1))
    draws = distribution.draw(rows, 2_000, np.random.RandomState(0))[:, 0]
    assert_allclose(draws.mean(axis=0).std(), draws.std() / np.sqrt(len(rows)), rtol=0.1)


@pytest.mark.parametrize("skewness", [1.0, 1.8])
def test_density_is_that_of_the_quantiles(skewness):
    distribution = TargetDistribution(KnownMembers(1.5), growing_noise(skewness=[skewness]))
    y = np.linspace(-400, 400, 160_001)
    row = np.full((len(y), 1), 0.7)
    density = np.exp(distribution.log_density(row, y[:, None]))[:, 0]
    below = np.cumsum(density) * (y[1] - y[0])
    assert_allclose(below[-1], 1.0, atol=1e-3)
    levels = np.array([0.01, 0.3, 0.5, 0.9])
    quantiles = distribution.quantiles(row[:1], levels)[0, 0]
    assert_allclose(np.interp(quantiles, y, below), levels, atol=2e-3)


def test_density_without_spread_is_that_of_a_scaled_t():
    noise = TargetNoise([2.5], [3.0])
    y = np.array([[-15.0], [-1.0], [0.0], [2.0], [15.0]])
    found = TargetDistribution(KnownMembers(0.0), noise).log_density(X, y)
    expected = t.logpdf(y - X, 5.0, scale=np.sqrt(3.0 / 2.5))
    assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("spread_has_tails", [False, True])
@pytest.mark.parametrize("skewness", [1.0, 1.8])
def test_moments_are_those_of_draws(spread_has_tails, skewness):
    options = {"spread_share": [0.3], "squared_misfit": [0.5], "skewness": [skewness]}
    noise = growing_noise(shape=6.0, spread_has_tails=spread_has_tails, **options)
    distribution = TargetDistribution(KnownMembers(1.5), noise)
    parts = distribution.variances(X)
    assert_allclose(parts.epistemic, 0.3 * 1.5)
    draws = distribution.draw(X, 40_000, np.random.RandomState(0))
    assert_allclose(draws.var(axis=-1), parts.epistemic + parts.aleatoric, rtol=0.05)
    assert_allclose(draws.mean(axis=-1), X, atol=0.06)
