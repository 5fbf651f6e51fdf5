"""Draws from a posterior as members."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import (
    FittedEnsemble,
    describe_ensemble,
    is_fitted_ensemble,
    member_predictions,
    unseen_rows,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = X[:, 0] + 0.1 * rng.normal(size=40)
frame = pd.DataFrame(X, columns=["x", "y", "z"])


def fitted_process(kernel, **options):
    return GaussianProcessRegressor(kernel, optimizer=None, **options).fit(X, y)


def test_a_gaussian_process_is_drawn_in_one_call_over_all_rows():
    process = fitted_process(RBF(2.0), alpha=0.1)
    ensemble = FittedEnsemble(process, n_members=7, random_state=3)
    assert_allclose(ensemble.member_predictions(frame), process.sample_y(X, 7, random_state=3))
    # A draw is one function: two rows with the same columns have the same value in it.
    twins = ensemble.member_predictions(np.repeat(X[:1], 2, axis=0) + 1)
    assert_allclose(twins[0], twins[1], atol=1e-5)


def test_a_gaussian_process_has_fifty_members_and_the_same_in_each_call():
    process = fitted_process(RBF(2.0), alpha=0.1)
    assert member_predictions(process, X).shape == (40, 50)
    assert_array_equal(member_predictions(process, X), member_predictions(process, X))
    assert unseen_rows(process, 40) is None


@pytest.mark.parametrize(
    "kernel",
    [
        RBF(2.0) + WhiteKernel(0.3),
        ConstantKernel(2.0) * (WhiteKernel(0.15) + RBF(2.0)),
    ],
)
def test_draws_of_a_gaussian_process_exclude_the_noise(kernel):
    process = fitted_process(kernel, normalize_y=True)
    predictions = FittedEnsemble(process, n_members=4000).member_predictions(X)
    mean, covariance = process.predict(X, return_cov=True)
    covariance -= 0.3 * y.var() * np.eye(len(X))
    # Four standard errors of 4000 draws.
    atol = 4 * np.sqrt(2 / 4000) * covariance.diagonal().max()
    assert_allclose(np.cov(predictions), covariance, atol=atol)
    assert_allclose(predictions.mean(axis=1), mean, atol=0.06 * np.sqrt(covariance.max()))
    assert str(process.kernel_) == str(kernel)


def test_a_gaussian_process_of_several_targets_keeps_draws_last():
    process = GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None).fit(X, np.c_[y, -y])
    assert FittedEnsemble(process, n_members=4).member_predictions(X).shape == (40, 2, 4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda process: process,
        lambda process: make_pipeline(StandardScaler(), process),
        lambda process: make_pipeline(make_pipeline(process)),
        FrozenEstimator,
        TransformedTargetRegressor,
    ],
)
def test_a_gaussian_process_that_predicts_its_prior_is_not_fitted(wrap):
    unfitted = wrap(GaussianProcessRegressor(optimizer=None))
    assert not is_fitted_ensemble(unfitted)
    assert is_fitted_ensemble(wrap(fitted_process(RBF())).fit(X, y))
    with pytest.raises(NotFittedError, match="is not fitted"):
        describe_ensemble(unfitted)
    with pytest.raises(NotFittedError, match=r"Model 0 .* is not fitted"):
        describe_ensemble([unfitted, unfitted])


def test_an_unfitted_gaussian_process_is_fitted_in_each_fold():
    process = make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=0.1, optimizer=None))
    student = DLFRegressor(process, hidden_layer_sizes=(4,), n_epochs=1, tol=10.0, random_state=0)
    grid = GridSearchCV(student, {"q": [1, 2]}, cv=2, error_score="raise").fit(X, y)
    assert grid.best_estimator_.n_members_ == 50


def test_draws_pass_through_a_pipeline():
    pipeline = make_pipeline(
        StandardScaler(), GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None)
    ).fit(X, y)
    ensemble = FittedEnsemble(pipeline, n_members=6, random_state=1)
    expected = pipeline[-1].sample_y(pipeline[0].transform(X), 6, random_state=1)
    assert_allclose(ensemble.member_predictions(X), expected)


class BayesianLine:
    """A posterior of another library: draws of y around draws of the function."""

    def sample_y(self, X, n_samples=1, random_state=None):
        slopes = np.random.default_rng(random_state).normal(size=n_samples)
        return X[:, :1] * slopes


class Student(BayesianLine):
    def sample_predictions(self, X, n_samples=1, random_state=None):
        return np.zeros((len(X), n_samples)) + np.arange(n_samples)


class WrongWayRound:
    def sample_y(self, X, n_samples=1, random_state=None):
        return np.zeros((n_samples, len(X)))


def test_an_object_with_sample_y_is_a_posterior():
    ensemble = FittedEnsemble(BayesianLine(), n_members=5)
    assert_allclose(ensemble.member_predictions(X), BayesianLine().sample_y(X, 5, 0))


def test_draws_of_functions_are_preferred_to_draws_of_y():
    assert_array_equal(member_predictions(Student(), X)[0], np.arange(50))


def test_draws_that_are_not_last_raise():
    with pytest.raises(ValueError, match=r"shape \(50, 40\), expected the 50 draws along the last"):
        member_predictions(WrongWayRound(), X)


def test_a_process_without_draws_is_not_registered():
    process = GaussianProcessClassifier(optimizer=None).fit(X, y > 0)
    with pytest.raises(TypeError, match="GaussianProcessClassifier is not a registered type"):
        member_predictions(process, X)
