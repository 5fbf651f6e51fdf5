"""Correlations of the member noise over the outputs of a row."""

import pickle

import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_dlf import DLFRegressor
from sklearn_dlf._fitting.output_noise import CorrelationTargets, fit_noise_head
from sklearn_dlf._network.heads import noise_shares

PARAMS = {"q": 2, "hidden_layer_sizes": (16,), "n_epochs": 20, "tol": 0.05, "random_state": 0}


def make_members(n_rows=300, n_members=40, seed=0):
    """Rows, members with three outputs, and the correlations of these at each row.

    One factor has a tenth of the variance, and noise the rest. The noise of the first two outputs
    has a correlation that grows from -0.8 to 0.8 with the first column; that of the third output is
    the opposite of the second's, but for some noise of its own.
    """
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, (n_rows, 2))
    first, second, third = rng.standard_normal((3, n_rows, n_members))
    slope = 0.8 * X[:, [0]]
    second = slope * first + np.sqrt(1 - slope**2) * second
    noise = np.stack([first, second, 0.5 * third - np.sqrt(0.75) * second], axis=1)
    factor = np.sqrt(0.1) * rng.standard_normal(n_members)
    std = np.array([1.0, 2.0, 0.3])[:, None] * (1 + 0.5 * X[:, 1])[:, None, None]
    members = X.sum(axis=1)[:, None, None] + std * (factor + np.sqrt(0.9) * noise)
    root = np.sqrt(0.75)
    pairs = [slope[:, 0], -root * slope[:, 0], np.full(n_rows, -root)]
    return X, members, 0.1 + 0.9 * np.stack(pairs, axis=1)


def pairs_of(matrices):
    """Entries above the diagonal, (n, 3)."""
    return matrices[:, [0, 0, 1], [1, 2, 2]]


def correlations(covariances):
    std = np.sqrt(np.einsum("ncc->nc", covariances))
    return covariances / (std[:, :, None] * std[:, None])


@pytest.fixture(scope="module", params=["full", "separable"])
def fitted(request):
    X, members, _ = make_members()
    return DLFRegressor(loadings=request.param, **PARAMS).fit(X, predictions=members)


def test_draws_have_the_correlations_of_the_ensemble_over_outputs(fitted):
    X, _, wanted = make_members(200, seed=1)
    draws = fitted.sample_predictions(X, 2000, random_state=0)
    centred = draws - draws.mean(axis=-1, keepdims=True)
    found = pairs_of(correlations(centred @ centred.swapaxes(1, 2)))
    # The members' own sampling error and that of the network leave about 0.1.
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.15
    slope = np.polyfit(wanted.ravel(), found.ravel(), 1)[0]
    assert 0.85 < slope < 1.15


def test_correlations_leave_mean_and_spread_as_they_are(fitted):
    X, _, _ = make_members(50, seed=1)
    independent = pickle.loads(pickle.dumps(fitted))
    independent.student_.noise_head = None
    for found, wanted in zip(
        fitted.predict(X, return_std=True), independent.predict(X, return_std=True), strict=True
    ):
        assert_array_equal(found, wanted)
    draws = fitted.sample_predictions(X, 4000, random_state=0)
    # 4000 draws know a standard deviation to 1.1 %; there are 150 of them.
    assert_allclose(draws.std(axis=-1), fitted.predict(X, return_std=True)[1], rtol=0.05)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
def test_correlations_are_positive_definite_far_from_the_data(fitted):
    fitted = naive.make_common(pickle.loads(pickle.dumps(fitted)))
    for size in (1.0, 1e3, 1e12):
        parameters = fitted.latent_parameters(size * make_members(50, seed=1)[0])
        assert_array_equal(np.einsum("ncc->nc", parameters.noise_correlation), 1.0)
        assert np.linalg.eigvalsh(parameters.noise_correlation).min() > 1e-3


def test_first_rows_of_draws_do_not_depend_on_later_ones(fitted):
    X, _, _ = make_members(50, seed=1)
    assert_allclose(
        fitted.sample_predictions(X[:20], 5, random_state=0),
        fitted.sample_predictions(X, 5, random_state=0)[:20],
        rtol=1e-10,
    )


def test_pickles_and_clones_have_the_same_correlations(fitted):
    X, members, _ = make_members()
    wanted = fitted.latent_parameters(X).noise_correlation
    restored = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(restored.latent_parameters(X).noise_correlation, wanted)
    again = clone(fitted).fit(X, predictions=members)
    assert_array_equal(again.latent_parameters(X).noise_correlation, wanted)


@pytest.mark.parametrize("params", [{"member_noise": None}, {"em": "minibatch"}])
def test_students_without_noise_and_published_ones_have_no_correlations(params):
    X, members, _ = make_members(60)
    student = DLFRegressor(**{**PARAMS, "n_epochs": 1, "tol": 1.0, **params})
    student.fit(X, predictions=members)
    assert student.student_.noise_head is None
    assert_array_equal(student.latent_parameters(X).noise_correlation, [np.eye(3)] * 60)


def test_one_output_has_no_head_of_correlations():
    X, members, _ = make_members(60)
    student = DLFRegressor(**{**PARAMS, "n_epochs": 1, "tol": 1.0})
    student.fit(X, predictions=members[:, 0])
    assert student.student_.noise_head is None


def test_an_output_on_which_members_agree_is_correlated_with_none():
    X, members, _ = make_members(100)
    members[:, 2] = X[:, [0]]
    with pytest.warns(UserWarning, match="All members agree"):
        student = DLFRegressor(**PARAMS).fit(X, predictions=members)
    correlation = student.latent_parameters(X).noise_correlation
    assert np.isfinite(correlation).all()
    assert np.abs(pairs_of(correlation)[:, 1:]).mean() < 0.05
    assert np.abs(pairs_of(correlation)[:, 0]).max() > 0.4


def fit_to_constant(n_rows, correlation):
    """Correlation (n_rows,) of two outputs by a head that is fitted to one number at all rows."""
    features = np.random.RandomState(0).standard_normal((n_rows, 5))
    missing = np.tile([[0.0, correlation], [correlation, 0.0]], (n_rows, 1, 1))
    targets = CorrelationTargets(missing, np.ones_like(missing), np.ones(n_rows))
    head = fit_noise_head(features, targets).double()
    shares = noise_shares(head(head.weight.new_tensor(features)).unflatten(1, (2, -1)))
    return naive.noise_correlation(shares.detach().numpy())[:, 0, 1]


def test_correlations_are_shrunk_where_rows_are_few():
    few, many = fit_to_constant(2, 0.8), fit_to_constant(1000, 0.8)
    assert (np.abs(few) < 0.5).all()
    assert_allclose(many, 0.8, atol=0.02)


def test_a_constant_correlation_is_found_with_its_sign():
    for correlation in (-0.6, 0.0, 0.6):
        assert_allclose(fit_to_constant(1000, correlation), correlation, atol=0.02)
