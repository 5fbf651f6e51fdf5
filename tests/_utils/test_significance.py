import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import ttest_1samp

from sklearn_dlf._utils.significance import mean_in_errors


def test_equal_weights_give_the_statistic_of_students_test():
    values = np.random.RandomState(0).standard_normal(50) + 0.3
    assert_allclose(mean_in_errors(values), ttest_1samp(values, 0).statistic)
    assert_allclose(mean_in_errors(values, np.full(50, 7.0)), ttest_1samp(values, 0).statistic)


def test_rows_of_weight_zero_are_left_out():
    values = np.random.RandomState(0).standard_normal(50) + 0.3
    weights = np.where(np.arange(50) < 20, 2.0, 0.0)
    assert_allclose(mean_in_errors(values, weights), mean_in_errors(values[:20]))


def test_rounding_errors_are_not_significant():
    values = np.full(50, 1e-16)
    assert mean_in_errors(values) > 3
    assert mean_in_errors(values, least_error=1e-12) < 3


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e200, 1e307])
def test_units_do_not_matter(unit):
    values = np.random.RandomState(0).standard_normal(50) + 0.3
    assert_allclose(mean_in_errors(unit * values), mean_in_errors(values), rtol=1e-6)


def test_zeros_do_not_differ_from_zero():
    assert mean_in_errors(np.zeros(5)) == 0
