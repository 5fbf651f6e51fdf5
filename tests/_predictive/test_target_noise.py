import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr
from scipy.stats import norm, t

from sklearn_dlf import DLFRegressor
from sklearn_dlf._predictive.scale_mixture import node_weights
from sklearn_dlf._predictive.target_noise import TargetNoise
from sklearn_dlf._predictive.variance_functions import (
    N_PIECES,
    VarianceFunction,
    make_piecewise_linear,
    noise_columns,
)

ONE = np.ones((1, 1))
LEVELS = [0.001, 0.05, 0.3, 0.5, 0.9, 0.975, 0.9999]


def quantiles(noise, variance=0.0, factor=1.0, levels=LEVELS):
    return noise.quantiles(0 * ONE, variance * ONE, factor * ONE, levels)[0, 0]


def test_spread_with_tails_and_noise_follow_one_scaled_t():
    noise = TargetNoise([2.5], [2.5 * 4.0], spread_share=[0.5], spread_has_tails=True)
    found = quantiles(noise, variance=6.0)
    expected = t.ppf(LEVELS, 5.0, scale=np.sqrt(0.5 * 6.0 + 4.0))
    assert_allclose(found, expected, rtol=1e-3, atol=1e-12)
    # The variance of a t with 5 degrees of freedom is 5/3; the members' share is not in it.
    assert_allclose(noise.mean_variance(6 * ONE, ONE), 7.0 * 5 / 3 - 0.5 * 6.0)


def test_quantiles_without_tails_are_those_of_a_normal():
    noise = TargetNoise([np.inf], [2.0])
    found = noise.quantiles(ONE, 3 * ONE, ONE, LEVELS)[0, 0]
    assert_allclose(found, norm.ppf(LEVELS, 1.0, np.sqrt(5.0)), rtol=1e-9)


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.5, 30.0])
def test_quantiles_without_spread_are_those_of_a_scaled_t(shape):
    expected = t.ppf(LEVELS, 2 * shape, scale=np.sqrt(3.0 / shape))
    # The rule is accurate to a part in 10,000 where tails are heaviest.
    assert_allclose(quantiles(TargetNoise([shape], [3.0])), expected, rtol=1e-3, atol=1e-12)


def test_factor_multiplies_the_noise_but_not_the_spread():
    noise = TargetNoise([np.inf], [2.0])
    found = quantiles(noise, variance=3.0, factor=4.0)
    assert_allclose(found, norm.ppf(LEVELS, 0.0, np.sqrt(3.0 + 4.0 * 2.0)), rtol=1e-9)


@pytest.mark.parametrize("shape", [1.0, 20.0, np.inf])
def test_quantiles_far_in_the_tail_are_finite_and_rise(shape):
    levels = np.array([1e-300, 1e-100, 1e-17, 1e-9, 2e-6, 1e-6, 0.9e-6, 1e-4, 0.5])
    found = quantiles(TargetNoise([shape], [1.0]), variance=2.0, levels=levels)
    assert np.isfinite(found).all()
    assert_array_equal(np.argsort(found), np.argsort(levels))


@pytest.mark.parametrize("level", [1.5e-6, 0.5e-6])  # found by Newton's method, and by bisection
def test_quantiles_of_rare_events_have_their_level(level):
    noise = TargetNoise([4.0], [1.0])
    found = quantiles(noise, variance=2.0, levels=[level])
    std = noise.std_nodes(2 * ONE, ONE)[0, 0]
    assert_allclose(norm.cdf(found / std) @ node_weights(), level, rtol=1e-3)


def test_share_of_the_spread_and_misfit_enter_the_quantiles():
    noise = TargetNoise([np.inf], [2.0], spread_share=[0.5], squared_misfit=[0.7])
    found = quantiles(noise, variance=3.0)
    assert_allclose(found, norm.ppf(LEVELS, 0.0, np.sqrt(0.5 * 3.0 + 0.7 + 2.0)), rtol=1e-9)


@pytest.mark.parametrize("shape", [0.6, 1.0, 30.0])
def test_distribution_function_is_the_level_at_the_quantile(shape):
    noise = TargetNoise([shape], [1.0])
    variance, levels = np.array([[0.0], [1e-6], [1.0], [1e6]]), [1e-4, 0.05, 0.5, 0.75, 0.95]
    ends = noise.quantiles(np.zeros((4, 1)), variance, np.ones((4, 1)), levels)
    std = noise.std_nodes(variance, np.ones((4, 1)))
    reached = ndtr(ends[..., None] / std[:, :, None]) @ node_weights()
    assert_allclose(
        reached,
        np.broadcast_to(levels, reached.shape),
        rtol=1e-5,  # of interpolation
    )
    assert_array_equal(ends[..., 1], -ends[..., 4])


def test_draws_have_the_quantiles_of_the_nodes():
    noise = TargetNoise([3.0], [2.0])
    scores = np.random.RandomState(0).standard_normal((1, 1, 40_000))
    draws = noise.scale * np.sort(noise.units(scores)[0, 0])
    order = np.argsort(noise.nodes()[0])
    nodes, below = noise.nodes()[0, order], np.cumsum(node_weights()[order])
    for level in (0.1, 0.5, 0.9):  # three standard errors of the share are 0.008
        node = np.searchsorted(below, level)
        share = np.searchsorted(draws, nodes[node]) / len(draws)
        middle = below[node] - 0.5 * node_weights()[order][node]
        assert abs(share - middle) < 0.01


def test_mean_variance_is_that_of_the_inverse_gamma_variable():
    noise = TargetNoise([3.0, np.inf, 1.0], [4.0, 5.0, 6.0], squared_misfit=[0.5, 0.0, 0.0])
    found = noise.mean_variance(np.ones((1, 3)), np.full((1, 3), 2.0))
    assert_allclose(found, [[2 * 4.0 / 2 + 0.5, 2 * 5.0, np.inf]])
    assert_allclose(noise.nodes()[:2] @ node_weights(), [2.0, 5.0], rtol=1e-3)


def test_piecewise_linear_functions_are_represented_exactly():
    x = np.random.RandomState(0).uniform(-2, 2, size=(500, 1))
    encoding = make_piecewise_linear(x)
    knots = np.quantile(x, np.linspace(0, 1, N_PIECES + 1))
    values = np.interp(x[:, 0], knots, [0.0, 2.0, -1.0, 0.0, 3.0, 1.0])
    design = np.column_stack([np.ones(500), encoding(x)])
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert_allclose(fitted, values, atol=1e-10)
    assert_allclose(encoding(x).mean(axis=0), 0, atol=1e-12)


def test_variance_is_constant_beyond_the_data():
    x = np.random.RandomState(0).uniform(-2, 2, size=(500, 1))
    columns = np.column_stack([x, x, 0 * x])  # row, mean and the logarithm of a variance of one
    encoding = make_piecewise_linear(columns)
    function = VarianceFunction(encoding, np.ones(len(encoding.columns)))
    ends = np.array([[x.min()], [x.min() - 9], [x.max()], [x.max() + 9]])
    factor = function(ends, ends[:, 0], np.ones(4))
    assert_allclose(factor[[0, 2]], factor[[1, 3]])
    assert factor[2] > factor[0]


def test_variance_is_shrunk_as_where_the_noise_was_learnt():
    rng = np.random.RandomState(0)
    few, typical = rng.uniform(1, 9, size=500), 5.0
    zeros = np.zeros((500, 1))
    learnt = noise_columns(zeros, zeros, 0.2 * few + 0.8 * typical)
    encoding = make_piecewise_linear(learnt)
    function = VarianceFunction(encoding, np.arange(N_PIECES), 0.2, typical)
    assert_allclose(np.log(function(zeros, zeros, few)), encoding(learnt) @ np.arange(N_PIECES))


def test_columns_without_a_range_have_no_piece():
    encoding = make_piecewise_linear(np.column_stack([np.ones(9), np.repeat([0.0, 1.0, 1.0], 3)]))
    assert_array_equal(np.unique(encoding.columns), [1])
    assert (encoding.width > 0).all()


def test_intervals_of_a_student_that_misses_the_mean_have_their_level():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, size=(4000, 1))
    truth = np.sin(3 * X)  # more than two units can follow
    members = truth + 0.05 * rng.standard_normal(20)
    y = truth[:, 0] + 0.1 * rng.standard_normal(len(X))
    student = DLFRegressor(q=1, hidden_layer_sizes=(2,), random_state=0)
    student.fit(X[:2000], y[:2000], predictions=members[:2000], unseen=True)
    misfit = np.mean((student.predict(X) - members.mean(axis=1)) ** 2)
    assert misfit > 0.1  # the noise of y is 0.01
    noise, (_, std) = student.target_noise_, student.predict(X, return_std=True)
    assert_allclose(noise.misfit(std[:, None] ** 2).mean(), misfit, rtol=0.05)
    low, high = student.predict_interval(X[2000:], 0.9).T
    assert np.mean((low < y[2000:]) & (y[2000:] < high)) > 0.88


def test_it_shows_its_parameters():
    assert repr(TargetNoise([3.0], [0.5])) == (
        "TargetNoise(shape=[3.0], scale=[0.5], spread_share=[1.0], squared_misfit=[0.0], "
        "misfit_share=[0.0], skewness=[1.0], bias=[0.0], depends_on_row=False)"
    )
