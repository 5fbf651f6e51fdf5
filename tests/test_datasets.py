import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import NearestNeighbors

from sklearn_dlf.datasets import make_curved_surface, make_dlf_ensemble


def test_members_have_the_moments_of_the_model_they_are_drawn_from():
    data = make_dlf_ensemble(n_samples=40, n_members=20_000, n_outputs=2, q=3, random_state=0)
    members = data.predictions.reshape(80, -1)
    loadings = data.loadings.reshape(80, 3)
    expected = loadings @ loadings.T + data.member_noise**2 * np.eye(80)
    # The standard error of a mean of 20,000 draws of unit spread is 1 / 141 = 0.007.
    assert_allclose(members.mean(axis=1), data.mean.ravel(), atol=0.05)
    assert np.linalg.norm(np.cov(members) - expected) < 0.05 * np.linalg.norm(expected)


def test_separable_members_have_the_moments_of_their_model():
    data = make_dlf_ensemble(
        40, n_members=20_000, n_outputs=3, q=2, loadings="separable", random_state=0
    )
    assert data.loadings.shape == (40, 2)
    assert data.mixing.shape == (3, 3)
    dense = naive.separable_loadings(data.mixing, data.loadings)
    expected = naive.covariance(dense, data.member_noise**2)
    members = data.predictions.reshape(120, -1)
    assert np.linalg.norm(np.cov(members) - expected) < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_samples", 0),
        ("n_features", -1),
        ("n_members", 2.5),
        ("n_outputs", 0),
        ("q", True),
        ("loadings", "diagonal"),
        ("member_noise", -0.1),
        ("target_noise", np.inf),
        ("random_state", "seed"),
    ],
)
def test_a_bad_argument_is_named_with_its_value(name, value):
    message = f"The '{name}' parameter of make_dlf_ensemble must be .* Got {value!r} instead"
    with pytest.raises(ValueError, match=message):
        make_dlf_ensemble(**{name: value})


def test_without_noise_y_is_the_mean_and_members_are_functions_of_the_factors():
    data = make_dlf_ensemble(20, n_members=9, q=2, member_noise=0, target_noise=0, random_state=0)
    assert_allclose(data.y, data.mean[:, 0], rtol=1e-12)
    assert np.linalg.matrix_rank(data.predictions - data.mean, tol=1e-9) == 2


def test_shapes_and_seed():
    data = make_dlf_ensemble(n_samples=10, n_features=2, n_members=5, random_state=1)
    assert data.X.shape == (10, 2)
    assert data.y.shape == (10,)
    assert data.predictions.shape == (10, 5)
    again = make_dlf_ensemble(n_samples=10, n_features=2, n_members=5, random_state=1)
    assert_array_equal(data.predictions, again.predictions)


def test_rows_of_a_surface_are_smooth_functions_of_their_coordinates():
    data = make_curved_surface(3000, 6, n_dims=2, noise=0.0, target_noise=0.0, random_state=0)
    # Coordinates of unit variance: rows that are near there are near in X, and so is y.
    distance, near = NearestNeighbors(n_neighbors=1).fit(data.coordinates).kneighbors()
    steps = np.abs(data.X - data.X[near[:, 0]]).max(axis=1)
    assert (steps < 10 * distance[:, 0]).all()
    assert_allclose(data.coordinates.std(axis=0), 1, atol=0.05)
    assert_array_equal(data.y, data.mean)
    # Two dimensions are no plane in the space of X.
    assert np.linalg.matrix_rank(data.X - data.X.mean(axis=0), tol=1) > 4


def test_noise_of_a_surface_is_of_the_size_that_was_asked_for():
    smooth, noisy = (
        make_curved_surface(2000, 5, noise=noise, target_noise=noise, random_state=0)
        for noise in (0.0, 0.3)
    )
    assert_allclose((noisy.X - smooth.X).std(), 0.3, rtol=0.05)
    assert_allclose((noisy.y - noisy.mean).std(), 0.3, rtol=0.05)


@pytest.mark.parametrize(("name", "value"), [("n_dims", 0), ("noise", -1.0), ("n_samples", 1.5)])
def test_a_bad_argument_of_a_surface_is_named(name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of make_curved_surface must be"):
        make_curved_surface(**{name: value})
