import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dlf._predictive.fixed_draws import N_DRAWS, normal_draws, weighted_pairs


@pytest.mark.parametrize("n_dimensions", [1, 2, 14, 40])
def test_fixed_draws_have_the_moments_of_the_standard_normal(n_dimensions):
    draws = normal_draws(n_dimensions)
    assert draws.shape == (n_dimensions, N_DRAWS)
    assert_allclose(draws.mean(axis=1), 0, atol=1e-12)
    assert_allclose(draws @ draws.T / N_DRAWS, np.eye(n_dimensions), atol=1e-10)


def test_many_dimensions_have_unit_variances():
    assert_allclose(np.square(normal_draws(200)).mean(axis=1), 1)


@pytest.mark.parametrize("n_dimensions", [1, 2, 3, 9, 31])
def test_weighted_pairs_have_the_moments_of_the_standard_normal(n_dimensions):
    points, weights = weighted_pairs(n_dimensions)
    assert (weights > 0).all()
    assert_allclose(2 * weights.sum(), 1)
    moments = 2 * (weights * points) @ points.T
    # Grids end where less than 3e-4 of the distribution is left, with squares of 16 and more.
    assert_allclose(moments, np.eye(n_dimensions), atol=0.01 if n_dimensions == 2 else 1e-3)


@pytest.mark.parametrize("n_dimensions", [3, 9])
def test_no_two_pairs_are_mirror_images(n_dimensions):
    points, _ = weighted_pairs(n_dimensions)
    both = np.concatenate([points, -points], axis=1)
    assert len(np.unique(both.round(9), axis=1).T) == both.shape[1]


@pytest.mark.parametrize("n_dimensions", [3, 9, 31])
@pytest.mark.parametrize("pairs", [range(64), range(128, 256)])
def test_parts_of_a_long_sequence_have_the_moments_of_the_standard_normal(n_dimensions, pairs):
    points, weights = weighted_pairs(n_dimensions, pairs)
    assert points.shape == (n_dimensions, len(pairs))
    assert_allclose(weights.sum(), 0.5)
    assert_allclose(2 * (points * weights) @ points.T, np.eye(n_dimensions), atol=1e-10)
    # The fourth moment of a stretched dimension, where weights count, is that of the normal.
    assert_allclose(2 * (weights * points[0] ** 4).sum(), 3, rtol=0.15)
