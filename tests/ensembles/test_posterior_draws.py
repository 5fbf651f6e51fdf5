"""Draws from a posterior as members."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.linear_model import ARDRegression, BayesianRidge
from sklearn.model_selection import cross_validate
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
from sklearn_dlf.ensembles._member_predictions import evaluate_members
from sklearn_dlf.ensembles._pathwise import without_noise

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
y = X[:, 0] + 0.1 * rng.normal(size=40)
frame = pd.DataFrame(X, columns=["x", "y", "z"])


def fitted_process(kernel, **options):
    return GaussianProcessRegressor(kernel, optimizer=None, **options).fit(X, y)


def exact_moments(process, rows):
    """Return mean and covariance of the function without noise, by the formulas of the process."""
    kernel = without_noise(process.kernel_)
    between = kernel(rows, process.X_train_)
    solved = np.linalg.solve(process.L_ @ process.L_.T, between.T)
    covariance = np.var(y) ** process.normalize_y * (kernel(rows) - between @ solved)
    return process.predict(rows), covariance


PROCESSES = {
    "RBF": (RBF([2.0, 1.0, 5.0]), {"alpha": 0.1}),
    "a variance for each row": (RBF(2.0), {"alpha": np.linspace(0.01, 1.0, 40)}),
    "Matern": (Matern(1.5, nu=1.5), {"alpha": 0.05}),
    "rational quadratic, y normalised": (
        2.0 * RationalQuadratic(2.0, 0.5) + WhiteKernel(0.2),
        {"normalize_y": True},
    ),
    "sum and product": (
        ConstantKernel(0.5) * RBF(2.0) * Matern(3.0) + DotProduct(0.3) ** 2 + WhiteKernel(0.1),
        {},
    ),
    "without noise": (RBF(3.0), {}),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_draws_of_a_gaussian_process_have_the_moments_of_the_posterior(name):
    kernel, options = PROCESSES[name]
    process = fitted_process(kernel, **options)
    rows = 1.5 * np.random.default_rng(1).normal(size=(30, 3))
    draws = FittedEnsemble(process, n_members=4000).member_predictions(rows)
    mean, covariance = exact_moments(process, rows)
    std = np.sqrt(covariance.diagonal())
    # Five standard errors of 4000 draws; an error of 2 % is that of features.
    assert_allclose((draws.mean(axis=1) - mean) / std, 0, atol=5 / np.sqrt(4000))
    assert_allclose(draws.std(axis=1) / std, 1, atol=0.02 + 5 / np.sqrt(2 * 4000))
    error = (np.cov(draws) - covariance) / np.outer(std, std)
    assert_allclose(error, 0, atol=0.02 + 5 * np.sqrt(2 / 4000))


def test_draws_of_a_gaussian_process_are_functions_of_any_rows():
    members = describe_ensemble(fitted_process(RBF(2.0), alpha=0.1))
    assert not members.is_joint
    together = evaluate_members(members, X)
    apart = [evaluate_members(members, rows) for rows in (X[:7], X[7:])]
    assert_allclose(np.concatenate(apart), together, rtol=1e-9)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_draws_that_no_integer_determines_are_made_in_one_call(random_state):
    process = fitted_process(RBF(2.0), alpha=0.1)
    ensemble = FittedEnsemble(process, n_members=5, random_state=random_state)
    assert describe_ensemble(ensemble).is_joint
    # A draw is one function: two rows with the same columns have the same value in it.
    twins = ensemble.member_predictions(np.repeat(X[:1], 2, axis=0) + 1)
    assert_allclose(twins[0], twins[1], atol=1e-5)


class OwnKernel(RBF):
    """A kernel whose features are not known."""


class OwnProcess(GaussianProcessRegressor):
    """A process that draws in a way of its own."""

    def sample_y(self, X, n_samples=1, random_state=0):
        return super().sample_y(X, n_samples, random_state)


@pytest.mark.parametrize(
    "process",
    [
        GaussianProcessRegressor(OwnKernel(2.0), alpha=0.1, optimizer=None),
        OwnProcess(RBF(2.0), alpha=0.1, optimizer=None),
    ],
)
def test_other_processes_are_drawn_in_one_call_over_all_rows(process):
    process.fit(X, y)
    ensemble = FittedEnsemble(process, n_members=7, random_state=3)
    assert describe_ensemble(ensemble).is_joint
    assert_allclose(ensemble.member_predictions(frame), process.sample_y(X, 7, random_state=3))


def test_a_gaussian_process_has_a_thousand_members_and_the_same_in_each_call():
    process = fitted_process(RBF(2.0), alpha=0.1)
    assert member_predictions(process, X).shape == (40, 1000)
    assert_array_equal(member_predictions(process, X), member_predictions(process, X))
    assert unseen_rows(process, 40) is None
    other = FittedEnsemble(process, random_state=1).member_predictions(X)
    assert np.abs(other - member_predictions(process, X)).max() > 0.1


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
    draws = FittedEnsemble(process, n_members=2000).member_predictions(X)
    assert draws.shape == (40, 2, 2000)
    mean, std = process.predict(X, return_std=True)
    assert_allclose((draws.mean(axis=-1) - mean) / std, 0, atol=5 / np.sqrt(2000))
    assert_allclose(draws.std(axis=-1) / std, 1, atol=0.1)
    correlation = [np.corrcoef(row)[0, 1] for row in draws - mean[..., None]]
    assert_allclose(correlation, 0, atol=5 / np.sqrt(2000))


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


@pytest.mark.filterwarnings("ignore:q=10 factors hold")
def test_an_unfitted_gaussian_process_is_fitted_in_each_fold():
    process = make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=0.1, optimizer=None))
    quick = {"hidden_layer_sizes": (4,), "n_epochs": 1, "tol": 10.0}
    student = DLFRegressor(process, **quick, random_state=0)
    folds = cross_validate(student, X, y, cv=2, error_score="raise", return_estimator=True)
    assert [each.n_members_ for each in folds["estimator"]] == [1000, 1000]


def test_draws_pass_through_a_pipeline():
    pipeline = make_pipeline(
        StandardScaler(), GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None)
    ).fit(X, y)
    ensemble = FittedEnsemble(pipeline, n_members=6, random_state=1)
    process = FittedEnsemble(pipeline[-1], n_members=6, random_state=1)
    expected = process.member_predictions(pipeline[0].transform(X))
    assert_allclose(ensemble.member_predictions(X), expected)


@pytest.mark.parametrize(
    "posterior",
    [
        make_pipeline(
            StandardScaler(), GaussianProcessRegressor(RBF(2.0), alpha=0.1, optimizer=None)
        ),
        BayesianRidge(),
    ],
)
def test_targets_that_are_transformed_have_draws_transformed_back(posterior):
    logs = {"func": np.log, "inverse_func": np.exp}
    regressor = TransformedTargetRegressor(posterior, **logs).fit(X, np.exp(y))
    inner = member_predictions(regressor.regressor_, X)
    assert_allclose(member_predictions(regressor, X), np.exp(inner), rtol=1e-9)
    members = describe_ensemble(regressor)
    assert not members.inner.members.is_joint
    assert not members.is_joint


LINEAR = {
    "ridge": BayesianRidge(),
    "without intercept": BayesianRidge(fit_intercept=False),
    "all coefficients kept": ARDRegression(threshold_lambda=1e12),
    "some coefficients kept": ARDRegression(threshold_lambda=30.0),
}


@pytest.mark.parametrize("name", LINEAR)
def test_draws_of_a_linear_model_have_the_moments_of_its_posterior(name):
    far = X + np.array([10.0, -3.0, 0.0])  # the mean of the columns is far from zero
    model = LINEAR[name].fit(far, y)
    rows = far[:9] + 1.0
    draws = FittedEnsemble(model, n_members=4000).member_predictions(rows)
    centred = rows - far.mean(axis=0) if model.fit_intercept else rows
    if name.endswith("kept"):
        centred = centred[:, model.lambda_ < model.threshold_lambda]
    covariance = centred @ model.sigma_ @ centred.T
    std = np.sqrt(covariance.diagonal())
    # Five standard errors of 4000 draws.
    assert_allclose((draws.mean(axis=1) - model.predict(rows)) / std, 0, atol=5 / np.sqrt(4000))
    error = (np.cov(draws) - covariance) / np.outer(std, std)
    assert_allclose(error, 0, atol=5 * np.sqrt(2 / 4000))


def test_coefficients_that_were_not_kept_do_not_vary():
    model = ARDRegression(threshold_lambda=30.0).fit(X, y)
    assert 0 < len(model.sigma_) < 3
    moved = X + (model.lambda_ >= 30.0)
    assert_array_equal(member_predictions(model, moved), member_predictions(model, X))


def test_draws_of_a_linear_model_are_functions_of_any_rows():
    members = describe_ensemble(BayesianRidge().fit(X, y))
    assert members.are_functions
    assert_allclose(evaluate_members(members, X)[:5], evaluate_members(members, X[:5]))


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
    assert_array_equal(member_predictions(Student(), X)[0], np.arange(1000))


def test_draws_that_are_not_last_raise():
    with pytest.raises(ValueError, match=r"\(1000, 40\), expected the 1000 draws along the last"):
        member_predictions(WrongWayRound(), X)


def test_a_process_without_draws_is_not_registered():
    process = GaussianProcessClassifier(optimizer=None).fit(X, y > 0)
    with pytest.raises(TypeError, match=r"draws of its logits.*parameter_draws"):
        member_predictions(process, X)
