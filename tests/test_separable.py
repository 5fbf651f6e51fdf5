import naive
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_dlf import _latent, _separable, _spread
from sklearn_dlf._contrasts import Contrasts
from sklearn_dlf._latent_models import FullModel, SeparableModel
from sklearn_dlf._student import SeparableStudent
from sklearn_dlf.datasets import make_dlf_ensemble

# Two routes of float64 algebra over some thirty entries: rounding stays far below this.
RTOL = 1e-6

N_ROWS, N_OUTPUTS, N_MEMBERS, Q = 10, 3, 9, 2


class Model:
    """A separable model with members drawn from it, and its dense equivalent."""

    noise_variance = 0.3

    def __init__(self, seed):
        rng = np.random.RandomState(seed)
        self.loadings = rng.standard_normal((N_ROWS, Q))
        self.mixing = rng.standard_normal((N_OUTPUTS, N_OUTPUTS))
        self.dense = naive.separable_loadings(self.mixing, self.loadings)
        members = self.dense @ rng.standard_normal((N_OUTPUTS * Q, N_MEMBERS))
        members += 0.5 * rng.standard_normal(members.shape)
        self.flat = members - members.mean(axis=1, keepdims=True)
        self.residuals = self.flat.reshape(N_ROWS, N_OUTPUTS, N_MEMBERS)
        self.total_variance = _latent.contrast_variance(self.flat).sum()

    def statistics(self, mixing=None, loadings=None):
        """Mixing, Phi' Phi and projected members, of this model or of other parameters."""
        mixing = self.mixing if mixing is None else mixing
        loadings = self.loadings if loadings is None else loadings
        return mixing, loadings.T @ loadings, _separable.project(loadings, self.residuals)

    def posterior(self):
        return _separable.posterior(*self.statistics(), self.noise_variance)

    def log_likelihood(self, mixing=None, loadings=None, noise_variance=noise_variance):
        return _separable.restricted_log_likelihood(
            *self.statistics(mixing, loadings), self.total_variance, noise_variance, N_ROWS
        )

    def expected_log_likelihood(self, latent, mixing, loadings):
        return naive.expected_complete_log_likelihood(
            naive.separable_loadings(mixing, loadings),
            self.flat,
            self.noise_variance,
            latent.mean.reshape(N_MEMBERS, -1),
            dense_covariance(latent),
        )


def dense_covariance(latent):
    """Posterior covariance of Z, row by row."""
    basis = np.kron(latent.left, latent.right)
    return (basis * latent.variance.ravel()) @ basis.T


def slopes(function, at, step=1e-5):
    """Central differences of a function at every entry of an array."""
    found = np.empty(at.shape)
    for entry in np.ndindex(at.shape):
        shift = np.zeros_like(at)
        shift[entry] = step
        found[entry] = (function(at + shift) - function(at - shift)) / (2 * step)
    return found


@pytest.fixture(params=[0, 1, 2])
def model(request):
    return Model(request.param)


def test_posterior_is_that_of_the_joint_gaussian(model):
    latent = model.posterior()
    mean, cov = naive.posterior(model.dense, model.flat, model.noise_variance)
    assert_allclose(latent.mean.reshape(N_MEMBERS, -1), mean, rtol=RTOL, atol=1e-10)
    assert_allclose(dense_covariance(latent), cov, rtol=RTOL, atol=1e-10)


def test_likelihood_is_the_dense_density_of_independent_contrasts(model):
    expected = naive.restricted_log_likelihood(model.dense, model.flat, model.noise_variance)
    assert_allclose(model.log_likelihood(), expected, rtol=RTOL)


def test_one_output_is_the_full_model(model):
    residuals, loadings = model.flat[:N_ROWS], model.loadings
    projection = _separable.project(loadings, residuals[:, None])
    total = _latent.contrast_variance(residuals).sum()
    one = _separable.restricted_log_likelihood(
        np.ones((1, 1)), loadings.T @ loadings, projection, total, 0.3, N_ROWS
    )
    full = _latent.restricted_log_likelihood(loadings, residuals, 0.3)
    assert_allclose(one, full, rtol=RTOL)


def test_likelihood_does_not_depend_on_rotations_of_either_side(model):
    rng = np.random.RandomState(0)
    left, _ = np.linalg.qr(rng.standard_normal((N_OUTPUTS, N_OUTPUTS)))
    right, _ = np.linalg.qr(rng.standard_normal((Q, Q)))
    rotated = model.log_likelihood(model.mixing @ left, 2 * model.loadings @ right)
    assert_allclose(rotated, model.log_likelihood(2 * model.mixing), rtol=RTOL)


def test_moments_are_those_of_the_dense_posterior_before_and_after_a_transformation(model):
    rng = np.random.RandomState(0)
    left_metric, right_metric = (a @ a.T for a in (rng.randn(N_OUTPUTS, 2), rng.randn(Q, 1)))
    latent = model.posterior()
    left, right = rng.randn(N_OUTPUTS, N_OUTPUTS), rng.randn(Q, Q)
    for law in (latent, latent.transform(left, right)):
        flat = law.mean.reshape(N_MEMBERS, -1)
        moment = flat.T @ flat / (N_MEMBERS - 1) + dense_covariance(law)
        moment = moment.reshape(N_OUTPUTS, Q, N_OUTPUTS, Q)
        expected = np.einsum("aibj,ij->ab", moment, right_metric)
        assert_allclose(law.left_moment(right_metric), expected, rtol=RTOL, atol=1e-10)
        expected = np.einsum("aibj,ab->ij", moment, left_metric)
        assert_allclose(law.right_moment(left_metric), expected, rtol=RTOL, atol=1e-10)


def test_normalisation_gives_the_factors_their_prior_moment_and_keeps_the_functions(model):
    before = model.posterior()
    after, left, right = _separable.normalise(before)
    assert_allclose(after.right_moment(np.eye(N_OUTPUTS)), N_OUTPUTS * np.eye(Q), atol=1e-10)
    mixing, loadings = model.mixing @ left, model.loadings @ right
    assert_allclose(
        mixing @ after.mean @ loadings.T, model.mixing @ before.mean @ model.loadings.T, rtol=RTOL
    )
    dense = naive.separable_loadings(mixing, loadings)
    assert_allclose(
        dense @ dense_covariance(after) @ dense.T,
        model.dense @ dense_covariance(before) @ model.dense.T,
        rtol=RTOL,
        atol=1e-10,
    )


def test_normalisation_repeated_settles_both_sides(model):
    latent = model.posterior()
    for _ in range(100):
        latent, *_ = _separable.normalise(latent)
    assert_allclose(latent.left_moment(np.eye(Q)), Q * np.eye(N_OUTPUTS), atol=1e-6)


def test_expected_loadings_maximise_the_expected_likelihood(model):
    latent = model.posterior()
    best, metric = _separable.expected_loadings(model.residuals, latent, model.mixing)

    def expected(loadings):
        return model.expected_log_likelihood(latent, model.mixing, loadings)

    assert_allclose(slopes(expected, best), 0, atol=1e-7)
    # What another solution loses is the squared error under the metric.
    error = model.loadings - best
    loss = np.einsum("jq,qr,jr->", error, metric, error)
    loss /= 2 * model.noise_variance * N_ROWS * N_OUTPUTS
    assert_allclose(expected(best) - expected(model.loadings), loss, rtol=RTOL)


def test_expected_mixing_maximises_the_expected_likelihood_and_leaves_the_noise(model):
    latent = model.posterior()
    _, gram, projection = model.statistics()
    best, explained = _separable.expected_mixing(latent, gram, projection)

    def expected(mixing):
        return model.expected_log_likelihood(latent, mixing, model.loadings)

    assert_allclose(slopes(expected, best), 0, atol=1e-7)
    misfit = (model.total_variance - explained) / (N_ROWS * N_OUTPUTS * model.noise_variance)
    likelihood = -0.5 * (np.log(2 * np.pi * model.noise_variance) + misfit)
    assert_allclose(expected(best), likelihood, rtol=RTOL)


@pytest.mark.parametrize("restricted_to_features", [False, True])
def test_exact_em_never_lowers_the_likelihood(model, restricted_to_features):
    project = np.eye(N_ROWS)
    if restricted_to_features:
        features = np.random.RandomState(0).standard_normal((N_ROWS, 4))  # of a frozen body
        project = features @ np.linalg.pinv(features)
    mixing, loadings, noise_variance = np.eye(N_OUTPUTS), project @ model.loadings, 1.0
    likelihoods = []
    for _ in range(60):
        likelihoods.append(model.log_likelihood(mixing, loadings, noise_variance))
        latent = _separable.posterior(*model.statistics(mixing, loadings), noise_variance)
        latent, left, _ = _separable.normalise(latent)
        targets, _ = _separable.expected_loadings(model.residuals, latent, mixing @ left)
        loadings = project @ targets
        _, gram, projection = model.statistics(mixing, loadings)
        mixing, explained = _separable.expected_mixing(latent, gram, projection)
        noise_variance = (model.total_variance - explained) / (N_ROWS * N_OUTPUTS)
    assert np.diff(likelihoods).min() > -1e-12
    assert likelihoods[-1] > likelihoods[0] + 0.1


def test_results_do_not_depend_on_the_order_of_members(model):
    order = np.random.RandomState(0).permutation(N_MEMBERS)
    expected = model.posterior().mean[order]
    model.residuals = model.residuals[..., order]
    assert_allclose(model.posterior().mean, expected, rtol=RTOL, atol=1e-10)


def test_free_loadings_are_likelier_than_the_truth_and_below_the_full_bound():
    data = make_dlf_ensemble(
        60, n_members=30, n_outputs=4, q=3, loadings="separable", random_state=0
    )
    contrasts = Contrasts([data.predictions], 60)
    student = SeparableStudent(torch.nn.Linear(3, 5), 3, 4, 3)
    separable = SeparableModel(contrasts, 3)
    reached = separable.start(student)
    dense = naive.separable_loadings(data.mixing, data.loadings)
    unit = np.tile(contrasts.spread, 60)
    truth = naive.restricted_log_likelihood(
        dense / unit[:, None], contrasts.residuals, data.member_noise**2 / unit**2
    )
    assert reached > truth
    # The likelihood that start() says is that of its targets, up to the sweep it stopped at.
    separable.read(student.evaluate(data.X.astype(np.float32))._replace(loadings=separable.targets))
    assert_allclose(separable.log_likelihood(), reached, atol=1e-3)
    assert reached < FullModel(contrasts, 12).start(student)


def test_deviations_and_their_moments_are_those_of_the_dense_loadings(model):
    shared = model.loadings[:, None]
    dense = _spread.dense_loadings(shared, model.mixing)
    assert_allclose(dense.reshape(-1, N_OUTPUTS * Q), model.dense, rtol=RTOL)
    latent = np.random.RandomState(0).standard_normal((N_OUTPUTS, Q, 4))
    assert_allclose(
        _spread.draw_deviations(shared, model.mixing, latent),
        _spread.draw_deviations(dense, None, latent.reshape(-1, 4)),
        rtol=RTOL,
    )
    for moment in (_spread.factor_variance, _spread.factor_covariance):
        assert_allclose(moment(shared, model.mixing), moment(dense), rtol=RTOL, atol=1e-12)


def test_draws_within_a_row_have_its_covariance(model):
    shared, mixing = torch.tensor(model.loadings[:, None]), torch.tensor(model.mixing)
    assert _spread.count_dimensions(shared, mixing) == N_OUTPUTS
    # Deviations are linear in the draws: unit vectors for draws give the map.
    linear = _spread.draw_within_rows(shared, mixing, torch.eye(N_OUTPUTS, dtype=torch.float64))
    dense = model.dense.reshape(N_ROWS, N_OUTPUTS, -1)
    assert_allclose(linear @ linear.mT, dense @ dense.swapaxes(1, 2), rtol=RTOL)
