import numpy as np
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


def test_shapes_and_seed():
    data = make_dlf_ensemble(n_samples=10, n_features=2, n_members=5, random_state=1)
    assert data.X.shape == (10, 2)
    assert data.y.shape == (10,)
    assert data.predictions.shape == (10, 5)
    again = make_dlf_ensemble(n_samples=10, n_features=2, n_members=5, random_state=1)
    assert_array_equal(data.predictions, again.predictions)
