import naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf.datasets import make_dlf_ensemble


def test_members_have_the_moments_of_the_model_they_are_drawn_from():
    data = make_dlf_ensemble(n_samples=40, n_members=20_000, n_outputs=2, q=3, random_state=0)
    members = data.predictions.reshape(80, -1)
    loadings = data.loadings.reshape(80, 3)
    expected = loadings @ loadings.T + data.member_noise**2 * np.eye(80)
    # A mean of 20,000 draws of unit spread is known to 1 / 141.
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


def test_unknown_loadings_are_named():
    with pytest.raises(ValueError, match="'full' or 'separable'; got 'diagonal'"):
        make_dlf_ensemble(loadings="diagonal")


def test_shapes_and_seed():
    data = make_dlf_ensemble(n_samples=10, n_features=2, n_members=5, random_state=1)
    assert data.X.shape == (10, 2)
    assert data.y.shape == (10,)
    assert data.predictions.shape == (10, 5)
    again = make_dlf_ensemble(n_samples=10, n_features=2, n_members=5, random_state=1)
    assert_array_equal(data.predictions, again.predictions)
