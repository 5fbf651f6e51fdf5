import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import expit, softmax
from scipy.stats import norm

from sklearn_dlf._network.heads import Heads, Units
from sklearn_dlf._predictive import averaged_probabilities as averages_module
from sklearn_dlf._predictive.averaged_probabilities import (
    _MirroredDraws,
    average_log_probabilities,
    average_probabilities,
)
from sklearn_dlf._predictive.fixed_draws import N_DRAWS, normal_draws
from sklearn_dlf._predictive.logits import entropies


def average(mean, loadings, variance, with_entropy=False, mixing=None, shares=None):
    """Averages of members in nats."""
    with np.errstate(divide="ignore"):
        heads = Heads(mean, np.log(variance), loadings, mixing, shares)
    n_outputs = mean.shape[1]
    units = Units(np.zeros(n_outputs), np.ones(n_outputs), np.ones(n_outputs))
    return average_probabilities(heads, units, with_entropy)


def test_average_of_two_classes_is_the_integral():
    mean, variance = np.array([[-2.0], [0.5], [6.0]]), np.array([[0.3], [4.0], [9.0]])
    loadings = np.sqrt(variance / 2)[..., None]  # half of the variance
    expected = [
        quad(lambda f, m=m, s=s: expit(f) * norm.pdf(f, m, s), -40, 40, points=[m])[0]
        for m, s in zip(mean[:, 0], np.sqrt(variance[:, 0]), strict=True)
    ]
    averaged, _ = average(mean, loadings, variance / 2)
    assert_allclose(averaged[:, 1], expected, rtol=1e-4)


def test_averages_do_not_depend_on_the_order_of_classes():
    rng = np.random.RandomState(0)
    mean, loadings, variance = rng.randn(40, 4), rng.randn(40, 4, 3), rng.rand(40, 4)
    order = [2, 0, 3, 1]
    first, _ = average(mean, loadings, variance)
    second, _ = average(mean[:, order], loadings[:, order], variance[:, order])
    # The draws of the noise are others.
    assert_allclose(second, first[:, order], atol=0.05)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_averages_are_those_of_softmax_over_the_same_draws(spread, separable):
    rng = np.random.RandomState(0)
    mean, loadings = 3 * rng.randn(200, 4), spread * rng.randn(200, 1 if separable else 4, 3)
    variance, mixing = spread * rng.rand(200, 4), rng.randn(4, 4) if separable else None
    dense = loadings
    if separable:
        dense = np.linalg.norm(loadings, axis=-1, keepdims=True) * mixing
    n_factors = dense.shape[-1]
    draws = normal_draws(n_factors + 4)
    latent = mean[..., None] + dense @ draws[:n_factors]
    latent += np.sqrt(variance)[..., None] * draws[n_factors:]
    members = softmax(latent, axis=1)
    averaged, none = average(mean, loadings, variance, mixing=mixing)
    assert none is None
    assert_allclose(averaged, members.mean(axis=-1), rtol=1e-10)
    float32 = [a.astype(np.float32) for a in (mean, loadings, variance)]
    averaged, _ = average(*float32, mixing=mixing)
    assert_allclose(averaged, members.mean(axis=-1), atol=2e-5)


def draw_members(mean, loadings, variance, mixing, shares, n_draws=10_000):
    """Probabilities (n, K, n_draws) of random members, with noise correlated over classes."""
    rng = np.random.RandomState(1)
    if mixing is not None:
        loadings = np.linalg.norm(loadings, axis=-1, keepdims=True) * mixing
    correlation = naive.noise_correlation(shares)
    noise = np.linalg.cholesky(correlation) @ rng.standard_normal((*mean.shape, n_draws))
    latent = mean[..., None] + loadings @ rng.standard_normal((loadings.shape[-1], n_draws))
    return softmax(latent + np.sqrt(variance)[..., None] * noise, axis=1)


@pytest.mark.parametrize("n_classes", [3, 5, 40])
@pytest.mark.parametrize("separable", [False, True])
def test_averages_with_correlated_noise_are_those_of_random_members(separable, n_classes):
    rng = np.random.RandomState(0)
    mean, variance = 2 * rng.randn(6, n_classes), 4 * rng.rand(6, n_classes) + 2
    loadings = 0.3 * rng.randn(6, 1 if separable else n_classes, 2)
    mixing = rng.randn(n_classes, n_classes) / np.sqrt(n_classes) if separable else None
    shares = rng.randn(6, n_classes, 2)
    shares *= 0.95 / np.linalg.norm(shares, axis=-1, keepdims=True)
    parts = mean, loadings, variance
    members = draw_members(*parts, mixing, shares)
    averaged, _ = average(*parts, mixing=mixing, shares=shares)
    # Averages over 100 fixed draws err by about 0.01, or 0.02 with many classes.
    atol = 0.03 if n_classes < 40 else 0.06
    assert_allclose(averaged, members.mean(axis=-1), atol=atol)
    independent, _ = average(*parts, mixing=mixing)
    errors = np.square([averaged, independent] - members.mean(axis=-1)).sum(axis=(1, 2))
    assert errors[0] < errors[1]
    _, entropy = average(*parts, with_entropy=True, mixing=mixing, shares=shares)
    assert_allclose(entropy, entropies(members).mean(axis=-1), atol=atol)
    heads = Heads(mean, np.log(variance), loadings, mixing, shares)
    units = Units(np.zeros(n_classes), np.ones(n_classes), np.ones(n_classes))
    exact, disagreement = average_probabilities(heads, units, True, every_row=True)
    assert_allclose(exact, members.mean(axis=-1), atol=atol)
    assert_allclose(disagreement, entropies(members).mean(axis=-1), atol=atol)
    assert_allclose(np.exp(average_log_probabilities(heads, units)), averaged, atol=1e-10)


@pytest.mark.parametrize("largest", [1.0, 40.0, 57.0, 62.0, 70.0, 80.0])
def test_averages_are_right_near_the_ends_of_float32(largest):
    rng = np.random.RandomState(0)
    mean = np.array([largest, 0.0, 0.0]) + rng.randn(500, 3)
    loadings = rng.uniform(-25, 25, (500, 3, 2)) * [[0.1], [1], [1]]
    parts = mean, loadings, rng.rand(500, 3)
    expected, _ = average(*parts)
    averaged, _ = average(*(part.astype(np.float32) for part in parts))
    assert_allclose(averaged, expected, atol=2e-5)


def test_the_fast_average_is_used_where_powers_stay_in_range():
    rng = np.random.RandomState(0)
    units = Units(np.zeros(3), np.ones(3), np.ones(3))
    for reach, is_done in ((1.0, True), (50.0, True), (60.0, False), (np.nan, False)):
        mean = np.array([[reach, 0.0, 0.0], [0.0, 0.0, 0.0]])
        heads = Heads(mean, np.full((2, 3), -np.inf), np.zeros((2, 3, 2)))
        found = _MirroredDraws(heads, units, 50).average(slice(0, 2))
        assert (found is not None) == is_done
    rows = [rng.randn(20, 3), rng.randn(20, 3), rng.randn(20, 3, 2)]
    assert _MirroredDraws(Heads(*rows), units, 50).average(slice(3, 20)).shape == (3, 17)


def test_units_are_those_of_the_heads():
    rng = np.random.RandomState(0)
    heads = Heads(rng.randn(50, 3), rng.randn(50, 3), rng.randn(50, 3, 2))
    units = Units(rng.randn(3), rng.rand(3) + 0.5, rng.rand(3) + 0.5)
    own = heads.in_units(units)
    expected, _ = average(own.mean, own.loadings, own.member_variance)
    averaged, _ = average_probabilities(heads, units)
    assert_allclose(averaged, expected, rtol=1e-10)


def test_logits_of_any_size_have_probabilities():
    mean = np.array([[0, 0, 0], [1e4, 0, -1e4], [90, 0, 0], [0, 0, -200]], dtype=np.float32)
    loadings = np.ones((4, 3, 1), dtype=np.float32)
    loadings[0, :, 0] = 1e4, 0, -1e4
    averaged, _ = average(mean, loadings, np.ones((4, 3), dtype=np.float32))
    expected = [[0.5, 0, 0.5], [1, 0, 0], [1, 0, 0], [0.5, 0.5, 0]]
    # The draws are not the same for all classes.
    assert_allclose(averaged, expected, atol=0.03)


@pytest.mark.parametrize("n_outputs", [1, 5])
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_a_block_is_averaged_as_its_rows_are(with_entropy, separable, n_outputs, monkeypatch):
    rng = np.random.RandomState(0)
    mean, variance = rng.randn(300, n_outputs), rng.rand(300, n_outputs)
    loadings = rng.randn(300, 1 if separable else n_outputs, 2)
    mixing = rng.randn(n_outputs, n_outputs) if separable else None
    mean[50] *= 1000
    expected = average(mean, loadings, variance, with_entropy, mixing)
    monkeypatch.setattr(averages_module, "BLOCK_SIZE", 40 * N_DRAWS * n_outputs)
    for found, wanted in zip(
        average(mean, loadings, variance, with_entropy, mixing), expected, strict=True
    ):
        assert (found is None) == (wanted is None)
        if found is not None:
            assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


def test_one_output_is_multiplied_by_its_mixing():
    rng = np.random.RandomState(0)
    mean, loadings, variance = rng.randn(9, 1), rng.randn(9, 1, 2), rng.rand(9, 1)
    averaged, _ = average(mean, loadings, variance, mixing=np.array([[3.0]]))
    assert_allclose(averaged, average(mean, 3 * loadings, variance)[0], rtol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_log_averages_are_finite_and_those_of_the_averages(n_outputs, size):
    rng = np.random.RandomState(0)
    mean, noise = size * rng.randn(40, n_outputs), np.log(rng.rand(40, n_outputs))
    heads = Heads(mean, noise, rng.randn(40, n_outputs, 2))
    ones = np.ones(n_outputs)
    units = Units(0 * ones, ones, ones)
    logarithms = average_log_probabilities(heads, units)
    probabilities, _ = average_probabilities(heads, units)
    assert np.isfinite(logarithms).all()
    assert_allclose(np.exp(logarithms), probabilities, rtol=1e-8, atol=1e-300)
    if size > 1:  # e to the power of what is left does not exist as a float
        assert logarithms.min() < -1e3
