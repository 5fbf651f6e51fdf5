"""The algebra of full loadings; `test_model_contract` has what both models share."""

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_less
from sklearn.decomposition import PCA

from sklearn_dlf._latent import full

# Two routes of float64 algebra over some ten entries: rounding stays far below this.
RTOL = 1e-6


def posterior(loadings, residuals, noise_variance):
    return full.posterior(full.project(loadings, residuals), noise_variance)


def log_likelihood(loadings, residuals, noise_variance):
    return full.restricted_log_likelihood(
        full.project(loadings, residuals),
        full.contrast_variance(residuals).sum(),
        noise_variance,
        len(residuals),
    )


@pytest.fixture(params=[0, 1, 2])
def model(request):
    """Loadings, residuals and noise variance of nine members at twelve entries."""
    rng = np.random.RandomState(request.param)
    loadings = rng.standard_normal((12, 3))
    members = loadings @ rng.standard_normal((3, 9)) + 0.5 * rng.standard_normal((12, 9))
    return loadings, members - members.mean(axis=1, keepdims=True), 0.3


def test_likelihood_does_not_depend_on_the_mean_the_members_share(model):
    loadings, residuals, noise_variance = model
    members = residuals + np.arange(12.0)[:, None]
    contrasts = members - members.mean(axis=1, keepdims=True)
    assert_allclose(
        log_likelihood(loadings, contrasts, noise_variance),
        log_likelihood(loadings, residuals, noise_variance),
        rtol=RTOL,
    )


def test_normalisation_gives_the_latent_variables_their_prior_moment(model):
    latent, _ = full.normalise(posterior(*model))
    second_moment = latent.mean.T @ latent.mean / 8 + latent.cov
    assert_allclose(second_moment, np.eye(3), atol=1e-12)


def test_expected_loadings_maximise_the_expected_likelihood(model):
    loadings, residuals, noise_variance = model
    latent, transform = full.normalise(posterior(*model))
    best = full.expected_loadings(residuals, latent.mean)

    def expected(candidate):
        return naive.expected_complete_log_likelihood(
            candidate, residuals, noise_variance, latent.mean, latent.cov
        )

    step = 1e-5
    for entry in np.ndindex(best.shape):
        shift = np.zeros_like(best)
        shift[entry] = step
        slope = (expected(best + shift) - expected(best - shift)) / (2 * step)
        assert abs(slope) < 1e-7  # central differences of a parabola, to rounding
    assert expected(best) > expected(loadings @ transform)


def test_expected_residual_variance_is_the_quadratic_term_of_the_expected_likelihood(model):
    loadings, residuals, noise_variance = model
    latent, transform = full.normalise(posterior(*model))
    rotated = loadings @ transform
    variance = full.expected_residual_variance(
        full.contrast_variance(residuals),
        full.expected_loadings(residuals, latent.mean),
        rotated,
    )
    expected = naive.expected_complete_log_likelihood(
        rotated, residuals, noise_variance, latent.mean, latent.cov
    )
    likelihood = -0.5 * (np.log(2 * np.pi * noise_variance) + variance.mean() / noise_variance)
    assert_allclose(likelihood, expected, rtol=RTOL)


def test_exact_em_reaches_the_spectral_bound(model):
    loadings, residuals, noise_variance = model
    likelihoods = []
    for _ in range(2000):
        likelihoods.append(log_likelihood(loadings, residuals, noise_variance))
        latent, _ = full.normalise(posterior(loadings, residuals, noise_variance))
        loadings = full.expected_loadings(residuals, latent.mean)
        noise_variance = full.expected_residual_variance(
            full.contrast_variance(residuals), loadings, loadings
        ).mean()
    bound = full.spectral_solution(residuals, 3).log_likelihood
    assert_allclose(likelihoods[-1], bound, rtol=1e-6)
    assert_array_less(likelihoods, bound + 1e-12)


def test_spectral_solution_is_probabilistic_pca_of_the_independent_contrasts(model):
    _, residuals, _ = model
    # PCA centres its rows; the contrasts and their negatives have mean zero and n rows twice.
    contrasts = naive.independent_contrasts(residuals)
    doubled = np.concatenate([contrasts, -contrasts], axis=1).T
    pca = PCA(n_components=3, svd_solver="full").fit(doubled)
    # PCA divides by n - 1 = 15 where the contrasts' own moment divides by n = 16.
    moment = 15 / 16 * pca.get_covariance()
    solution = full.spectral_solution(residuals, 3)
    covariance = naive.covariance(solution.loadings, solution.noise_variance)
    assert_allclose(covariance, moment, rtol=RTOL, atol=1e-10)
    assert_allclose(
        solution.log_likelihood,
        log_likelihood(solution.loadings, residuals, solution.noise_variance),
        rtol=RTOL,
    )


def test_spectral_solution_respects_the_noise_floor_where_factors_span_all_contrasts(model):
    _, residuals, _ = model
    solution = full.spectral_solution(residuals, 8, noise_floor=1e-3)
    assert solution.noise_variance == 1e-3
    assert np.isfinite(solution.log_likelihood)


def test_likelihood_does_not_depend_on_a_rotation_of_the_factors(model):
    loadings, residuals, noise_variance = model
    rotation, _ = np.linalg.qr(np.random.RandomState(0).standard_normal((3, 3)))
    assert_allclose(
        log_likelihood(loadings @ rotation, residuals, noise_variance),
        log_likelihood(loadings, residuals, noise_variance),
        rtol=RTOL,
    )


def test_blocks_do_not_change_a_sum(model, monkeypatch):
    loadings, residuals, _ = model
    monkeypatch.setattr(full, "BLOCK_SIZE", 45)  # five rows
    assert_allclose(full.cross_product(loadings, residuals), loadings.T @ residuals, rtol=RTOL)
    assert_allclose(
        full.cross_product(residuals, residuals), residuals.T @ residuals, rtol=RTOL, atol=1e-12
    )
    assert_allclose(full.contrast_variance(residuals), residuals.var(axis=1) * 9 / 8, rtol=RTOL)


def test_spectral_loadings_do_not_depend_on_the_order_of_members():
    residuals = np.random.RandomState(0).standard_normal((40, 9))
    residuals -= residuals.mean(axis=1, keepdims=True)
    order = np.random.RandomState(1).permutation(9)
    expected = full.spectral_solution(residuals, 4).loadings
    assert_allclose(full.spectral_solution(residuals[:, order], 4).loadings, expected)
