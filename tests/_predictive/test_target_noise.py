import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr
from scipy.stats import invgamma, norm, t

from sklearn_dlf import DLFRegressor
from sklearn_dlf._predictive.target_noise import TargetNoise


def inverse_gamma(shape, scale, size=4000, seed=0):
    return invgamma.rvs(shape, scale=scale, size=size, random_state=seed)[:, None]


def test_inverse_gamma_is_recovered_from_many_estimates():
    noise = TargetNoise(inverse_gamma(6.0, 3.0))
    assert_allclose([noise.shape[0], noise.scale[0]], [6.0, 3.0], rtol=0.06)  # 4,000 draws


@pytest.mark.parametrize("variances", [[2.0] * 20, [1.0, 3.0], [0.0, 1.0, 2.0, 3.0, 4.0, 2.0]])
def test_equal_few_or_zero_estimates_are_taken_for_a_constant(variances):
    noise = TargetNoise(np.array(variances)[:, None])
    assert np.isinf(noise.shape[0])
    assert_allclose(noise.nodes(), 2.0)
    assert_allclose(noise.draw(3, np.random.RandomState(0)), 2.0)


def test_quantiles_under_constant_noise_are_those_of_a_normal():
    noise = TargetNoise(np.full((20, 1), 2.0))
    levels = [0.05, 0.5, 0.975]
    quantiles = noise.quantiles(np.array([[1.0]]), np.array([[3.0]]), levels)
    assert_allclose(quantiles[0, 0], norm.ppf(levels, 1.0, np.sqrt(5.0)), rtol=1e-9)


def test_quantiles_without_spread_are_those_of_a_scaled_t():
    noise = TargetNoise(inverse_gamma(6.0, 3.0))
    shape, scale = noise.shape[0], noise.scale[0]
    levels = [0.025, 0.5, 0.9, 0.975]
    quantiles = noise.quantiles(np.array([[0.0]]), np.array([[0.0]]), levels)
    expected = t.ppf(levels, 2 * shape, scale=np.sqrt(scale / shape))
    assert_allclose(quantiles[0, 0], expected, rtol=2e-3, atol=1e-12)  # the nodes' own precision


@pytest.mark.parametrize("shape", [0.05, 1.0, 30.0])
def test_distribution_function_is_the_level_at_the_quantile(shape):
    noise = TargetNoise(inverse_gamma(shape, 1.0, size=50))
    variance, levels = np.array([[0.0], [1e-6], [1.0], [1e6]]), [1e-4, 0.05, 0.5, 0.75, 0.95]
    quantiles = noise.quantiles(np.zeros((4, 1)), variance, levels)
    std = np.sqrt(variance[:, :, None, None] + noise.nodes()[:, None, :])
    reached = ndtr(quantiles[..., None] / std).mean(axis=-1)
    assert_allclose(reached, np.broadcast_to(levels, reached.shape), rtol=1e-9)
    assert_array_equal(quantiles[..., 1], -quantiles[..., 4])


def test_draws_have_the_distribution_of_the_estimates():
    noise = TargetNoise(inverse_gamma(6.0, 3.0))
    draws = noise.draw(20_000, np.random.RandomState(0))
    assert_allclose(draws.mean(), 3.0 / 5.0, rtol=0.05)
    assert_allclose(np.median(draws), np.median(noise.nodes()), rtol=0.05)


def test_the_error_of_the_students_mean_is_added_to_every_variance():
    variances = inverse_gamma(6.0, 3.0)
    noise, more = TargetNoise(variances), TargetNoise(variances, [0.7])
    assert_allclose(more.nodes(), noise.nodes() + 0.7)
    assert_allclose(
        more.draw(5, np.random.RandomState(0)), noise.draw(5, np.random.RandomState(0)) + 0.7
    )


def test_intervals_of_a_student_that_misses_the_mean_have_their_level():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, size=(4000, 1))
    truth = np.sin(3 * X)  # more than two units can follow
    members = truth + 0.05 * rng.standard_normal(20)
    y = truth[:, 0] + 0.1 * rng.standard_normal(len(X))
    student = DLFRegressor(q=1, hidden_layer_sizes=(2,), random_state=0)
    student.fit(X[:2000], y[:2000], predictions=members[:2000])
    misfit = np.mean((student.predict(X) - members.mean(axis=1)) ** 2)
    assert misfit > 0.1  # the noise of y is 0.01
    assert_allclose(student.target_noise_.squared_misfit, misfit, rtol=0.05)
    low, high = student.predict_interval(X[2000:], 0.9).T
    assert np.mean((low < y[2000:]) & (y[2000:] < high)) > 0.88
