"""What members that record nothing of their rows should reach at the rows of their own fit."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.tree import DecisionTreeRegressor

from sklearn_dlf._transfer.member_skill import RECORDED_SHARE, REFITTED_SHARE, least_skill


@pytest.fixture
def rows():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 3))
    return X, X[:, 0] + 0.3 * rng.standard_normal(120)


def networks(model, X, y):
    """Return two networks fitted until they follow y."""
    settings = {"hidden_layer_sizes": (10,), "solver": "lbfgs", "max_iter": 5000, "alpha": 1.0}
    return [model(random_state=seed, **settings).fit(X, y) for seed in range(2)]


def test_of_a_linear_model_most_of_what_a_new_fit_reaches(rows):
    X, y = rows
    skill = least_skill([Ridge().fit(X, y)], X, y, "regressor")
    unseen = 1 - 0.3**2 / y.var()  # what the true function saves
    assert 0.8 * REFITTED_SHARE * unseen < skill < REFITTED_SHARE * unseen


def test_of_networks_no_more_than_a_linear_model_reaches(rows):
    X, y = rows
    skill = least_skill(networks(MLPRegressor, X, y), X, y, "regressor")
    assert 0.6 < skill < RECORDED_SHARE
    classes = np.where(y > 0, "high", "low")
    skill = least_skill(networks(MLPClassifier, X, classes), X, classes, "classifier")
    assert 0.2 < skill < RECORDED_SHARE


def test_of_networks_of_noise_nothing(rows):
    X, _ = rows
    noise = np.random.RandomState(1).standard_normal(len(X))
    assert least_skill(networks(MLPRegressor, X, noise), X, noise, "regressor") <= 0


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_not_known_of_too_few_rows_and_of_other_members(rows, kind):
    X, y = rows
    y = y if kind == "regressor" else (y > 0).astype(int)
    model = Ridge() if kind == "regressor" else LogisticRegression()
    assert least_skill([model.fit(X, y)], X[:40], y[:40], kind) is None
    tree = DecisionTreeRegressor(max_depth=2).fit(X, y)
    assert least_skill([tree], X, y, kind) is None


def test_not_known_if_a_new_fit_fails(rows):
    X, y = rows
    gaps = np.where(X > 1, np.nan, X)
    assert least_skill([Ridge().fit(X, y)], gaps, y, "regressor") is None
