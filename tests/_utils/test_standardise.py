"""Scalers, weights and standard deviations of numbers of any size."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from sklearn_dlf._utils.standardise import (
    check_std,
    divide_out,
    fit_scaler,
    in_units,
    scale_weights,
    standardise,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 4)) + np.array([0, 1, 100, -3])
WEIGHTS = rng.uniform(size=50)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e100])
def test_ordinary_columns_are_as_scikit_learn_fits_them(weights, scale):
    rows = np.c_[scale * X, np.full(50, 0.1)]
    scaler, expected = fit_scaler(rows, weights), StandardScaler().fit(rows, sample_weight=weights)
    for name in ("mean_", "scale_", "var_"):
        assert_array_equal(getattr(scaler, name), getattr(expected, name))
    assert_array_equal(standardise(scaler, rows), expected.transform(rows))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("exponent", [-1000, -600, 600, 1000])
def test_columns_whose_squares_leave_float64_are_scaled_alike(weights, exponent):
    rows = X.copy()
    rows[:, 1:3] = np.ldexp(X[:, 1:3], exponent)  # a power of two is exact
    scaled = standardise(fit_scaler(rows, weights), rows)
    assert_allclose(scaled, standardise(fit_scaler(X, weights), X), rtol=0, atol=1e-13)


def test_tiny_columns_beside_a_large_location_do_not_vary():
    rows = np.c_[X[:, 0], np.full(50, 1e-170), np.zeros(50)]
    scaler = fit_scaler(rows)
    assert_allclose(divide_out(scaler, rows)[:, 1:], 0, atol=1e-15)


def test_rounding_errors_of_huge_columns_do_not_count():
    rows = np.c_[X[:, 0], np.full(50, 1e100), 1e100 * (1 + 1e-16 * np.arange(50))]
    assert_allclose(standardise(fit_scaler(rows), rows)[:, 1:], 0, atol=1e-13)


def test_rows_too_far_for_float64_raise():
    with pytest.raises(ValueError, match="X must lie within 1e"):
        standardise(fit_scaler(1e-200 * X), 1e200 * X)


def test_ordinary_weights_are_kept():
    for scale in (1e-90, 1.0, 1e90):
        weights = scale * WEIGHTS
        assert scale_weights(weights) is weights
    zeros = np.zeros(3)
    assert scale_weights(zeros) is zeros
    assert scale_weights(None) is None


@pytest.mark.parametrize("exponent", [-1000, 1020])
def test_huge_and_tiny_weights_keep_their_ratios(exponent):
    weights = scale_weights(np.ldexp(WEIGHTS, exponent))
    assert 0.5 <= weights.max() < 1
    assert_array_equal(weights / weights.max(), WEIGHTS / WEIGHTS.max())


def test_units_are_powers_of_two_near_the_largest_value():
    columns, exponents = in_units(X)
    assert_array_equal(np.ldexp(columns, exponents), X)
    assert ((np.abs(columns).max(axis=0) >= 0.5) & (np.abs(columns).max(axis=0) < 1)).all()


@pytest.mark.parametrize(("std", "word"), [(1e-170, "smaller"), (1e170, "larger")])
def test_standard_deviations_whose_squares_are_not_held_raise(std, word):
    with pytest.raises(ValueError, match=rf"y must vary by .*e.170\. .* {word} unit"):
        check_std(np.array([1.0, 0.0, std]), "y")
    check_std(np.array([0.0, 1e-120, 1e120]), "y")
