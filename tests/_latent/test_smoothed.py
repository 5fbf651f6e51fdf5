"""The smoothed law of the latent variables."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from sklearn_dlf._latent.smoothed import (
    LatentLaw,
    law_log_likelihood,
    normality_p_value,
    smoothed_law,
    standardise,
)

VARIANCES = np.array([20.0, 3.0, 1.0, 0.5])


def groups(n_members=60, seed=0):
    """Standardised latent variables in two groups along the first factor."""
    rng = np.random.RandomState(seed)
    latent = rng.standard_normal((n_members, 4))
    latent[: n_members // 2, 0] += 8.0
    return standardise(latent)


def normals(seed, n_members=50, q=8):
    return standardise(np.random.RandomState(seed).standard_normal((n_members, q)))


def test_standardised_variables_have_mean_zero_and_identity_covariance():
    latent = standardise(np.random.RandomState(0).gamma(1.0, size=(50, 3)) @ np.diag([1, 9, 0.1]))
    assert_allclose(latent.mean(axis=0), 0, atol=1e-12)
    assert_allclose(latent.T @ latent / 50, np.eye(3), atol=1e-10)


def test_later_factors_leave_those_before_them_alone():
    latent = np.random.RandomState(0).gamma(1.0, size=(50, 3))
    alone = standardise(latent[:, :1])
    copies = np.column_stack([latent[:, :1], 100 * latent[:, :1] + 1e-3 * latent[:, 1:2]])
    assert_allclose(standardise(copies)[:, :1], alone, atol=1e-10)
    assert_allclose(alone[:, 0], (latent[:, 0] - latent[:, 0].mean()) / latent[:, 0].std())


def test_the_law_has_mean_zero_and_identity_covariance():
    law, _ = smoothed_law(groups(), VARIANCES)
    covariance = law.centers.T @ law.centers / len(law.centers) + np.diag(law.std**2)
    assert_allclose(law.centers.mean(axis=0), 0, atol=1e-12)
    assert_allclose(covariance, np.eye(4), atol=1e-10)


def test_draws_have_the_moments_of_the_law_and_its_groups():
    law, _ = smoothed_law(groups(), VARIANCES)
    draws = law.draw(40_000, np.random.RandomState(1))
    assert draws.shape == (4, 40_000)
    assert_allclose(draws.mean(axis=1), 0, atol=5 / np.sqrt(40_000))
    assert_allclose(np.cov(draws), np.eye(4), atol=5 * np.sqrt(2 / 40_000))
    assert np.mean(np.abs(draws[0]) < 0.4) < 0.1  # of a standard normal, 0.31


def test_draws_choose_every_member_about_as_often():
    law = LatentLaw(np.arange(3.0)[:, None], np.zeros(1))
    counts = np.bincount(law.draw(11, np.random.RandomState(0))[0].astype(int))
    assert sorted(counts) == [3, 4, 4]


def test_what_is_small_in_the_functions_is_gaussian():
    law, _ = smoothed_law(groups(), VARIANCES)
    assert np.all(np.diff(law.std) > 0)
    assert law.std[0] < 0.3
    assert law.std[-1] > 0.8


def test_groups_have_a_gain_and_are_not_normal():
    latent = groups()
    assert smoothed_law(latent, VARIANCES)[1] > 25
    assert normality_p_value(latent, np.random.RandomState(0)) < 0.01


def test_gaussian_members_hardly_have_a_gain():
    variances = 0.7 ** np.arange(8)
    gains = [smoothed_law(normals(seed), variances)[1] for seed in range(100)]
    assert np.quantile(gains, 0.95) < 1
    assert max(gains) < 5


def test_the_test_of_normality_has_its_level():
    rng = np.random.RandomState(0)
    values = [normality_p_value(normals(seed, 20, 4), rng) for seed in range(40)]
    # 8 are expected below 0.2; the bounds are three standard errors away
    assert 1 <= np.sum(np.array(values) < 0.2) <= 15


def test_the_gain_is_the_likelihood_of_members_under_the_law_of_the_others():
    latent = groups(12)
    law, gain = smoothed_law(latent, VARIANCES)
    expected = 0.0
    for i, own in enumerate(latent):
        others = np.delete(law.centers, i, axis=0)
        density = [multivariate_normal.pdf(own, each, np.diag(law.std**2)) for each in others]
        expected += np.log(np.mean(density)) - multivariate_normal.logpdf(own, np.zeros(4))
    assert_allclose(gain, expected, rtol=1e-8)


def test_the_order_of_members_leaves_the_law_alone():
    latent, order = groups(), np.random.RandomState(1).permutation(60)
    law, gain = smoothed_law(latent, VARIANCES)
    other, other_gain = smoothed_law(latent[order], VARIANCES)
    assert_allclose(other.centers, law.centers[order], rtol=1e-10)
    assert_allclose(other.std, law.std, rtol=1e-10)
    assert_allclose(other_gain, gain, rtol=1e-10)


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_the_likelihood_of_members_is_that_of_the_dense_mixture(scale):
    rng = np.random.RandomState(0)
    law = LatentLaw(rng.standard_normal((5, 3)), np.array([0.2, 0.7, scale]))
    loadings, deviations = rng.standard_normal((6, 3)), 2 * rng.standard_normal((6, 4))
    covariance = (loadings * law.std**2) @ loadings.T + np.eye(6)
    means = loadings @ law.centers.T
    densities = [
        np.log(np.mean([multivariate_normal.pdf(d, mean, covariance) for mean in means.T]))
        for d in deviations.T
    ]
    assert_allclose(law_log_likelihood(loadings, deviations, law), np.mean(densities) / 6)
