"""Medians and trimmed means of weighted values."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dlf._utils.robust_means import trimmed_mean, weighted_median


@pytest.mark.parametrize("n_rows", [1, 2, 5, 8])
def test_equal_weights_give_the_median(n_rows):
    values = np.random.RandomState(0).standard_normal((n_rows, 3))
    assert_allclose(weighted_median(values, np.full(n_rows, 2.0)), np.median(values, axis=0))


def test_a_weight_counts_as_so_many_rows():
    rng = np.random.RandomState(0)
    values, counts = rng.standard_normal((9, 2)), rng.randint(0, 4, size=9)
    repeated = np.repeat(values, counts, axis=0)
    assert_allclose(weighted_median(values, counts), np.median(repeated, axis=0))


def test_outliers_do_not_count_in_a_trimmed_mean():
    values = np.arange(100.0)[:, None] * [1.0, -1.0]
    values[-3:] = 1e9
    weights = np.r_[np.full(50, 2.0), np.ones(50)]
    kept = values[:95, 0]
    assert_allclose(trimmed_mean(values, weights)[0], np.average(kept, weights=weights[:95]))
    assert abs(trimmed_mean(values, weights)[1]) < 100


def test_rows_without_weight_do_not_count_in_a_trimmed_mean():
    values = np.array([[1.0], [2.0], [1e9]])
    assert_allclose(trimmed_mean(values, np.array([1.0, 0.0, 0.0])), 1.0)
