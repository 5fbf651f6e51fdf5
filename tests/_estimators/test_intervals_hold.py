"""Coverage of intervals of y by whole fits of ordinary teachers, on rows that nothing has seen."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from sklearn_dlf import DLFRegressor
from sklearn_dlf._transfer import design_points
from sklearn_dlf.exceptions import SeenRowsWarning

QUICK = {"hidden_layer_sizes": (50,), "n_epochs": 3, "tol": 0.05, "random_state": 0}


@pytest.fixture(scope="module")
def diabetes():
    """Rows for members, rows held out from them, and rows for testing."""
    X, y = load_diabetes(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=120, random_state=1)
    return X[:200], y[:200], X, y, X_test, y_test


@pytest.fixture(scope="module")
def boosted(diabetes):
    """A list of boosted models with xgboost's defaults but for the share of rows."""
    xgboost = pytest.importorskip("xgboost")
    X, y, *_ = diabetes
    make = [xgboost.XGBRegressor(subsample=0.8, random_state=i, n_jobs=1) for i in range(10)]
    return [model.fit(X, y) for model in make]


def coverage(student, X, y, level=0.9):
    low, high = student.predict_interval(X, level).T
    return (low <= y) & (y <= high)


def test_boosted_models_that_have_seen_all_rows_give_a_warning(diabetes, boosted):
    X, y, *_, X_test, y_test = diabetes
    with pytest.warns(SeenRowsWarning, match="three ways out"):
        student = DLFRegressor(**QUICK).fit(X, y, ensemble=boosted)
    assert coverage(student, X_test, y_test).mean() < 0.7  # what the warning is about


@pytest.mark.parametrize("body", ["mlp", "piecewise_linear"])
def test_intervals_of_boosted_models_hold_if_unseen_rows_are_named(body, monkeypatch):
    xgboost = pytest.importorskip("xgboost")
    monkeypatch.setattr(design_points, "MAX_MADE_ENCODED", 3000)  # for speed
    X, y = make_friedman1(4322, noise=3.0, random_state=2)
    X, X_test, y, y_test = X[:322], X[322:], y[:322], y[322:]
    make = [xgboost.XGBRegressor(subsample=0.8, random_state=i, n_jobs=1) for i in range(10)]
    members = [model.fit(X[:200], y[:200]) for model in make]
    unseen = np.arange(len(X)) >= 200
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeenRowsWarning)
        student = DLFRegressor(body=body, **QUICK).fit(X, y, ensemble=members, unseen=unseen)
    # 122 unseen rows give the noise a standard error that moves the coverage by about 0.03.
    assert coverage(student, X_test, y_test).mean() == pytest.approx(0.9, abs=0.05)


def test_intervals_of_extra_trees_hold_after_cross_fitting(diabetes):
    _, _, X, y, X_test, y_test = diabetes
    trees = ExtraTreesRegressor(50, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeenRowsWarning)
        student = DLFRegressor(trees, cv=5, **QUICK).fit(X, y)
    assert abs(coverage(student, X_test, y_test).mean() - 0.9) < 0.07


def make_growing_noise(n_rows, seed):
    """Rows, values, and the standard deviation of the noise, which grows with a column."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, size=(n_rows, 4))
    std = 0.1 + 0.25 * (X[:, 2] + 2)
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + std * rng.standard_normal(n_rows), std


def test_intervals_of_a_forest_follow_noise_that_grows():
    X, y, _ = make_growing_noise(800, seed=0)
    X_test, y_test, std = make_growing_noise(3000, seed=1)
    forest = RandomForestRegressor(100, min_samples_leaf=5, random_state=0).fit(X, y)
    student = DLFRegressor(**QUICK).fit(X, y, ensemble=forest)
    inside = coverage(student, X_test, y_test)
    thirds = [inside[rows].mean() for rows in np.array_split(np.argsort(std), 3)]
    np.testing.assert_allclose(thirds, 0.9, atol=0.05)
    constant = DLFRegressor(target_noise="constant", **QUICK).fit(X, y, ensemble=forest)
    inside = coverage(constant, X_test, y_test)
    assert inside[np.argsort(std)[-1000:]].mean() < 0.85


def test_intervals_keep_their_level_under_heavy_tails():
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, size=(4000, 3))
    y = X[:, 0] + 0.3 * rng.standard_t(2, size=4000)
    lines = BaggingRegressor(LinearRegression(), 50, random_state=0).fit(X[:1500], y[:1500])
    student = DLFRegressor(**QUICK).fit(X[:1500], y[:1500], ensemble=lines)
    for level in (0.5, 0.9):
        reached = coverage(student, X[1500:], y[1500:], level).mean()
        assert reached == pytest.approx(level, abs=0.04)
