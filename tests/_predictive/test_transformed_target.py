"""The way from a transformed space to units of y, against closed forms."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.preprocessing import (
    FunctionTransformer,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)

from sklearn_dlf._predictive.transformed_target import TargetTransformer, TransformedTarget
from sklearn_dlf._predictive.two_piece import from_normal

RNG = np.random.RandomState(0)
POSITIVE = np.exp(1 + RNG.standard_normal((200, 2)))


def make_target(y, *transformers, with_y=True):
    """A fitted transformation, with members that scatter around transformed y."""
    transformer = TargetTransformer(*transformers)
    values = transformer.transform(y)
    members = values[:50, :, None] + 0.1 * RNG.standard_normal((50, values.shape[1], 5))
    return TransformedTarget(transformer, values if with_y else None, members)


def functions(func, inverse_func):
    return FunctionTransformer(func, inverse_func)


LOG = functions(np.log, np.exp)
LOG1P = functions(np.log1p, np.expm1)
SQRT = functions(np.sqrt, np.square)
RECIPROCAL = functions(lambda y: 1 / y, lambda u: 1 / u)


@pytest.fixture
def gaussian():
    """Mean and covariance over 6 rows of two outputs."""
    factors = RNG.standard_normal((2, 6, 3)) * [[[1.0]], [[0.5]]]
    covariance = np.moveaxis(factors @ np.swapaxes(factors, 1, 2) + 0.1 * np.eye(6), 0, -1)
    return RNG.standard_normal((6, 2)), covariance


def test_moments_of_logarithms_are_those_of_a_log_normal(gaussian):
    mean, covariance = gaussian
    variance = covariance[np.arange(6), np.arange(6)]
    moments = make_target(POSITIVE, LOG).moments(mean, variance)
    expected = np.exp(mean + variance / 2)
    assert_allclose(moments.mean, expected, rtol=1e-8)
    # standard deviations reach 2.5: their squares have a hundredth of a millionth beyond the nodes
    assert_allclose(moments.variance, expected**2 * np.expm1(variance), rtol=1e-5)


@pytest.mark.parametrize("transformer", [LOG, FunctionTransformer()])
def test_moments_of_two_piece_normals_are_those_of_draws(transformer):
    target, skewness = make_target(POSITIVE, transformer), np.array([0.6, 1.7])
    center, std = np.array([[0.3, -0.2]]), np.array([[0.4, 0.6]])
    z = from_normal(RNG.standard_normal((400_000, 2)), skewness)
    draws = target.invert(center + std * z)
    moments = target.moments(center, std**2, skewness)
    assert_allclose(moments.mean[0], draws.mean(axis=0), rtol=0.02, atol=0.01)
    assert_allclose(moments.variance[0], draws.var(axis=0), rtol=0.05)


def test_covariance_of_logarithms_is_that_of_a_log_normal(gaussian):
    mean, covariance = gaussian
    expected = np.exp(mean + covariance[np.arange(6), np.arange(6)] / 2)
    exact = expected[:, None] * expected * np.expm1(covariance)
    _, found = make_target(POSITIVE, LOG).covariance(mean, covariance)
    assert_allclose(found, exact, rtol=1e-4, atol=1e-5 * exact.max())


def test_the_diagonal_of_the_covariance_is_the_variance(gaussian):
    mean, covariance = gaussian
    target = make_target(POSITIVE, SQRT)
    found_mean, found = target.covariance(mean, covariance)
    moments = target.moments(mean, covariance[np.arange(6), np.arange(6)])
    assert_array_equal(found[np.arange(6), np.arange(6)], moments.variance)
    assert_array_equal(found_mean, moments.mean)


def test_linear_transformations_are_exact(gaussian):
    mean, covariance = gaussian
    scaler = StandardScaler().fit(POSITIVE)
    found_mean, found = make_target(POSITIVE, scaler).covariance(mean, covariance)
    assert_allclose(found_mean, scaler.inverse_transform(mean), rtol=1e-12)
    assert_allclose(found, covariance * scaler.scale_**2, rtol=1e-12)


def test_moments_of_square_roots_are_those_of_values_bounded_at_zero():
    target = make_target(POSITIVE, SQRT)
    mean, std = np.array([[0.3, 1.0]]), np.array([[0.5, 2.0]])
    moments = target.moments(mean, std**2)
    draws = np.maximum(mean + std * RNG.standard_normal((10**6, 1)), 0) ** 2
    assert_allclose(moments.mean[0], draws.mean(axis=0), rtol=0.01)
    assert_allclose(moments.variance[0], draws.var(axis=0), rtol=0.02)


@pytest.mark.parametrize("with_y", [True, False])
def test_the_square_root_is_not_turned_round_at_zero(with_y):
    target = make_target(POSITIVE, SQRT, with_y=with_y)
    assert_allclose(target.invert(np.array([[-2.0, -0.1]])), 0, atol=1e-6)
    assert_allclose(target.invert(np.array([[2.0, 0.1]])), [[4.0, 0.01]], rtol=1e-9)


def test_a_reciprocal_does_not_run_off_to_infinity():
    lifetimes = np.linspace(1.0, 20.0, 200)[:, None]
    target = make_target(lifetimes, RECIPROCAL)
    values = target.invert(np.linspace(-3, 3, 1000)[:, None])
    assert values.max() < 2 * lifetimes.max()


@pytest.mark.parametrize("method", ["box-cox", "yeo-johnson"])
def test_power_transformations_are_finite_everywhere(method):
    skewed = np.exp(POSITIVE[:, :1] / POSITIVE.max() * 9)  # the power is negative
    power = PowerTransformer(method).fit(skewed)
    assert power.lambdas_[0] < 0
    values = make_target(skewed, power).invert(np.linspace(-1e3, 1e3, 1001)[:, None])
    assert np.isfinite(values).all()
    assert np.all(np.diff(values[:, 0]) >= 0)


def test_an_exponential_is_not_bounded_within_ten_widths():
    target = make_target(POSITIVE, LOG)
    values = np.ptp(np.log(POSITIVE)) * np.array([[-10.0, 10.0]])
    assert_allclose(target.invert(values), np.exp(values), rtol=1e-12)


def test_values_of_one_sign_keep_it():
    counts = RNG.poisson(2.0, (200, 1)).astype(float)
    assert make_target(counts + 0.5, LOG1P).invert(np.array([[-3.0]])) == 0
    signed = TransformedTarget(TargetTransformer(LOG1P), np.log1p(counts), np.full((5, 1, 2), -0.5))
    assert_allclose(signed.invert(np.array([[-3.0]])), np.expm1(-3.0))


def test_a_support_is_left_if_values_lie_outside_of_it():
    target = make_target(POSITIVE, LOG1P)
    assert target.covering(POSITIVE).invert(np.array([[-0.5, -0.5]])).tolist() == [[0.0, 0.0]]
    covering = target.covering(np.array([[-0.2, 1.0]]))
    assert_allclose(covering.invert(np.array([[-0.5, -0.5]])), [[np.expm1(-0.5), 0.0]])


@pytest.mark.parametrize("transformer", [RECIPROCAL, LOG])
def test_quantiles_are_ordered_by_their_levels(transformer):
    target = make_target(POSITIVE, transformer)
    levels, values = np.array([0.1, 0.7]), RNG.uniform(0.2, 1, 1001)
    inner = np.quantile(values, target.inner_levels(levels))
    found = target.quantiles(np.tile(inner, (3, 2, 1)))
    expected = np.quantile(transformer.inverse_func(values), levels)
    # an empirical quantile lies between two values, whose distance the way back changes
    assert_allclose(found, np.broadcast_to(expected, (3, 2, 2)), rtol=1e-4)


@pytest.mark.parametrize("transformer", [LOG, SQRT, RECIPROCAL])
def test_the_slope_is_that_of_the_way_back(transformer):
    values = np.array([[0.5, 1.5]])
    slopes = {LOG: np.exp(values), SQRT: 2 * values, RECIPROCAL: values**-2}
    found = make_target(POSITIVE, transformer).log_slope(values)
    assert_allclose(found, np.log(slopes[transformer]), atol=1e-6)


def test_transformations_that_mix_outputs_are_refused():
    with pytest.raises(ValueError, match="mixes outputs"):
        make_target(POSITIVE, PCA(2).fit(POSITIVE))


def test_transformations_with_fewer_outputs_are_refused():
    with pytest.raises(ValueError, match="number of outputs"):
        make_target(POSITIVE, PCA(1).fit(POSITIVE))


def test_a_way_back_that_turns_round_is_refused():
    with pytest.raises(ValueError, match="not monotone"):
        make_target(10 * POSITIVE, functions(lambda y: y, np.sin))


def test_transformations_are_undone_in_the_other_order():
    scaler = StandardScaler().fit(np.log(POSITIVE))
    transformer = TargetTransformer(LOG, scaler)
    assert_allclose(transformer.transform(POSITIVE), scaler.transform(np.log(POSITIVE)))
    assert_allclose(transformer.invert(transformer.transform(POSITIVE)), POSITIVE)


def make_logs(base):
    return functions(lambda y: np.log(y) / np.log(base), lambda u: base**u)


def shifted(y, by):
    return y + by


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (LOG, functions(np.log, np.exp), True),
        (LOG, LOG1P, False),
        (make_logs(2.0), make_logs(2.0), True),
        (make_logs(2.0), make_logs(10.0), False),
        (functions(partial(shifted, by=1), None), functions(partial(shifted, by=1), None), True),
        (functions(partial(shifted, by=1), None), functions(partial(shifted, by=2), None), False),
        (StandardScaler().fit(POSITIVE), StandardScaler().fit(POSITIVE.copy()), True),
        (StandardScaler().fit(POSITIVE), StandardScaler().fit(2 * POSITIVE), False),
        (PowerTransformer().fit(POSITIVE), PowerTransformer().fit(POSITIVE.copy()), True),
        (LOG, StandardScaler().fit(POSITIVE), False),
        (
            QuantileTransformer(n_quantiles=20).fit(POSITIVE),
            QuantileTransformer(n_quantiles=20).fit(POSITIVE**2),
            False,
        ),
    ],
)
def test_transformations_are_compared_by_what_they_hold(a, b, same):
    assert TargetTransformer(a).same_as(TargetTransformer(b)) == same
