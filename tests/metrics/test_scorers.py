"""Scorers: of single students, through wrappers, and in searches."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal, norm
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._latent import full
from sklearn_dlf._predictive.scale_mixture import node_weights
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.metrics import (
    crps_ensemble,
    make_member_log_likelihood_scorer,
    member_log_likelihood_scorer,
    neg_crps_scorer,
    neg_nll_scorer,
)

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 4, "tol": 0.1, "random_state": 0}


@pytest.fixture(scope="module")
def taught(known):
    """A student of members drawn from a known model."""
    return DLFRegressor(**QUICK).fit(known.X, known.y, predictions=known.predictions)


@pytest.fixture(scope="module")
def scaled(known):
    """The same student in a pipeline."""
    pipeline = make_pipeline(MinMaxScaler(), DLFRegressor(**QUICK))
    return pipeline.fit(known.X, known.y, dlfregressor__predictions=known.predictions)


def log_density(student, X, y):
    """Logarithm of the density of y, whose noise does not depend on the row."""
    mean, std = student.predict(X, return_std=True)
    noise = student.target_noise_
    assert not noise.depends_on_row
    variance = np.reshape(std, (len(X), -1)) ** 2
    variance = noise.spread_share * variance + noise.misfit(variance)
    total = np.sqrt(variance[..., None] + noise.nodes())
    residuals = np.reshape(y - mean, (len(X), -1, 1)) - noise.bias[:, None]
    return np.log(norm.pdf(residuals, scale=total) @ node_weights())


def test_nll_is_that_of_the_mixture_over_the_noise(taught, known):
    score = neg_nll_scorer(taught, known.X, known.y)
    assert_allclose(score, log_density(taught, known.X, known.y).mean(), rtol=1e-10)


def test_crps_is_that_of_draws_whatever_the_batches(taught, known, monkeypatch):
    whole = neg_crps_scorer(taught, known.X, known.y)
    draws = taught.sample_y(known.X, 1000, random_state=0)
    assert_allclose(whole, -crps_ensemble(known.y, draws), rtol=1e-10)
    monkeypatch.setattr("sklearn_dlf.metrics._scorers.CRPS_ROWS", 40)
    # The draws of a row differ between batches. 1000 draws per row leave this error.
    assert_allclose(neg_crps_scorer(taught, known.X, known.y), whole, rtol=0.02)


@pytest.mark.parametrize("scorer", [neg_nll_scorer, neg_crps_scorer])
def test_a_weight_of_two_is_a_row_given_twice(taught, known, scorer):
    X, y = known.X[:3], known.y[:3]
    alone = np.array([scorer(taught, X[[i]], y[[i]]) for i in range(3)])
    weighted = scorer(taught, X, y, sample_weight=np.array([2.0, 0.0, 1.0]))
    # The draws of the second and third row are not those of the single rows.
    assert_allclose(weighted, (2 * alone[0] + alone[2]) / 3, rtol=0.05)


@pytest.mark.parametrize("scorer", [neg_nll_scorer, neg_crps_scorer])
def test_several_outputs_are_averaged(two_outputs, scorer):
    data = two_outputs
    student = DLFRegressor(**QUICK).fit(data.X, data.y, predictions=data.predictions)
    score = scorer(student, data.X, data.y)
    if scorer is neg_nll_scorer:
        expected = log_density(student, data.X, data.y).mean()
    else:
        draws = student.sample_y(data.X, 1000, random_state=0)
        expected = -np.mean([crps_ensemble(data.y[:, c], draws[:, c]) for c in range(2)])
    assert_allclose(score, expected, rtol=1e-10)


def test_likelihood_of_members_is_their_dense_density():
    rng = np.random.RandomState(0)
    loadings, deviations = rng.standard_normal((9, 2)), rng.standard_normal((9, 5))
    variance = rng.uniform(0.5, 2, 9)
    density = multivariate_normal(cov=loadings @ loadings.T + np.diag(variance))
    assert_allclose(
        full.member_log_likelihood(loadings, deviations, variance),
        density.logpdf(deviations.T).mean() / 9,
        rtol=1e-10,
    )


def test_likelihood_of_predictions_is_that_of_the_mean_and_covariance(taught, known):
    density = multivariate_normal(*taught.predict(known.X, return_cov=True))
    score = member_log_likelihood_scorer(taught, known.X, predictions=known.predictions)
    assert_allclose(score, density.logpdf(known.predictions.T).mean() / len(known.X), rtol=1e-5)


def test_without_member_noise_the_likelihood_is_finite(known):
    student = DLFRegressor(**QUICK, member_noise=None).fit(known.X, predictions=known.predictions)
    score = member_log_likelihood_scorer(student, known.X, predictions=known.predictions)
    assert np.isfinite(score)


def test_the_teacher_of_the_constructor_is_evaluated_at_the_rows_of_the_student(friedman, forest):
    X, y = friedman
    student = DLFRegressor(FittedEnsemble(forest), **QUICK)
    raw = make_pipeline(MinMaxScaler(), clone(student)).fit(X, y, dlfregressor__X_ensemble=X)
    expected = member_log_likelihood_scorer(raw, X, predictions=member_predictions(forest, X))
    assert member_log_likelihood_scorer(raw, X, X_ensemble=X) == expected
    assert make_member_log_likelihood_scorer(forest)(raw, X) == expected
    with pytest.raises(ValueError, match=r"fitted with X_ensemble.*make_member_log"):
        member_log_likelihood_scorer(raw, X)
    bare = student.fit(X, y)
    expected = member_log_likelihood_scorer(bare, X, predictions=member_predictions(forest, X))
    assert member_log_likelihood_scorer(bare, X, y) == expected


@pytest.mark.parametrize("scorer", [neg_nll_scorer, neg_crps_scorer])
def test_rows_pass_through_pipelines(scaled, known, scorer):
    rows = scaled[:-1].transform(known.X)
    assert scorer(scaled, known.X, known.y) == scorer(scaled[-1], rows, known.y)


def test_crps_is_in_units_of_y_where_the_target_is_transformed(friedman):
    X, y = friedman
    student = DLFRegressor(RandomForestRegressor(6, random_state=0), **QUICK)
    model = TransformedTargetRegressor(student, transformer=StandardScaler()).fit(X, 10 * y)
    inside = neg_crps_scorer(model.regressor_, X, (y - y.mean()) / y.std())
    assert_allclose(neg_crps_scorer(model, X, 10 * y), inside * 10 * y.std(), rtol=1e-6)
    with pytest.raises(TypeError, match="density of y is not known if the target"):
        neg_nll_scorer(model, X, y)


def test_nll_of_a_classifier_is_its_log_loss(friedman):
    X, y = friedman
    labels = np.where(y > y.mean(), "high", "low")
    model = LogisticRegression().fit(X, labels)
    only = labels == "low"  # a fold may lack a class
    expected = -log_loss(labels[only], model.predict_proba(X[only]), labels=["high", "low"])
    assert_allclose(neg_nll_scorer(model, X[only], labels[only]), expected, rtol=1e-10)


def test_a_grid_is_scored_by_all_of_them(friedman, forest):
    grid = GridSearchCV(
        DLFRegressor(FittedEnsemble(forest), **QUICK),
        {"member_noise": [None, "input"]},
        cv=2,
        scoring={
            "nll": neg_nll_scorer,
            "crps": neg_crps_scorer,
            "members": member_log_likelihood_scorer,
        },
        refit="members",
        error_score="raise",
    )
    grid.fit(*friedman)
    # Two factors do not describe twenty trees, and without member noise nothing else may vary.
    assert grid.best_params_ == {"member_noise": "input"}
    assert np.isfinite(grid.cv_results_["mean_test_nll"]).all()
    assert (grid.cv_results_["mean_test_crps"] < 0).all()


def test_routed_predictions_are_those_of_the_held_out_rows(known):
    with config_context(enable_metadata_routing=True):
        student = DLFRegressor(**QUICK).set_fit_request(predictions=True)
        scorer = member_log_likelihood_scorer.set_score_request(predictions=True)
        results = cross_validate(
            student,
            known.X,
            known.y,
            cv=2,
            scoring=scorer,
            params={"predictions": known.predictions},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for fold, rows in enumerate(results["indices"]["test"]):
        expected = member_log_likelihood_scorer(
            results["estimator"][fold], known.X[rows], predictions=known.predictions[rows]
        )
        assert results["test_score"][fold] == expected


def test_metadata_that_was_not_requested_is_an_error(known):
    with config_context(enable_metadata_routing=True):
        student = DLFRegressor(**QUICK).set_fit_request(predictions=True)
        grid = GridSearchCV(student, {"q": [1]}, scoring=member_log_likelihood_scorer)
        with pytest.raises(UnsetMetadataPassedError, match="predictions"):
            grid.fit(known.X, known.y, predictions=known.predictions)


def test_a_request_does_not_change_the_shared_scorer():
    requesting = neg_nll_scorer.set_score_request(sample_weight=True)
    assert requesting.get_metadata_routing().score.requests == {"sample_weight": True}
    assert neg_nll_scorer.get_metadata_routing().score.requests == {"sample_weight": None}
    with pytest.raises(TypeError, match=r"neg_nll_scorer takes no metadata \['predictions'\]"):
        neg_nll_scorer.set_score_request(predictions=True)


def test_scorers_can_be_pickled_and_are_shown_by_name(taught, known):
    again = pickle.loads(pickle.dumps(neg_nll_scorer))
    assert again(taught, known.X, known.y) == neg_nll_scorer(taught, known.X, known.y)
    assert repr(again) == "neg_nll_scorer"


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [(None, "`ensemble` is None"), (RandomForestRegressor(), "`ensemble` is not fitted")],
)
def test_a_student_without_a_fitted_teacher_is_refused(taught, known, ensemble, message):
    student = clone(taught).set_params(ensemble=ensemble)
    student.__dict__.update({**taught.__dict__, "ensemble": ensemble})
    with pytest.raises(ValueError, match=message):
        member_log_likelihood_scorer(student, known.X, known.y)


def test_scores_of_y_need_a_fit_with_y(known):
    student = DLFRegressor(**QUICK).fit(known.X, predictions=known.predictions)
    for scorer in (neg_nll_scorer, neg_crps_scorer):
        with pytest.raises(NotFittedError, match="fit was called without y"):
            scorer(student, known.X, known.y)


@pytest.mark.parametrize("scorer", [neg_nll_scorer, neg_crps_scorer])
@pytest.mark.parametrize(
    ("weight", "message"),
    [(-1.0, "Negative values"), (np.nan, "contains NaN"), (0.0, "sample_weight are zero")],
)
def test_weights_that_make_no_sense_are_refused(taught, known, scorer, weight, message):
    with pytest.raises(ValueError, match=message):
        scorer(taught, known.X, known.y, sample_weight=np.full(len(known.X), weight))


def test_zero_weights_of_a_classifier_are_refused(friedman):
    X, y = friedman
    model = LogisticRegression().fit(X, y > y.mean())
    with pytest.raises(ValueError, match="sample_weight are zero"):
        neg_nll_scorer(model, X, y > y.mean(), sample_weight=np.zeros(len(X)))


def test_rows_of_a_batch_may_all_have_zero_weight(taught, known, monkeypatch):
    monkeypatch.setattr("sklearn_dlf.metrics._scorers.CRPS_ROWS", 40)
    weights = np.repeat([1.0, 0.0], [40, len(known.X) - 40])
    expected = neg_crps_scorer(taught, known.X[:40], known.y[:40])
    score = neg_crps_scorer(taught, known.X, known.y, sample_weight=weights)
    assert_allclose(score, expected, rtol=1e-12)


def test_scores_of_no_rows_are_refused(taught, known):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        neg_nll_scorer(taught, known.X[:0], known.y[:0])
    with pytest.raises(ValueError, match="X has no rows; expected at least one"):
        neg_crps_scorer(taught, known.X[:0], known.y[:0])


def test_regression_scores_of_a_classifier_are_refused(friedman):
    X, y = friedman
    predictions = np.random.RandomState(0).dirichlet([1, 1], size=(len(X), 4)).swapaxes(1, 2)
    student = DLFClassifier(**QUICK).fit(X, predictions=predictions)
    with pytest.raises(TypeError, match="DLFClassifier has no method sample_y"):
        neg_crps_scorer(student, X, y)
    with pytest.raises(TypeError, match="not known under DLFClassifier; expected DLFRegressor"):
        member_log_likelihood_scorer(student, X, predictions=predictions)


@pytest.mark.parametrize("scorer", [neg_nll_scorer, neg_crps_scorer, member_log_likelihood_scorer])
def test_an_unfitted_student_has_no_score(known, scorer):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        scorer(DLFRegressor(), known.X, known.y)


@pytest.mark.parametrize("scorer", [neg_nll_scorer, neg_crps_scorer])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda y: y.astype(str), TypeError, "y must be numbers"),
        (lambda y: y[:-1], ValueError, "inconsistent numbers|value.s. for each of the"),
        (lambda y: np.where(y > 0, np.nan, y), ValueError, "Input y contains NaN"),
        (lambda y: 1e300 * y, ValueError, "y must lie within"),
        (lambda y: {"a": 1.0}, TypeError, "y must be numbers"),
    ],
)
def test_values_that_cannot_be_scored_are_refused_by_name(
    taught, known, scorer, make, error, message
):
    with pytest.raises(error, match=message):
        scorer(taught, known.X, make(known.y))


def test_rows_of_different_length_are_refused_by_name(taught, friedman, forest):
    rows = [list(friedman[0][0]), [1.0]]
    with pytest.raises(ValueError, match="X must be an array of numbers, with rows of one length"):
        make_member_log_likelihood_scorer(forest)(taught, rows)


def test_searches_hand_weights_to_the_scorer(iris_forest):
    X, y, forest = iris_forest
    weights = np.where(y == 1, 20.0, 1.0)
    brief = {**QUICK, "refine": False, "augment": None, "tol": 10.0}
    student = DLFClassifier(FittedEnsemble(forest), **brief)
    scores = [
        GridSearchCV(student, {"q": [1]}, cv=2, scoring=scoring)
        .fit(X, y, sample_weight=weights)
        .cv_results_["mean_test_score"]
        for scoring in ("neg_log_loss", neg_nll_scorer)
    ]
    assert_allclose(scores[0], scores[1])


@pytest.fixture(scope="module")
def iris_forest():
    X, y = load_iris(return_X_y=True)
    return X, y, RandomForestClassifier(10, min_samples_leaf=3, random_state=0).fit(X, y)
