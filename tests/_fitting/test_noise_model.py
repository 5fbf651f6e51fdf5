"""The noise of one output, where the truth is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import check_grad
from scipy.stats import t

from sklearn_dlf._fitting import noise_model
from sklearn_dlf._fitting.noise_model import (
    NoiseModel,
    NoiseRows,
    fit_constant,
    fit_dependent,
    fit_model,
    fit_skewness,
)
from sklearn_dlf._fitting.target_noise import likelier
from sklearn_dlf._predictive.two_piece import center, from_normal


def make_rows(residuals, spread=0.0, excess=0.0, weights=1.0, features=None, offset=0.0):
    n = len(residuals)
    parts = (np.broadcast_to(part, n).astype(float) for part in (spread, excess, weights))
    features = np.empty((n, 0)) if features is None else features
    return NoiseRows(
        residuals**2, residuals > 0, *parts, features, np.broadcast_to(offset, n).astype(float)
    )


def random_rows(rng, n=40):
    return make_rows(
        rng.standard_t(3, size=n),
        spread=rng.uniform(0, 2, n),
        excess=rng.uniform(0, 0.5, n),
        weights=rng.uniform(0.5, 2, n),
        features=rng.uniform(-1, 1, (n, 3)),
        offset=rng.uniform(-1, 1, n),
    )


@pytest.mark.parametrize("spread_has_tails", [False, True])
def test_gradient_of_the_likelihood_is_that_of_finite_differences(monkeypatch, spread_has_tails):
    rows = random_rows(np.random.RandomState(0))
    caught = {}

    def minimize(objective, theta, **options):
        caught["objective"] = objective
        return type("Found", (), {"x": theta, "fun": 0.0})

    monkeypatch.setattr(noise_model, "minimize", minimize)
    coefficients = np.array([0.3, -0.5, 0.2])
    start = NoiseModel(0.3, np.log(2.5), 0.6, coefficients, spread_has_tails)
    fit_model(rows, start, 0.1, least_share=0.0)
    objective = caught["objective"]
    theta = np.array([0.3, np.log(2.5), 0.6, 0.3, -0.5, 0.2])
    error = check_grad(lambda x: objective(x)[0], lambda x: objective(x)[1], theta)
    assert error < 1e-3 * np.linalg.norm(objective(theta)[1])


@pytest.mark.parametrize("shape", [0.8, 3.0, 40.0])
def test_likelihood_without_spread_is_that_of_a_scaled_t(shape):
    residuals = np.array([0.0, 0.5, -1.0, 3.0])
    model = NoiseModel(np.log(4.0), np.log(shape), 1.0, np.empty(0))
    found = model.log_likelihoods(make_rows(residuals))
    assert_allclose(found, t.logpdf(residuals, 2 * shape, scale=2.0), atol=2e-3)


def test_level_and_shape_are_recovered():
    residuals = 1.5 * np.random.RandomState(0).standard_t(4, size=5000)
    model = fit_constant(make_rows(residuals), least_share=1.0)
    assert_allclose(np.exp(model.log_shape), 2.0, rtol=0.1)
    assert_allclose(np.exp(model.log_level), 1.5**2, rtol=0.06)


def test_normal_residuals_have_hardly_any_tails():
    residuals = 1.5 * np.random.RandomState(0).standard_normal(5000)
    model = fit_constant(make_rows(residuals), least_share=1.0)
    assert np.exp(model.log_shape) > 20


def test_known_variance_is_subtracted():
    rng = np.random.RandomState(0)
    n = 5000
    spread, excess = rng.uniform(0, 4, n), rng.uniform(0, 2, n)
    residuals = np.sqrt(1.0 + spread + excess) * rng.standard_normal(n)
    model = fit_constant(make_rows(residuals, spread, excess), least_share=0.0)
    assert model.share == 1.0
    assert_allclose(np.exp(model.log_level), 1.0, rtol=0.15)


def test_share_of_a_spread_that_is_too_large_is_found():
    rng = np.random.RandomState(0)
    spread = rng.uniform(0, 4, 5000)
    residuals = np.sqrt(1.0 + 0.3 * spread) * rng.standard_normal(5000)
    model = fit_constant(make_rows(residuals, spread), least_share=0.0)
    assert_allclose(model.share, 0.3, atol=0.1)


def test_weight_of_two_is_a_row_given_twice():
    residuals = np.random.RandomState(0).standard_normal(60)
    weights = np.repeat([1.0, 2.0], 30)
    weighted = fit_constant(make_rows(residuals, weights=weights), least_share=1.0)
    twice = make_rows(np.repeat(residuals, weights.astype(int)))
    repeated = fit_constant(twice, least_share=1.0)
    assert_allclose(weighted.log_level, repeated.log_level, atol=1e-3)


def test_noise_that_is_constant_stays_constant():
    spreads = []
    for seed in range(10):
        rng = np.random.RandomState(seed)
        rows = make_rows(rng.standard_normal(400), features=rng.uniform(-1, 1, (400, 20)))
        model = fit_dependent(rows, fit_constant(rows, 1.0), 1.0, rng, required=False)
        spreads.append((rows.features @ model.coefficients).std())
    # A gain beyond its standard error comes by chance in some of the fits, and is small then.
    assert np.count_nonzero(spreads) <= 3
    assert max(spreads) < 0.3


def test_noise_that_depends_on_a_feature_is_found():
    rng = np.random.RandomState(0)
    features = rng.uniform(-1, 1, (1500, 4))
    residuals = np.exp(features[:, 2]) * rng.standard_normal(1500)
    rows = make_rows(residuals, features=features)
    model = fit_dependent(rows, fit_constant(rows, 1.0), 1.0, rng, required=False)
    assert_allclose(model.coefficients, [0.0, 0.0, 2.0, 0.0], atol=0.3)


def test_tails_are_kept_where_the_noise_depends_on_features():
    rng = np.random.RandomState(0)
    features = rng.uniform(-1, 1, (1500, 20))
    residuals = np.exp(features[:, 2]) * rng.standard_t(3, size=1500)
    rows = make_rows(residuals, features=features)
    model = fit_dependent(rows, fit_constant(rows, 1.0), 1.0, rng, required=False)
    assert_allclose(2 * np.exp(model.log_shape), 3.0, rtol=0.25)


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize("least_share", [0.0, 1.0])
def test_residuals_of_zero_give_almost_no_noise(spread, least_share):
    model = fit_constant(make_rows(np.zeros(30), spread), least_share)
    assert np.isfinite(model.log_level)
    assert np.exp(model.log_level) < 1e-2


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("known", [False, True])
def test_noise_has_the_unit_of_y(unit, known):
    residuals = unit * np.random.RandomState(0).standard_normal(300)
    offset = 2 * np.log(unit) if known else 0.0
    model = fit_constant(make_rows(residuals, offset=offset), least_share=1.0)
    level = np.log(np.mean(residuals**2)) - offset
    assert_allclose(model.log_level, level, atol=0.1)


def test_level_of_known_noise_is_found_in_any_unit():
    residuals = 1e4 * np.random.RandomState(0).standard_normal(300)
    rows = make_rows(residuals, offset=np.log(4e8))  # four times the variance
    model = fit_constant(rows, least_share=1.0)
    assert_allclose(np.exp(model.log_level), 0.25, rtol=0.15)


def test_residuals_that_are_a_multiple_of_the_spread_have_its_tails():
    rng = np.random.RandomState(0)
    spread = rng.uniform(0.2, 4, 3_000)
    rows = make_rows(np.sqrt(spread) * rng.standard_t(4, size=3_000), spread)
    models = [fit_constant(rows, 0.01, spread_has_tails=has_tails) for has_tails in (True, False)]
    with_tails, without = (model.log_likelihoods(rows).mean() for model in models)
    assert with_tails > without + 0.01
    assert_allclose(np.exp(models[0].log_shape), 2.0, rtol=0.15)
    assert_allclose(models[0].share, 1.0, rtol=0.1)


@pytest.mark.parametrize("has_tails", [True, False])
def test_the_spread_has_tails_where_residuals_are_likelier_so(has_tails):
    rng = np.random.RandomState(1)
    spread = rng.uniform(0.2, 4, 1_000)
    residuals = np.sqrt(spread) * rng.standard_t(4, size=1_000)
    if not has_tails:
        residuals = np.sqrt(spread) * rng.standard_normal(1_000) + rng.standard_t(2, size=1_000)
    rows = [make_rows(residuals, spread), make_rows(residuals[::-1], spread[::-1])]
    with_tails = [fit_constant(part, 0.01) for part in rows]
    plain = [fit_constant(part, 0.01, spread_has_tails=False) for part in rows]
    models = likelier(with_tails, plain, rows)
    assert [model.spread_has_tails for model in models] == [has_tails, has_tails]


@pytest.mark.parametrize("spread_has_tails", [False, True])
def test_skewness_is_found_whatever_the_tails(spread_has_tails):
    rng = np.random.RandomState(0)
    std = np.sqrt(1.0 + 3.0 / rng.gamma(3.0, size=2000))
    skewness = 1.7
    drawn = std * from_normal(rng.standard_normal(2000), skewness)
    drawn += center(skewness) * std.mean()
    rows = make_rows(drawn, spread=1.0)
    model = fit_skewness(fit_constant(rows, 1.0, spread_has_tails), rows)
    assert model.skewness == pytest.approx(skewness, rel=0.1)
    mirrored = make_rows(-drawn, spread=1.0)
    other = fit_skewness(fit_constant(mirrored, 1.0, spread_has_tails), mirrored)
    assert other.skewness == pytest.approx(1 / model.skewness, rel=1e-3)


def test_symmetric_residuals_have_no_skewness():
    n_skewed = 0
    for seed in range(20):
        rows = make_rows(np.random.RandomState(seed).standard_t(4, size=300))
        n_skewed += fit_skewness(fit_constant(rows, 1.0), rows).skewness != 1
    assert n_skewed <= 2  # one in a hundred is expected


def test_a_share_below_one_needs_more_than_a_small_gain():
    """Noise that grows with the spread explains residuals nearly as well as the spread does."""
    ones = {0.0: 0, 2.0: 0}
    for seed in range(12):
        rng = np.random.RandomState(seed)
        spread = np.exp(rng.standard_normal(300))
        features = np.log(spread)[:, None]
        rows = make_rows(0.9 * spread**0.4 * rng.standard_normal(300), spread, features=features)
        constant = fit_constant(rows, 0.05)
        for share_errors in ones:
            state = np.random.RandomState(0)
            model = fit_dependent(rows, constant, 0.05, state, True, share_errors=share_errors)
            ones[share_errors] += model.share == 1
    assert ones[2.0] > ones[0.0] + 3
