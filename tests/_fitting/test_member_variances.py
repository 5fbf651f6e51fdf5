"""Members that have a variance of y of their own."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import Bunch

from sklearn_dlf import DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, Members, describe_ensemble
from sklearn_dlf.ensembles._member_predictions import member_variances
from sklearn_dlf.exceptions import SeenRowsWarning

SMALL = {"q": 1, "hidden_layer_sizes": (30,), "tol": 0.05, "augment": None, "random_state": 0}
QUICK = {**SMALL, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 10.0}

X = np.random.RandomState(0).uniform(-2, 2, size=(500, 3))
STD = 0.1 + 0.2 * (X[:, 1] + 2)
Y = X[:, 0] + STD * np.random.RandomState(1).standard_normal(500)


def member(shift, factor=1.0):
    """Return a callable with mean and variance of y."""

    def predict(X):
        std = 0.1 + 0.2 * (X[:, 1] + 2)
        return np.column_stack([X[:, 0] * (1 + shift), factor * std**2])

    return predict


def ensemble_of(*factors):
    shifts = np.linspace(-0.05, 0.05, len(factors))
    models = [member(shift, factor) for shift, factor in zip(shifts, factors, strict=True)]
    return FittedEnsemble(models, outputs="mean_variance")


@pytest.fixture(scope="module")
def without_y():
    return DLFRegressor(**SMALL).fit(X, ensemble=ensemble_of(1, 1, 1, 1))


def test_aleatoric_variance_is_that_of_the_members_without_y(without_y):
    aleatoric = without_y.predict_uncertainty(X).aleatoric
    assert np.corrcoef(aleatoric, STD**2)[0, 1] > 0.98
    assert_allclose(aleatoric.mean(), np.mean(STD**2), rtol=0.05)


def test_intervals_have_their_level_without_y(without_y):
    low, high = without_y.predict_interval(X, 0.9).T
    covered = (low < Y) & (high > Y)
    for rows in (X[:, 1] < 0, X[:, 1] >= 0):
        assert abs(covered[rows].mean() - 0.9) < 0.05


def test_members_that_differ_in_their_variance_give_noise_with_tails():
    student = DLFRegressor(**QUICK).fit(X, ensemble=ensemble_of(0.3, 0.8, 1.2, 1.7))
    assert np.isfinite(student.target_noise_.shape[0])
    aleatoric = student.predict_uncertainty(X).aleatoric - student.target_noise_.squared_misfit
    assert_allclose(aleatoric.mean(), np.mean(STD**2), rtol=0.1)


def test_y_at_unseen_rows_corrects_the_level():
    ensemble = ensemble_of(4, 4, 4, 4)
    student = DLFRegressor(**QUICK).fit(X, Y, ensemble=ensemble, unseen=True)
    aleatoric = student.predict_uncertainty(X).aleatoric - student.target_noise_.squared_misfit
    assert_allclose(aleatoric.mean(), np.mean(STD**2), rtol=0.2)


def test_y_at_rows_that_members_may_have_seen_does_not_change_the_noise(without_y):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeenRowsWarning)
        student = DLFRegressor(**QUICK).fit(X, Y, ensemble=ensemble_of(1, 1, 1, 1))
    assert_allclose(student.target_noise_.scale, without_y.target_noise_.scale)


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf])
def test_variances_that_are_not_finite_and_positive_are_an_error(factor):
    with pytest.raises(ValueError, match=r"Member 2 returned variances .* finite and positive"):
        DLFRegressor(**QUICK).fit(X, ensemble=ensemble_of(1, factor))


def test_one_column_is_an_error():
    with pytest.raises(ValueError, match=r"two columns of each member.*\(500, 3\)"):
        FittedEnsemble([lambda X: X, lambda X: X], outputs="mean_variance").member_predictions(X)


def test_one_callable_returns_means_and_variances_of_all_members():
    def predict(X):
        return np.stack([member(0.1)(X), member(0.2, 2.0)(X)], axis=-1)

    ensemble = FittedEnsemble(predict, outputs="mean_variance", n_members=2)
    assert_allclose(ensemble.member_predictions(X), X[:, :1] * [1.1, 1.2])
    assert_allclose(member_variances(ensemble, X), np.outer(STD**2, [1, 2]))


class Distribution(RegressorMixin, BaseEstimator):
    """A model with the interface of NGBoost."""

    def __init__(self, std=1.0):
        self.std = std

    def fit(self, X, y):
        self.n_features_in_ = X.shape[1]
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)

    def pred_dist(self, X):
        return Bunch(dist=norm(self.predict(X), self.std * (1 + np.abs(X[:, 0]))))


def test_variance_of_a_predicted_distribution_is_that_of_the_member():
    models = [Distribution(std).fit(X, Y) for std in (1.0, 2.0)]
    assert_allclose(member_variances(models, X), np.outer((1 + np.abs(X[:, 0])) ** 2, [1, 4]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BaggingRegressor(Distribution(), 3, random_state=0),
        lambda: VotingRegressor([("a", Distribution()), ("b", Distribution(1.0))], weights=[2, 1]),
    ],
    ids=["bagging", "voting"],
)
def test_ensembles_of_scikit_learn_keep_the_variances_of_their_members(make):
    variances = member_variances(make().fit(X, Y), X)
    assert_allclose(variances, np.repeat((1 + np.abs(X[:, :1])) ** 2, 3, axis=1))


def test_variance_of_members_in_a_pipeline_is_that_at_transformed_rows():
    pipeline = make_pipeline(MinMaxScaler(), BaggingRegressor(Distribution(), 3, random_state=0))
    variances = member_variances(pipeline.fit(X, Y), X)
    scaled = MinMaxScaler().fit_transform(X)
    assert_allclose(variances, np.repeat((1 + scaled[:, :1]) ** 2, 3, axis=1))


def test_members_of_a_transformed_target_have_no_variance():
    bagging = BaggingRegressor(Distribution(), 3, random_state=0)
    model = TransformedTargetRegressor(bagging, transformer=MinMaxScaler()).fit(X, Y)
    assert describe_ensemble(model).predict_variance is None


def test_draws_of_transformed_members_have_the_variance_of_their_rows():
    def members(n_members, random_state=None):
        return Members(
            "regressor",
            n_members,
            lambda X: (X for _ in range(n_members)),
            resample=members,
            predict_variance=lambda X: (X for _ in range(n_members)),
        )

    (variance,) = members(1).through(before=np.exp).predict_variance(np.array([0.0]))
    assert_allclose(variance, 1.0)


def test_a_list_in_which_one_model_has_no_variance_has_none():
    models = [Distribution().fit(X, Y), BaggingRegressor(n_estimators=2).fit(X, Y)]
    assert describe_ensemble(models).predict_variance is None


def test_a_classifier_that_predicts_a_distribution_stays_a_classifier():
    class Classifier(LogisticRegression):
        def pred_dist(self, X):
            raise AssertionError

    models = [Classifier(C=C).fit(X, Y > 0) for C in (0.1, 1.0)]
    assert describe_ensemble(models).kind == "classifier"


def test_catboosts_variance_is_that_of_the_member():
    catboost = pytest.importorskip("catboost")
    models = [
        catboost.CatBoostRegressor(
            iterations=60,
            loss_function="RMSEWithUncertainty",
            random_seed=seed,
            subsample=0.7,
            bootstrap_type="Bernoulli",
            verbose=0,
            thread_count=1,
            allow_writing_files=False,
        ).fit(X, Y)
        for seed in range(3)
    ]
    expected = np.mean([model.predict(X)[:, 1] for model in models], axis=0)
    student = DLFRegressor(**QUICK).fit(X, ensemble=models)
    aleatoric = student.predict_uncertainty(X).aleatoric - student.target_noise_.squared_misfit
    assert np.corrcoef(np.log(aleatoric), np.log(expected))[0, 1] > 0.9
    assert_allclose(aleatoric.mean(), expected.mean(), rtol=0.15)


@pytest.mark.parametrize("variance", [5.0, np.log(25.0)])
def test_a_standard_deviation_or_logarithm_in_place_of_the_variance_is_told(variance):
    noise = 5.0 * np.random.RandomState(1).standard_normal(500)
    models = [
        lambda rows, k=k: np.column_stack([rows[:, 0] + 0.05 * k, np.full(len(rows), variance)])
        for k in range(4)
    ]
    ensemble = FittedEnsemble(models, outputs="mean_variance")
    with pytest.warns(UserWarning, match="squared errors of the members are .* times as large"):
        DLFRegressor(**QUICK).fit(X, X[:, 0] + noise, ensemble=ensemble)


def test_the_variance_itself_is_taken_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SeenRowsWarning)
        DLFRegressor(**QUICK).fit(X, Y, ensemble=ensemble_of(1, 1, 1, 1))


@pytest.mark.parametrize(
    ("given", "meant"), [(np.log, "a logarithm"), (np.sqrt, "a standard deviation")]
)
def test_it_is_told_where_members_disagree_as_much(given, meant):
    """Their disagreement makes up for most of what a logarithm falls short of the variance."""
    rng = np.random.RandomState(1)
    noise = 20.0 * rng.standard_normal(500)
    models = [
        lambda rows, k=k: np.column_stack([rows[:, 0] + 6 * k, np.full(len(rows), given(400.0))])
        for k in range(-3, 4)
    ]
    ensemble = FittedEnsemble(models, outputs="mean_variance")
    with pytest.warns(UserWarning, match=f"is it {meant}?"):
        DLFRegressor(**QUICK).fit(X, X[:, 0] + noise, ensemble=ensemble)


def test_members_that_know_less_noise_than_they_disagree_are_not_told():
    noise = 2.0 * np.random.RandomState(1).standard_normal(500)
    models = [
        lambda rows, k=k: np.column_stack([rows[:, 0] + k, np.full(len(rows), 2.0)])
        for k in range(-3, 4)
    ]
    ensemble = FittedEnsemble(models, outputs="mean_variance")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SeenRowsWarning)
        DLFRegressor(**QUICK).fit(X, X[:, 0] + noise, ensemble=ensemble)


def test_members_that_are_right_together_are_not_told():
    """Each is far too sure of itself, and the exponential of its variance is near to the truth."""
    rng = np.random.RandomState(0)
    offsets = rng.standard_normal(7)
    models = [
        lambda rows, k=k: np.column_stack([rows[:, 0] + offsets[k], np.full(len(rows), 0.05)])
        for k in range(7)
    ]
    center, std = offsets.mean(), np.sqrt(offsets.var() + 0.05)
    y = X[:, 0] + center + std * rng.standard_normal(len(X))
    ensemble = FittedEnsemble(models, outputs="mean_variance")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SeenRowsWarning)
        DLFRegressor(**QUICK).fit(X, y, ensemble=ensemble)
