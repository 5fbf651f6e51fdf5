"""Sums over rows: what all rows of a member have in common."""

import numpy as np
import pytest

from sklearn_dlf import DLFRegressor

OPTIONS = {"q": 3, "hidden_layer_sizes": (20,), "tol": 0.1, "random_state": 0}


def spread_of_mean(student, X):
    return student.sample_predictions(X, 2_000, random_state=0).mean(axis=0).std()


def test_sums_of_a_linear_posterior_are_as_uncertain_as_its_draws():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 3))
    coefficients = np.array([[2.0], [1.0], [0.0]]) + rng.standard_normal((3, 300))
    student = DLFRegressor(**OPTIONS).fit(X, predictions=X @ coefficients)
    new = rng.standard_normal((300, 3))
    exact = np.sqrt(np.square(new.mean(axis=0)).sum())
    assert spread_of_mean(student, new) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("size", [0.0, 0.12])
def test_a_little_that_all_rows_have_in_common_is_found(size):
    rng = np.random.RandomState(1)
    X = rng.standard_normal((600, 2))
    offsets = rng.standard_normal(20)
    offsets = size * (offsets - offsets.mean()) / offsets.std()
    predictions = np.sin(X[:, :1]) + rng.standard_normal((600, 20)) + offsets
    student = DLFRegressor(**OPTIONS, augment=None).fit(X, predictions=predictions)
    own = predictions.mean(axis=0).std(ddof=1)
    assert spread_of_mean(student, X) == pytest.approx(own, rel=0.4)
    assert (student.row_correlation_.common > 0.003) == (size > 0)
