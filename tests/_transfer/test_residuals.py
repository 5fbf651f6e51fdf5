import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from sklearn_dlf._transfer.design_points import Points
from sklearn_dlf._transfer.residuals import PRIOR_DEGREES, MemberResiduals


def own_points(n_rows):
    X = np.zeros((n_rows, 1))
    return Points(X, n_rows, n_rows)


def test_residuals_are_those_of_members_that_did_not_see_the_row():
    outputs = np.array([[1.0, 5.0, 3.0], [1.0, 5.0, 6.0], [1.0, 2.0, 3.0]])[:, None]
    unseen = np.array([[True, False, False], [False, True, True], [False, False, False]])
    residuals = MemberResiduals(own_points(3), np.full((3, 1), 7.0), unseen=unseen)
    for rows in (slice(0, 1), slice(1, 3)):
        assert_array_equal(residuals.add(rows, outputs[rows]), outputs[rows])
    assert_allclose(residuals.residuals[:, 0], [6.0, 1.5, 5.0])
    assert_array_equal(residuals.is_unseen, [True, True, False])
    assert_allclose(residuals.mean[:, 0], [3.0, 4.0, 2.0])


def test_squared_residuals_at_unseen_rows_are_corrected_for_optimism():
    unseen = np.array([[True, True], [False, False]])
    residuals = MemberResiduals(own_points(2), np.full((2, 1), 3.0), unseen=unseen, optimism=1.5)
    residuals.add(slice(0, 2), np.ones((2, 1, 2)))
    assert_allclose(residuals.squares()[:, 0], [6.0, 4.0])
    residuals.forget_unseen()
    assert_allclose(residuals.squares()[:, 0], [4.0, 4.0])


def test_residuals_of_cross_fitting_are_not_corrected_for_optimism():
    moments = np.ones((1, 1)), np.ones((1, 1))
    unseen = np.ones((1, 2), dtype=bool)
    residuals = MemberResiduals(own_points(1), np.full((1, 1), 3.0), None, unseen, moments, 1.5)
    assert_allclose(residuals.squares(), 4.0)


def test_a_mean_over_few_members_has_more_variance_than_that_over_all():
    rng = np.random.RandomState(0)
    n_rows, n_members, n_unseen = 20_000, 10, 3
    outputs = rng.standard_normal((n_rows, 1, n_members))
    unseen = np.zeros((n_rows, n_members), dtype=bool)
    unseen[:, :n_unseen] = True
    residuals = MemberResiduals(own_points(n_rows), np.zeros((n_rows, 1)), unseen=unseen)
    residuals.add(slice(0, n_rows), outputs)
    of_few, of_all = residuals.unseen_mean.var(), residuals.mean.var()
    assert_allclose(residuals.excess, 1 / n_unseen - 1 / n_members)
    assert_allclose(of_few - of_all, residuals.excess[0], rtol=0.05)


def test_variance_of_few_members_is_shrunk_to_the_median_over_rows():
    outputs = np.array([[0.0, 2.0], [0.0, 4.0], [0.0, 40.0]])[:, None]  # variances 2, 8 and 800
    residuals = MemberResiduals(own_points(3), np.zeros((3, 1)), unseen=np.ones((3, 2), bool))
    residuals.add(slice(0, 3), outputs)
    typical = 8 / norm.ppf(0.75) ** 2  # that of which 8 is the median of squares
    share = 1 / (1 + PRIOR_DEGREES)
    expected = typical + share * (np.array([2.0, 8.0, 800.0]) - typical)
    assert_allclose(residuals.variance()[:, 0], expected)


def test_typical_variance_is_that_of_most_rows_whatever_the_outliers():
    rng = np.random.RandomState(0)
    outputs = rng.standard_normal((20_000, 1, 5))
    outputs[::10] *= 100.0
    unseen = np.arange(5) < rng.randint(2, 6, size=(20_000, 1))
    residuals = MemberResiduals(own_points(20_000), np.zeros((20_000, 1)), unseen=unseen)
    residuals.add(slice(0, 20_000), outputs)
    assert_allclose(residuals.typical_variance(), 1.0, atol=0.15)


def test_typical_variance_is_the_mean_where_members_agree_at_most_rows():
    outputs = np.zeros((3, 1, 2))
    outputs[0, 0, 1] = 2.0
    residuals = MemberResiduals(own_points(3), np.zeros((3, 1)), unseen=np.ones((3, 2), bool))
    residuals.add(slice(0, 3), outputs)
    assert_allclose(residuals.typical_variance(), 2 / 3)


def test_shrunk_variance_is_made_of_the_rows_own_and_the_typical_one():
    outputs = np.random.RandomState(0).standard_normal((4, 1, 5))
    unseen = np.arange(5) < np.array([[2], [5], [3], [1]])
    residuals = MemberResiduals(own_points(4), np.zeros((4, 1)), unseen=unseen)
    residuals.add(slice(0, 4), outputs)
    own = [outputs[row, 0, :n].var(ddof=1) for row, n in enumerate((2, 5, 3))]
    share = residuals.own_share()
    assert_allclose(share, [1 / 6, 4 / 9, 2 / 7, 0.0])
    expected = share * [*own, 0.0] + (1 - share) * residuals.typical_variance()
    assert_allclose(residuals.variance()[:, 0], expected)


def test_rows_without_weight_do_not_count_for_the_typical_variance():
    outputs = np.array([[0.0, 2.0], [0.0, 4.0]])[:, None]
    weights = np.array([1.0, 0.0])
    residuals = MemberResiduals(own_points(2), np.zeros((2, 1)), weights)
    residuals.add(slice(0, 2), outputs)
    assert_allclose(residuals.typical_variance(), 2 / norm.ppf(0.75) ** 2)


def test_cross_fitted_moments_take_the_place_of_the_members_own():
    moments = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
    residuals = MemberResiduals(own_points(2), np.array([[5.0], [5.0]]), cross_fitted=moments)
    residuals.add(slice(0, 2), np.zeros((2, 1, 3)))
    assert_allclose(residuals.residuals[:, 0], [4.0, 3.0])
    assert_allclose(residuals.variance(), moments[1])
    assert_allclose(residuals.own_share(), 1.0)
    assert residuals.is_unseen.all()
    assert_allclose(residuals.mean, 0.0)


def test_calibration_rows_are_kept_apart_whatever_the_blocks():
    rng = np.random.RandomState(0)
    outputs = rng.standard_normal((9, 1, 4))
    points = Points(np.zeros((9, 1)), n_own=3, n_design=5)
    residuals = MemberResiduals(points, np.zeros((3, 1)))
    for rows in (slice(0, 4), slice(4, 7), slice(7, 9)):
        residuals.add(rows, outputs[rows])
    assert_allclose(residuals.mean, outputs[:3].mean(axis=-1))
    assert_allclose(residuals.calibration_mean, outputs[5:].mean(axis=-1))
    assert_allclose(residuals.calibration_variance, outputs[5:].var(axis=-1, ddof=1))


def test_another_number_of_outputs_than_y_has_is_an_error():
    residuals = MemberResiduals(own_points(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="members have 1 outputs and y has 2"):
        residuals.add(slice(0, 2), np.zeros((2, 1, 3)))


def test_a_bias_that_is_expected_is_shrunk_by_what_chance_adds():
    y = np.array([[1.0, 0.0], [3.0, 0.1], [1.0, -0.1], [3.0, 0.05]])
    residuals = MemberResiduals(own_points(4), y, unseen=np.ones((4, 2), dtype=bool))
    residuals.add(slice(0, 4), np.zeros((4, 2, 2)))
    # of the first output, the mean is 2 and its standard error 1/2; the second one's is chance
    expected = residuals.without_bias(is_expected=True)
    assert_allclose(expected.bias, [2 * (1 - 0.25**2), 0.0])
    assert_allclose(expected.residuals, y - expected.bias)
    assert_allclose(residuals.without_bias().bias, [2.0, 0.0])


def test_a_small_bias_counts_if_it_is_expected():
    y = 0.05 + np.tile([[1.0], [-1.0]], (5000, 1))
    residuals = MemberResiduals(own_points(10_000), y, unseen=np.ones((10_000, 2), dtype=bool))
    residuals.add(slice(0, 10_000), np.zeros((10_000, 1, 2)))
    assert residuals.without_bias().bias == 0
    assert_allclose(residuals.without_bias(is_expected=True).bias, 0.048, rtol=1e-10)
