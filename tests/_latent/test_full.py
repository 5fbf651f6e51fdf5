import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_less
from sklearn.decomposition import PCA

from sklearn_dlf._latent import full as _latent

# Two routes of float64 algebra over some ten entries: rounding stays far below this.
RTOL = 1e-6


def posterior(loadings, residuals, noise_variance):
    return _latent.posterior(_latent.project(loadings, residuals), noise_variance)


def log_likelihood(loadings, residuals, noise_variance):
    return _latent.restricted_log_likelihood(
        _latent.project(loadings, residuals),
        _latent.contrast_variance(residuals).sum(),
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


def test_posterior_is_that_of_the_joint_gaussian(model):
    mean, cov = posterior(*model)
    expected_mean, expected_cov = naive.posterior(*model)
    assert_allclose(mean, expected_mean, rtol=RTOL, atol=1e-10)
    assert_allclose(cov, expected_cov, rtol=RTOL, atol=1e-10)


def test_likelihood_is_the_dense_density_of_independent_contrasts(model):
    assert_allclose(
        log_likelihood(*model),
        naive.restricted_log_likelihood(*model),
        rtol=RTOL,
    )


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
    latent, _ = _latent.normalise(posterior(*model))
    second_moment = latent.mean.T @ latent.mean / 8 + latent.cov
    assert_allclose(second_moment, np.eye(3), atol=1e-12)


def test_normalisation_leaves_the_functions_as_they_are(model):
    loadings, *_ = model
    before = posterior(*model)
    after, transform = _latent.normalise(before)
    assert_allclose((loadings @ transform) @ after.mean.T, loadings @ before.mean.T, rtol=RTOL)
    assert_allclose(
        (loadings @ transform) @ after.cov @ (loadings @ transform).T,
        loadings @ before.cov @ loadings.T,
        rtol=RTOL,
        atol=1e-12,
    )


def test_expected_loadings_maximise_the_expected_likelihood(model):
    loadings, residuals, noise_variance = model
    latent, transform = _latent.normalise(posterior(*model))
    best = _latent.expected_loadings(residuals, latent.mean)

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
    latent, transform = _latent.normalise(posterior(*model))
    rotated = loadings @ transform
    variance = _latent.expected_residual_variance(
        _latent.contrast_variance(residuals),
        _latent.expected_loadings(residuals, latent.mean),
        rotated,
    )
    expected = naive.expected_complete_log_likelihood(
        rotated, residuals, noise_variance, latent.mean, latent.cov
    )
    likelihood = -0.5 * (np.log(2 * np.pi * noise_variance) + variance.mean() / noise_variance)
    assert_allclose(likelihood, expected, rtol=RTOL)


def test_exact_em_never_lowers_the_likelihood_and_reaches_the_spectral_bound(model):
    loadings, residuals, noise_variance = model
    likelihoods = []
    for _ in range(2000):
        likelihoods.append(log_likelihood(loadings, residuals, noise_variance))
        latent, _ = _latent.normalise(posterior(loadings, residuals, noise_variance))
        loadings = _latent.expected_loadings(residuals, latent.mean)
        noise_variance = _latent.expected_residual_variance(
            _latent.contrast_variance(residuals), loadings, loadings
        ).mean()
    assert np.diff(likelihoods).min() > -1e-12
    bound = _latent.spectral_solution(residuals, 3).log_likelihood
    assert_allclose(likelihoods[-1], bound, rtol=1e-6)
    assert_array_less(likelihoods, bound + 1e-12)


def test_exact_em_does_not_fall_where_loadings_are_restricted_to_features(model):
    _, residuals, noise_variance = model
    features = np.random.RandomState(0).standard_normal((12, 5))  # heads of a frozen body
    project = features @ np.linalg.pinv(features)
    loadings = project @ np.random.RandomState(1).standard_normal((12, 3))
    likelihoods = []
    for _ in range(50):
        likelihoods.append(log_likelihood(loadings, residuals, noise_variance))
        latent, _ = _latent.normalise(posterior(loadings, residuals, noise_variance))
        targets = _latent.expected_loadings(residuals, latent.mean)
        loadings = project @ targets
        noise_variance = _latent.expected_residual_variance(
            _latent.contrast_variance(residuals), targets, loadings
        ).mean()
    assert np.diff(likelihoods).min() > -1e-12
    assert likelihoods[-1] > likelihoods[0] + 0.1


def test_spectral_solution_is_probabilistic_pca_of_the_independent_contrasts(model):
    _, residuals, _ = model
    # PCA centres its rows; the contrasts and their negatives have mean zero and n rows twice.
    contrasts = naive.independent_contrasts(residuals)
    doubled = np.concatenate([contrasts, -contrasts], axis=1).T
    pca = PCA(n_components=3, svd_solver="full").fit(doubled)
    # PCA divides by n - 1 = 15 where the contrasts' own moment divides by n = 16.
    moment = 15 / 16 * pca.get_covariance()
    solution = _latent.spectral_solution(residuals, 3)
    covariance = naive.covariance(solution.loadings, solution.noise_variance)
    assert_allclose(covariance, moment, rtol=RTOL, atol=1e-10)
    assert_allclose(
        solution.log_likelihood,
        log_likelihood(solution.loadings, residuals, solution.noise_variance),
        rtol=RTOL,
    )


def test_spectral_solution_keeps_to_the_noise_floor_where_factors_span_all_contrasts(model):
    _, residuals, _ = model
    solution = _latent.spectral_solution(residuals, 8, noise_floor=1e-3)
    assert solution.noise_variance == 1e-3
    assert np.isfinite(solution.log_likelihood)


def test_results_do_not_depend_on_the_order_of_members(model):
    loadings, residuals, noise_variance = model
    order = np.random.RandomState(0).permutation(9)
    mean, _ = posterior(loadings, residuals, noise_variance)
    permuted, _ = posterior(loadings, residuals[:, order], noise_variance)
    assert_allclose(permuted, mean[order], rtol=RTOL)


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
    monkeypatch.setattr(_latent, "BLOCK_SIZE", 45)  # five rows
    assert_allclose(_latent.cross_product(loadings, residuals), loadings.T @ residuals, rtol=RTOL)
    assert_allclose(
        _latent.cross_product(residuals, residuals), residuals.T @ residuals, rtol=RTOL, atol=1e-12
    )
    assert_allclose(_latent.contrast_variance(residuals), residuals.var(axis=1) * 9 / 8, rtol=RTOL)


def test_spectral_loadings_do_not_depend_on_the_order_of_members():
    residuals = np.random.RandomState(0).standard_normal((40, 9))
    residuals -= residuals.mean(axis=1, keepdims=True)
    order = np.random.RandomState(1).permutation(9)
    expected = _latent.spectral_solution(residuals, 4).loadings
    assert_allclose(_latent.spectral_solution(residuals[:, order], 4).loadings, expected)
