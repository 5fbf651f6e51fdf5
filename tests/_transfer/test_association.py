"""Whether predictions follow y, and warnings where they do not."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._transfer.association import (
    associate,
    find_moved_outputs,
    find_unrelated,
    warn_if_labels_unrelated,
    warn_if_values_unrelated,
)

N = 200
EQUAL = np.ones(N)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make_values(rng, n_outputs=1):
    """Return rows, values, and predictions that are right in the mean."""
    X = rng.standard_normal((N, 4))
    mean = X @ rng.standard_normal((4, n_outputs))
    return X, mean + 0.5 * rng.standard_normal(mean.shape), mean


def make_labels(rng, slope=3.0):
    """Return rows, labels, and their true probabilities."""
    X = rng.standard_normal((N, 4))
    second = 1 / (1 + np.exp(-slope * X[:, 0]))
    return X, (rng.uniform(size=N) < second).astype(int), np.column_stack([1 - second, second])


def test_the_correlation_is_that_of_numpy_and_pooled_over_columns(rng):
    y, predictions = rng.standard_normal((2, N, 2)) * [[[1.0]], [[3.0]]]
    one = associate(y[:, :1], predictions[:, :1], EQUAL, 1.0)
    assert_allclose(one.correlation, np.corrcoef(y[:, 0], predictions[:, 0])[0, 1])
    centred = y - y.mean(axis=0), predictions - predictions.mean(axis=0)
    pooled = np.sum(centred[0] * centred[1]) / np.sqrt(np.prod([np.sum(c**2) for c in centred]))
    assert_allclose(associate(y, predictions, EQUAL, 1.0).correlation, pooled)


def test_its_error_is_the_standard_deviation_over_orders(rng):
    y = np.eye(3)[rng.choice(3, size=N, p=[0.6, 0.3, 0.1])]
    predictions = rng.dirichlet([3, 2, 1], size=N)
    found = [associate(y, predictions[rng.permutation(N)], EQUAL, 1.0) for _ in range(2000)]
    # The standard deviation of 2,000 draws is known to 1.6 %.
    assert_allclose(np.std([f.correlation for f in found]), found[0].error, rtol=0.06)


def test_a_row_of_weight_three_counts_as_three_rows(rng):
    y, predictions = rng.standard_normal((2, N, 1))
    weights = np.where(np.arange(N) < 50, 3.0, 1.0)
    repeated = np.repeat(np.arange(N), weights.astype(int))
    weighted = associate(y, predictions, weights, 1.0)
    copies = associate(y[repeated], predictions[repeated], np.ones(len(repeated)), 1.0)
    assert_allclose(weighted.correlation, copies.correlation)


def test_more_than_the_best_order_reaches_is_not_expected(rng):
    """Of a rare event no predictions that vary evenly have a correlation of one."""
    y = (np.arange(N) < 10).astype(float)[:, None]
    predictions = rng.uniform(size=(N, 1))
    best = np.corrcoef(np.sort(y[:, 0]), np.sort(predictions[:, 0]))[0, 1]
    assert_allclose(associate(y, predictions, EQUAL, 1.0).expected, best)


def test_right_predictions_have_the_expected_correlation(rng):
    X, y, mean = make_values(rng)
    expected = mean.std() / y.std()
    found = associate(y, mean, EQUAL, expected)
    assert_allclose(found.correlation, expected, atol=3 * found.error)
    assert find_unrelated(X, y, mean, EQUAL, mean.var(), False, N) is None


@pytest.mark.parametrize("wrong", ["order", "sign"])
def test_values_in_another_order_or_of_the_other_sign_warn(rng, wrong):
    X, y, mean = make_values(rng)
    mean = -mean if wrong == "sign" else mean[rng.permutation(N)]
    with pytest.warns(UserWarning, match="do not follow y:"):
        assert warn_if_values_unrelated(X, y, mean, np.array([0.1]), EQUAL, False)


@pytest.mark.parametrize("change", ["far", "shrunk", "outlier", "weights"])
def test_values_that_follow_y_are_silent(rng, change, silent):
    X, y, mean = make_values(rng)
    weights = EQUAL
    if change == "far":
        mean = 5 + 3 * mean
    elif change == "shrunk":
        mean = 0.01 * mean
    elif change == "outlier":
        y[0] = -1000 * np.sign(mean[0])  # the correlation of values is that of this row
    else:
        weights = rng.exponential(size=N) ** 2
    assert not warn_if_values_unrelated(X, y, mean, np.array([0.1]), weights, False)


def noise_that_was_learnt(rng):
    """Return noise, and predictions that vary as much and have nothing to do with it."""
    return rng.standard_normal((N, 4)), *rng.standard_normal((2, N, 1))


def test_learnt_noise_on_which_members_disagree_is_silent(rng, silent):
    X, y, mean = noise_that_was_learnt(rng)
    assert not warn_if_values_unrelated(X, y, mean, np.array([1.0]), EQUAL, False)


def test_learnt_noise_follows_y_at_the_rows_of_its_own_fit(rng):
    X, y, mean = noise_that_was_learnt(rng)
    with pytest.warns(UserWarning, match="By its record"):
        warn_if_values_unrelated(X, y, mean, np.array([1.0]), EQUAL, True)


def test_weak_predictions_in_another_order_warn_if_y_can_be_predicted(rng):
    """Their variance alone would be that of many teachers of noise."""
    X, y, mean = make_values(rng)
    mean = 0.4 * mean[rng.permutation(N)]
    assert find_unrelated(X, y, mean, EQUAL, 3 * mean.var(), False, N) is not None
    others = rng.standard_normal(X.shape)
    assert find_unrelated(others, y, mean, EQUAL, 3 * mean.var(), False, N) is None


def test_few_rows_and_rare_values_give_no_verdict(rng):
    X, y, mean = make_values(rng)
    few = slice(19)
    assert find_unrelated(X[few], y[few], -mean[few], EQUAL[few], mean.var(), False, 19) is None
    rare = np.where(np.arange(N)[:, None] < 9, y, 0.0)
    assert find_unrelated(X, rare, -mean, EQUAL, mean.var(), False, 9) is None


def test_every_output_is_checked_by_itself(rng):
    X, y, mean = make_values(rng, 4)
    mean[:, 2] = mean[rng.permutation(N), 2]
    with pytest.warns(UserWarning, match=r"output 2 of 0 to 3"):
        assert warn_if_values_unrelated(X, y, mean, np.full(4, 0.1), EQUAL, False)


def test_outputs_in_another_order_are_found_if_they_are_correlated(rng):
    X, y, mean = make_values(rng, 4)
    common = 1.5 * X[:, :1] * y.std(axis=0)
    y, mean = y + common, mean + common
    assert_array_equal(find_moved_outputs(y, mean, EQUAL), [])
    swapped = mean[:, [0, 3, 2, 1]]
    assert_array_equal(find_moved_outputs(y, swapped, EQUAL), [1, 3])
    with pytest.warns(UserWarning, match=r"Outputs \[1, 3\]"):
        assert warn_if_values_unrelated(X, y, swapped, np.full(4, 0.1), EQUAL, False)


def test_outputs_of_noise_are_not_moved(rng):
    y, mean = rng.standard_normal((2, N, 6))
    assert_array_equal(find_moved_outputs(y, mean, EQUAL), [])


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_values_of_any_size(rng, size):
    X, y, mean = make_values(rng)
    other = size * mean[rng.permutation(N)]
    with pytest.warns(UserWarning, match="do not follow y:"):
        warn_if_values_unrelated(X, size * y, other, np.zeros(1), EQUAL, False)


def test_a_constant_y_warns_if_predictions_differ_around_it(rng):
    X, y, mean = make_values(rng)
    constant = np.full_like(y, np.median(mean))
    with pytest.warns(UserWarning, match="the same value at all rows"):
        assert warn_if_values_unrelated(X, constant, mean, np.array([0.1]), EQUAL, False)


@pytest.mark.parametrize("case", ["rates above zero", "members disagree", "rounding"])
def test_a_constant_y_that_may_be_right_is_silent(rng, case, silent):
    X, _, mean = make_values(rng)
    mean = {"rates above zero": np.exp(mean), "rounding": 1e-14 * mean}.get(case, mean)
    variance = np.array([2 * mean.var() if case == "members disagree" else 0.0])
    assert not warn_if_values_unrelated(X, np.zeros((N, 1)), mean, variance, EQUAL, False)


@pytest.mark.parametrize("slope", [1.0, 3.0])
def test_labels_in_another_order_warn(rng, slope):
    X, codes, probabilities = make_labels(rng, slope)
    with pytest.warns(UserWarning, match="do not follow y:"):
        warn_if_labels_unrelated(X, codes, probabilities[rng.permutation(N)], EQUAL, False)


@pytest.mark.parametrize("sureness", [0.2, 1.0, 5.0])
def test_badly_calibrated_probabilities_are_silent(rng, sureness, silent):
    X, codes, probabilities = make_labels(rng)
    powers = probabilities**sureness
    powers /= powers.sum(axis=1, keepdims=True)
    warn_if_labels_unrelated(X, codes, powers, EQUAL, False)


def test_one_label_warns_if_it_is_improbable(rng):
    X, _, probabilities = make_labels(rng)
    with pytest.warns(UserWarning, match="one and the same label"):
        warn_if_labels_unrelated(X, np.zeros(N, dtype=int), probabilities, EQUAL, False)


def test_one_label_that_may_be_right_is_silent(rng, silent):
    X, _, probabilities = make_labels(rng, 0.3)
    warn_if_labels_unrelated(X, np.zeros(N, dtype=int), probabilities, EQUAL, False)


def test_no_rows_give_no_verdict(silent):
    nothing = np.empty((0, 1))
    assert not warn_if_values_unrelated(nothing, nothing, nothing, np.ones(1), np.ones(0), False)
    warn_if_labels_unrelated(nothing, np.empty(0, int), np.empty((0, 2)), np.ones(0), False)


def test_many_classes_in_another_order_warn(rng):
    codes = rng.randint(200, size=N)
    probabilities = np.full((N, 200), 0.02 / 199)
    probabilities[np.arange(N), codes] = 0.98
    X = rng.standard_normal((N, 3))
    with pytest.warns(UserWarning, match="do not follow y:"):
        warn_if_labels_unrelated(X, codes, probabilities[rng.permutation(N)], EQUAL, False)
