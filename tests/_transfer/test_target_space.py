"""Teachers of y in other units warn; teachers whose predictions are shrunk to the mean do not."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, make_friedman1, make_regression
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from sklearn_dlf._transfer.design_points import Points
from sklearn_dlf._transfer.residuals import MemberResiduals
from sklearn_dlf._transfer.target_space import warn_if_on_another_scale

MESSAGE = "on another scale .*TransformedTargetRegressor"

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def residuals_of(y, mean, weights=None):
    """Return residuals of y (n,) or (n, n_outputs) from a teacher's mean."""
    y, mean = (np.reshape(each, (len(y), -1)) for each in (y, mean))
    residuals = MemberResiduals(Points(y, len(y), len(y)), y, weights)
    residuals.add(slice(0, len(y)), np.stack([mean, mean], axis=-1))
    return residuals


def warns(y, mean, weights=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_on_another_scale(residuals_of(y, mean, weights))
    return bool(caught)


def linear(seed):
    return make_regression(300, 6, noise=10.0, random_state=seed)


DATA = {
    "diabetes": lambda seed: load_diabetes(return_X_y=True),
    "friedman1": lambda seed: make_friedman1(300, random_state=seed),
    "linear, of mean about zero": linear,
}
SHRUNK = {
    "ridge": lambda seed: Ridge(alpha=3000.0),
    "boosting": lambda seed: GradientBoostingRegressor(n_estimators=3, random_state=seed),
    "network": lambda seed: MLPRegressor(hidden_layer_sizes=(20,), max_iter=60, random_state=seed),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SHRUNK)
@pytest.mark.parametrize("data", DATA)
def test_shrunk_teachers_are_silent(data, name, seed):
    X, y = DATA[data](seed)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    mean = SHRUNK[name](seed).fit(X[:150], y[:150]).predict(X)
    if data == "friedman1" and name == "network":
        mean = mean + (y[:150] - mean[:150]).mean()  # otherwise it is worse than a constant
    for rows in (slice(150), slice(150, None), slice(150, 180)):
        assert not warns(y[rows], mean[rows])


def test_a_shrunk_teacher_would_be_far_better_rescaled():
    X, y = linear(0)
    mean = Ridge(alpha=3000.0).fit(X, y).predict(X)
    slope, at_zero = np.polyfit(mean, y, 1)
    error = np.mean((y - at_zero - slope * mean) ** 2)
    assert slope > 5
    assert np.mean((y - mean) ** 2) - error > 0.5 * y.var()


@pytest.mark.parametrize("n_rows", [30, 300])
@pytest.mark.parametrize(
    ("factor", "offset"),
    [(2.5, 0), (100, 0), (0.4, 0), (0.01, 0), (1.8, 32), (1 / 1.8, -32 / 1.8), (1, 10)],
)
def test_a_teacher_of_other_units_warns(n_rows, factor, offset):
    rng = np.random.RandomState(0)
    mean = 10 + 4 * rng.standard_normal(n_rows)
    y = mean + rng.standard_normal(n_rows)
    assert not warns(y, mean)
    assert warns(factor * y + offset, mean)


@pytest.mark.parametrize("location", [0.0, 1.0, 3.0])
def test_a_teacher_of_standardised_values_warns_wherever_their_mean_is(location):
    X, y = linear(0)
    y = y + location * y.std()
    mean = Ridge().fit(X, (y - y.mean()) / y.std()).predict(X)
    assert warns(y, mean)


def test_a_teacher_of_logarithms_warns():
    rng = np.random.RandomState(0)
    mean = 3 + 0.5 * rng.standard_normal(300)
    assert warns(np.exp(mean + 0.2 * rng.standard_normal(300)), mean)


def test_one_of_several_outputs_suffices():
    rng = np.random.RandomState(0)
    mean = 5 + rng.standard_normal((300, 3))
    y = mean + 0.1 * rng.standard_normal((300, 3))
    assert not warns(y, mean)
    y[:, 1] *= 10
    assert warns(y, mean)


def test_weights_count_as_repeated_rows():
    rng = np.random.RandomState(0)
    mean = 5 + rng.standard_normal(60)
    y = np.where(np.arange(60) < 30, mean, 10 * mean)
    assert not warns(y, mean, np.where(np.arange(60) < 30, 1.0, 0.0))
    assert warns(y, mean, np.where(np.arange(60) < 30, 0.0, 1.0))


def test_constant_values_and_constant_predictions_are_silent():
    values = np.linspace(0, 1, 50)
    assert not warns(np.ones(50), values)
    assert not warns(values, np.ones(50))


def test_the_message_has_the_way_out():
    mean = np.linspace(5, 6, 50)
    with pytest.warns(UserWarning, match=MESSAGE):
        warn_if_on_another_scale(residuals_of(10 * mean, mean))
