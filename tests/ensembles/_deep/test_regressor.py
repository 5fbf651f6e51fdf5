"""The deep ensemble for regression: noise of y, mean and spread."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_friedman1

from sklearn_dlf.ensembles import (
    DeepEnsembleRegressor,
    unseen_rows,
)
from sklearn_dlf.ensembles._deep import training

# Parameters for claims that do not depend on how well or how long members train.
SMALL = {"n_estimators": 4, "hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(120, noise=1.0, random_state=0)


def held_out_mean(values, unseen):
    """Average values (n, k, M) over the rows (n, M) that each member was not trained on: (M, k)."""
    return np.stack([values[rows, :, i].mean(axis=0) for i, rows in enumerate(unseen.T)])


# Early stopping


def test_each_member_keeps_its_best_epoch():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)  # y is noise only
    parameters = {**SMALL, "lr": 0.05}
    early, late = (
        DeepEnsembleRegressor(**{**parameters, "max_iter": n}, n_iter_no_change=200)
        .fit(X, y)
        .member_noise_variance_
        for n in (5, 200)
    )
    # The first epochs of both runs are equal, so that the longer run cannot have a higher loss.
    assert np.all(late <= early)
    fitted_by_heart = DeepEnsembleRegressor(
        **{**parameters, "max_iter": 200}, early_stopping=False
    ).fit(X, y)
    assert fitted_by_heart.member_noise_variance_.mean() < 0.5 * early.mean()


def test_without_early_stopping_all_rows_and_epochs_are_used(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**SMALL, early_stopping=False).fit(X, y)
    assert ensemble.n_iter_ == SMALL["max_iter"]
    assert not ensemble.unseen_rows_.any()
    assert unseen_rows(ensemble, len(X)) is None
    residuals = y[:, None] - ensemble.member_predictions(X)
    assert_allclose(ensemble.member_noise_variance_, (residuals**2).mean(axis=0), rtol=1e-5)


# Noise of y


@pytest.mark.parametrize("bootstrap", [False, True])
def test_noise_is_the_mean_squared_residual_on_held_out_rows(bootstrap, friedman, monkeypatch):
    X, y = friedman
    y = np.column_stack([y, -100 * y + X[:, 0]])
    ensemble = DeepEnsembleRegressor(**SMALL, bootstrap=bootstrap).fit(X, y)
    residuals = y[:, :, None] - ensemble.member_predictions(X)
    expected = held_out_mean(residuals**2, ensemble.unseen_rows_)
    assert ensemble.member_noise_variance_.shape == (4, 2)
    # float32 against float64.
    assert_allclose(ensemble.member_noise_variance_, expected, rtol=1e-5)
    monkeypatch.setattr(training, "MAX_ACTIVATIONS", 4 * 8 * 5)  # five rows at once
    again = DeepEnsembleRegressor(**SMALL, bootstrap=bootstrap).fit(X, y)
    assert_allclose(again.member_noise_variance_, expected, rtol=1e-5)


def test_noise_is_weighted_by_sample_weight(friedman):
    X, y = friedman
    weights = np.random.default_rng(0).uniform(0.1, 2, len(y))
    ensemble = DeepEnsembleRegressor(**SMALL).fit(X, y, sample_weight=weights)
    residuals = y[:, None] - ensemble.member_predictions(X)
    expected = [
        np.average(residuals[rows, i] ** 2, weights=weights[rows])
        for i, rows in enumerate(ensemble.unseen_rows_.T)
    ]
    assert_allclose(ensemble.member_noise_variance_, expected, rtol=1e-5)


def test_noise_of_known_size_is_recovered():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2))
    y = 5 * X[:, 0] + rng.normal(scale=0.5, size=1000)
    ensemble = DeepEnsembleRegressor(**{**SMALL, "n_estimators": 10, "max_iter": 60}).fit(X, y)
    # Ten times 100 held-out rows: sqrt(2 / 1000) = 0.045, and members have errors of their own.
    assert_allclose(ensemble.member_noise_variance_.mean(), 0.25, rtol=0.2)


def test_predictions_and_noise_follow_the_units_of_the_data(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**SMALL).fit(X, y)
    # Powers of two are exact in floating point: the standardised data do not change.
    scaled = DeepEnsembleRegressor(**SMALL).fit(1024 * X, y / 16)
    assert_allclose(scaled.predict(1024 * X), ensemble.predict(X) / 16, rtol=1e-12)
    assert_allclose(
        scaled.member_noise_variance_, ensemble.member_noise_variance_ / 256, rtol=1e-12
    )


# Predictions


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_regression_is_the_mean_and_std_over_members(n_outputs, friedman):
    X, y = friedman
    y = y if n_outputs == 1 else np.column_stack([y] * n_outputs)
    ensemble = DeepEnsembleRegressor(**SMALL).fit(X, y)
    members = ensemble.member_predictions(X)
    assert members.shape == (*y.shape, 4)
    mean, std = ensemble.predict(X, return_std=True)
    assert_allclose(mean, members.mean(axis=-1), rtol=1e-12)
    assert_allclose(std, members.std(axis=-1), rtol=1e-9)
    assert_allclose(ensemble.predict(X), mean, rtol=0)
    assert std.min() > 0


def test_constant_targets_and_columns_are_predicted():
    X, y = np.column_stack([np.ones(30), np.arange(30)]), np.full((30,), 5.0)
    ensemble = DeepEnsembleRegressor(**{**SMALL, "max_iter": 300}).fit(X, y)
    assert_allclose(ensemble.predict(X), 5, atol=0.2)


def test_defaults_fit_well_and_clearly_better_than_the_average_member():
    X, y = make_friedman1(600, noise=1.0, random_state=0)
    ensemble = DeepEnsembleRegressor(random_state=0).fit(X[:300], y[:300])
    errors = y[300:, None] - ensemble.member_predictions(X[300:])
    # The noise has variance 1, and leaves at most 1 - 1 / var(y) = 0.96.
    assert ensemble.score(X[300:], y[300:]) > 0.85
    # By convexity the error of the mean is at most the average error of the members. It is
    # smaller because members differ.
    assert np.mean(errors.mean(axis=1) ** 2) < 0.9 * np.mean(errors**2)
