"""The algebra of separable loadings, and students that use it."""

import pickle
from types import SimpleNamespace

import naive
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._latent import deviations, full, separable
from sklearn_dlf._latent.models import FullModel, SeparableModel
from sklearn_dlf._latent.process import Process
from sklearn_dlf._latent.row_correlation import RowCorrelation
from sklearn_dlf._transfer.contrasts import make_contrasts
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.metrics import member_log_likelihood_scorer

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
        self.total_variance = full.contrast_variance(self.flat).sum()

    def statistics(self, mixing=None, loadings=None):
        """Mixing, Phi' Phi and projected members, of this model or of other parameters."""
        mixing = self.mixing if mixing is None else mixing
        loadings = self.loadings if loadings is None else loadings
        return mixing, loadings.T @ loadings, separable.project(loadings, self.residuals)

    def basis(self, mixing=None, loadings=None):
        return separable.eigenbasis(*self.statistics(mixing, loadings))

    def posterior(self):
        return separable.posterior(self.basis(), self.noise_variance)

    def log_likelihood(self, mixing=None, loadings=None, noise_variance=noise_variance):
        return separable.restricted_log_likelihood(
            self.basis(mixing, loadings), self.total_variance, noise_variance, N_ROWS
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


@pytest.fixture
def network():
    """Stand for a network where only the model itself is of interest."""
    return SimpleNamespace(
        set_mixing=lambda mixing: None, transform_loadings=lambda transform: None
    )


def test_one_output_is_the_full_model(model):
    residuals, loadings = model.flat[:N_ROWS], model.loadings
    projection = separable.project(loadings, residuals[:, None])
    total = full.contrast_variance(residuals).sum()
    basis = separable.eigenbasis(np.ones((1, 1)), loadings.T @ loadings, projection)
    one = separable.restricted_log_likelihood(basis, total, 0.3, N_ROWS)
    projection = full.project(loadings, residuals)
    expected = full.restricted_log_likelihood(projection, total, 0.3, N_ROWS)
    assert_allclose(one, expected, rtol=RTOL)


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
    transformed = latent.transform(left, right)
    both = np.kron(left, right.T)
    assert_allclose(dense_covariance(transformed), both @ dense_covariance(latent) @ both.T)
    for law in (latent, transformed):
        flat = law.mean.reshape(N_MEMBERS, -1)
        moment = flat.T @ flat / (N_MEMBERS - 1) + dense_covariance(law)
        moment = moment.reshape(N_OUTPUTS, Q, N_OUTPUTS, Q)
        expected = np.einsum("aibj,ij->ab", moment, right_metric)
        assert_allclose(law.left_moment(right_metric), expected, rtol=RTOL, atol=1e-10)
        expected = np.einsum("aibj,ab->ij", moment, left_metric)
        assert_allclose(law.right_moment(left_metric), expected, rtol=RTOL, atol=1e-10)


def test_normalisation_gives_the_factors_their_prior_moment(model):
    after, _, _ = separable.normalise(model.posterior())
    assert_allclose(after.right_moment(np.eye(N_OUTPUTS)), N_OUTPUTS * np.eye(Q), atol=1e-10)


def test_normalisation_repeated_settles_both_sides(model):
    latent = model.posterior()
    for _ in range(100):
        latent, *_ = separable.normalise(latent)
    assert_allclose(latent.left_moment(np.eye(Q)), Q * np.eye(N_OUTPUTS), atol=1e-6)


def test_expected_loadings_maximise_the_expected_likelihood(model):
    latent = model.posterior()
    best, metric = separable.expected_loadings(model.residuals, latent, model.mixing)

    def expected(loadings):
        return model.expected_log_likelihood(latent, model.mixing, loadings)

    assert_allclose(slopes(expected, best), 0, atol=1e-7)
    # Other loadings lose the squared error under the metric.
    error = model.loadings - best
    loss = np.einsum("jq,qr,jr->", error, metric, error)
    loss /= 2 * model.noise_variance * N_ROWS * N_OUTPUTS
    assert_allclose(expected(best) - expected(model.loadings), loss, rtol=RTOL)


def test_expected_mixing_maximises_the_expected_likelihood_and_leaves_the_noise(model):
    latent = model.posterior()
    _, gram, projection = model.statistics()
    best, explained = separable.expected_mixing(latent, gram, projection)

    def expected(mixing):
        return model.expected_log_likelihood(latent, mixing, model.loadings)

    assert_allclose(slopes(expected, best), 0, atol=1e-7)
    misfit = (model.total_variance - explained) / (N_ROWS * N_OUTPUTS * model.noise_variance)
    likelihood = -0.5 * (np.log(2 * np.pi * model.noise_variance) + misfit)
    assert_allclose(expected(best), likelihood, rtol=RTOL)


def test_free_loadings_are_likelier_than_the_truth_and_below_the_full_bound(network):
    data = make_dlf_ensemble(
        60, n_members=30, n_outputs=4, q=3, loadings="separable", random_state=0
    )
    contrasts = make_contrasts(data.predictions)
    bound = SeparableModel(contrasts, 3).initialise(network)
    dense = naive.separable_loadings(data.mixing, data.loadings)
    unit = np.tile(contrasts.units.spread, 60)
    truth = naive.restricted_log_likelihood(
        dense / unit[:, None], contrasts.residuals, data.member_noise**2 / unit**2
    )
    assert truth < bound < FullModel(contrasts, 12).initialise(network)


def test_rows_of_the_mixing_have_unit_length_on_average(model, network):
    contrasts = make_contrasts(model.residuals)
    fitted = SeparableModel(contrasts, Q)
    fitted.initialise(network)
    assert_allclose(np.square(fitted.mixing).sum(axis=1).mean(), 1, rtol=RTOL)
    fitted.maximise(network)
    fitted.e_step(network)
    assert_allclose(np.square(fitted.mixing).sum(axis=1).mean(), 1, rtol=RTOL)


def test_deviations_and_their_moments_are_those_of_the_dense_loadings(model):
    shared = model.loadings[:, None]
    dense = deviations.dense_loadings(shared, model.mixing)
    assert_allclose(dense.reshape(-1, N_OUTPUTS * Q), model.dense, rtol=RTOL)
    latent = np.random.RandomState(0).standard_normal((N_OUTPUTS, Q, 4))
    expected = model.dense @ latent.reshape(-1, 4)
    parts = shared, model.mixing, latent
    for drawn in (
        deviations.draw_deviations(*parts),
        deviations.draw_deviations(*map(torch.tensor, parts)),
        deviations.draw_deviations(dense, None, latent.reshape(-1, 4)),
    ):
        assert_allclose(drawn.reshape(-1, 4), expected, rtol=RTOL)
    for moment in (deviations.factor_variance, deviations.factor_covariance):
        assert_allclose(moment(shared, model.mixing), moment(dense), rtol=RTOL, atol=1e-12)


def test_draws_within_a_row_have_its_covariance(model):
    shared, mixing = torch.tensor(model.loadings[:, None]), torch.tensor(model.mixing)
    assert deviations.count_dimensions(shared, mixing) == N_OUTPUTS
    # Deviations are linear in the draws: unit vectors for draws give the map.
    linear = deviations.draw_within_rows(shared, mixing, torch.eye(N_OUTPUTS, dtype=torch.float64))
    dense = model.dense.reshape(N_ROWS, N_OUTPUTS, -1)
    assert_allclose(linear @ linear.mT, dense @ dense.swapaxes(1, 2), rtol=RTOL)


def fit(data, **params):
    options = {"q": 2, "hidden_layer_sizes": (20,), "tol": 0.05, "random_state": 0, **params}
    return DLFRegressor(loadings="separable", **options).fit(data.X, predictions=data.predictions)


@pytest.fixture(scope="module")
def known_separable():
    return make_dlf_ensemble(
        200, n_members=200, n_outputs=3, q=2, loadings="separable", random_state=3
    )


@pytest.fixture(scope="module")
def student(known_separable):
    return fit(known_separable, hidden_layer_sizes=(100,), n_epochs=15)


@pytest.fixture(scope="module")
def classes():
    """Logits of 60 members at 300 rows, five classes, by a separable model."""
    return make_dlf_ensemble(
        300, n_features=2, n_members=60, n_outputs=5, q=2, loadings="separable", random_state=0
    )


@pytest.fixture(scope="module")
def classifier(classes):
    student = DLFClassifier(q=2, loadings="separable", n_epochs=10, tol=0.05, random_state=0)
    return student.fit(classes.X, predictions=classes.predictions, outputs="logits")


def test_known_separable_model_is_recovered(student, known_separable):
    truth, found = known_separable, student.latent_parameters(known_separable.X)
    expected = naive.covariance(
        naive.separable_loadings(truth.mixing, truth.loadings), truth.member_noise**2
    )
    covariance = naive.covariance(
        naive.separable_loadings(found.mixing, found.loadings), found.member_std.ravel() ** 2
    )
    error = np.linalg.norm(covariance - expected)
    assert error < 0.1 * np.linalg.norm(expected)
    # All outputs share the loadings. The sample covariance of the members does not use that.
    sample = np.cov(truth.predictions.reshape(600, -1))
    assert error < 0.8 * np.linalg.norm(sample - expected)
    assert_allclose(found.mean, truth.predictions.mean(axis=-1), atol=0.3)


def test_moments_and_draws_of_the_regressor_agree(student, known_separable):
    X = known_separable.X[:20]
    mean, std = student.predict(X, return_std=True)
    _, cov = student.predict(X, return_cov=True)
    assert_allclose(np.diagonal(cov).T, std**2, rtol=1e-10)
    draws = student.sample_predictions(X, 20_000, random_state=0)
    assert_allclose(draws.mean(axis=-1), mean, atol=0.02)
    for output in range(3):
        expected = cov[..., output]
        difference = np.linalg.norm(np.cov(draws[:, output]) - expected)
        assert difference < 0.05 * np.linalg.norm(expected)
    many = student.sample_predictions(np.resize(X, (300, X.shape[1])), 20, random_state=0)
    assert_allclose(student.sample_predictions(X, 20, random_state=0), many[:20], rtol=1e-11)


def test_outputs_of_a_member_are_correlated_by_the_mixing(student, known_separable):
    X = known_separable.X[:1]
    found = student.latent_parameters(X)
    draws = student.sample_predictions(X, 20_000, random_state=0)[0]
    expected = found.member_cov[0]
    assert np.linalg.norm(np.cov(draws) - expected) < 0.05 * np.linalg.norm(expected)


def test_scorer_gives_the_dense_density_of_the_members(known_separable):
    rows = slice(0, 20)
    student = fit(known_separable, n_epochs=2, tol=1.0)
    student.student_.set_process(Process(np.ones(student.q_), RowCorrelation(), 0.0))
    X, members = known_separable.X[rows], known_separable.predictions[rows]
    heads = student.latent_parameters(X)
    covariance = naive.covariance(
        naive.separable_loadings(heads.mixing, heads.loadings),
        heads.member_std.ravel() ** 2,
        heads.noise_correlation,
    )
    density = multivariate_normal(heads.mean.ravel(), covariance)
    expected = density.logpdf(members.reshape(60, -1).T).mean() / 60
    scored = member_log_likelihood_scorer(student, X, predictions=members)
    assert_allclose(scored, expected, rtol=1e-6)


def test_classifier_recovers_a_known_separable_model(classifier, classes):
    latent = classifier.latent_parameters(classes.X)
    logits = classes.predictions - classes.predictions.mean(axis=1, keepdims=True)
    assert_allclose(latent.mean, logits.mean(axis=-1), atol=0.5)
    variance = deviations.factor_variance(latent.loadings[:, None], latent.mixing)
    variance = variance + latent.member_std**2
    expected = logits.var(axis=-1, ddof=1)
    assert np.corrcoef(variance.ravel(), expected.ravel())[0, 1] > 0.9
    assert_allclose(variance.mean(), expected.mean(), rtol=0.15)


def test_averaged_probabilities_and_uncertainty_are_those_of_draws(classifier, classes):
    X = classes.X[:50]
    draws = classifier.sample_predictions(X, 4000, random_state=0)
    assert_allclose(classifier.predict_proba(X), draws.mean(axis=-1), atol=0.02)
    entropy = -(draws * np.log(draws)).sum(axis=1).mean(axis=-1)
    assert_allclose(classifier.predict_uncertainty(X).aleatoric, entropy, atol=0.03)


def test_one_output_is_the_full_student():
    data = make_dlf_ensemble(60, n_members=10, random_state=0)
    quick = {"n_epochs": 2, "tol": 1.0, "q": 2, "hidden_layer_sizes": (8,), "random_state": 0}
    separable, full = (
        DLFRegressor(loadings=loadings, **quick).fit(data.X, predictions=data.predictions)
        for loadings in ("separable", "full")
    )
    assert_allclose(separable.predict(data.X), full.predict(data.X), rtol=0)
    assert separable.latent_parameters(data.X).loadings.shape == (60, 1, 2)


@pytest.mark.parametrize(("name", "value"), [("em", "minibatch"), ("init", "mmd"), ("q", "auto")])
def test_options_of_full_loadings_only_are_refused(name, value, two_outputs):
    match = rf"'separable' with 2 outputs .* {name}='{value}'.* expected another {name}"
    with pytest.raises(ValueError, match=match):
        fit(two_outputs, **{name: value})


def test_unknown_loadings_are_refused(two_outputs):
    with pytest.raises(ValueError, match=r"'loadings' parameter .* Got 'diagonal'"):
        DLFRegressor(loadings="diagonal").fit(two_outputs.X, predictions=two_outputs.predictions)


def test_more_factors_than_members_are_kept_if_outputs_allow_them():
    data = make_dlf_ensemble(60, n_members=4, n_outputs=3, loadings="separable", random_state=0)
    assert fit(data, q=8, n_epochs=2, tol=1.0).q_ == 8
    with pytest.warns(UserWarning, match="q_=8 is used"):
        assert fit(data, q=9, n_epochs=2, tol=1.0).q_ == 8


def test_members_that_agree_have_no_spread():
    data = make_dlf_ensemble(60, n_members=4, n_outputs=3, random_state=0)
    data.predictions[:] = data.predictions[..., :1]
    with pytest.warns(UserWarning, match="All members agree"):
        student = fit(data, n_epochs=2, tol=1.0)
    _, std = student.predict(data.X, return_std=True)
    assert_allclose(std, 0, atol=1e-3)


def test_pickle_is_small_and_predicts_the_same(classes):
    logits = np.tile(classes.predictions, (1, 5, 1))  # 25 classes
    student = DLFClassifier(loadings="separable", n_epochs=1, tol=1.0, refine=False, random_state=0)
    student.fit(classes.X, predictions=logits, outputs="logits")
    pickled = pickle.dumps(student)
    assert len(pickled) < 96 * 1024
    assert_allclose(
        pickle.loads(pickled).predict_proba(classes.X), student.predict_proba(classes.X)
    )
