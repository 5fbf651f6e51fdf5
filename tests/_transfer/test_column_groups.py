import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_dlf._transfer.column_groups import MAX_COLUMNS, find_column_groups


def rng():
    return np.random.RandomState(0)


def groups_of(X):
    return find_column_groups(X, rng())


def test_independent_columns_are_groups_of_their_own():
    assert_array_equal(groups_of(rng().standard_normal((300, 5))), np.arange(5))


def test_columns_that_are_noisy_functions_of_each_other_are_one_group():
    X = rng().standard_normal((400, 4))
    X[:, 2] = np.sin(X[:, 0]) + 0.05 * rng().standard_normal(400)
    assert_array_equal(groups_of(X), [0, 1, 0, 2])


def test_a_column_that_two_others_determine_joins_both():
    X = rng().uniform(size=(800, 4))
    X[:, 3] = X[:, 0] * X[:, 2]
    assert_array_equal(groups_of(X), [0, 1, 0, 0])


def test_indicators_of_one_code_are_one_group():
    indicators = np.eye(3)[rng().randint(3, size=200)]
    X = np.column_stack([rng().standard_normal(200), indicators])
    assert_array_equal(groups_of(X), [0, 1, 1, 1])


@pytest.mark.parametrize("shape", [(3, 2), (50, MAX_COLUMNS + 1)])
def test_too_few_rows_or_too_many_columns_have_no_groups(shape):
    X = np.repeat(rng().standard_normal((shape[0], 1)), shape[1], axis=1)
    assert_array_equal(groups_of(X), np.arange(shape[1]))


def test_a_constant_column_belongs_to_no_other():
    X = np.column_stack([np.ones(100), rng().standard_normal(100), np.zeros(100)])
    assert_array_equal(groups_of(X), [0, 1, 2])
