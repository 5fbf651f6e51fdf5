import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from sklearn_dlf import DLFRegressor, predict_interval, sample_predictions, sample_y

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 2, "tol": 1.0, "random_state": 0}


def small_forest():
    return RandomForestRegressor(6, min_samples_leaf=3, random_state=0)


@pytest.fixture(scope="module")
def scaled(friedman):
    """A pipeline whose student sees scaled rows."""
    return make_pipeline(MinMaxScaler(), DLFRegressor(small_forest(), **QUICK)).fit(*friedman)


def own(pipeline, method, X, **arguments):
    """Ask the last step of a pipeline about the rows as it sees them."""
    return getattr(pipeline[-1], method)(pipeline[:-1].transform(X), **arguments)


def test_a_bare_student_answers_itself(scaled, friedman):
    X, student = friedman[0], scaled[-1]
    expected = student.sample_predictions(X, 3, random_state=0)
    assert_array_equal(sample_predictions(student, X, 3, random_state=0), expected)


@pytest.mark.parametrize("function", [sample_predictions, sample_y])
def test_rows_pass_through_the_pipeline(scaled, friedman, function):
    X, _ = friedman
    expected = own(scaled, function.__name__, X, n_samples=3, random_state=0)
    assert_array_equal(function(scaled, X, n_samples=3, random_state=0), expected)


def test_intervals_pass_through_nested_pipelines_frozen_estimators_and_searches(scaled, friedman):
    X, y = friedman
    nested = Pipeline([("outer", FrozenEstimator(scaled))])
    assert_array_equal(
        predict_interval(nested, X, confidence_level=0.5),
        own(scaled, "predict_interval", X, confidence_level=0.5),
    )
    search = GridSearchCV(scaled, {"dlfregressor__q": [1, 2]}, cv=2).fit(X, y)
    assert_array_equal(
        predict_interval(search, X), own(search.best_estimator_, "predict_interval", X)
    )


def test_draws_come_back_to_units_of_y(friedman):
    X, y = friedman
    model = TransformedTargetRegressor(
        DLFRegressor(small_forest(), **QUICK), func=np.log1p, inverse_func=np.expm1
    )
    model.fit(X, np.maximum(y, 0))
    for function in (sample_predictions, sample_y):
        inside = getattr(model.regressor_, function.__name__)(X, 4, random_state=0)
        assert_allclose(function(model, X, 4, random_state=0), np.expm1(inside), rtol=1e-12)
    assert_allclose(
        predict_interval(model, X), np.expm1(model.regressor_.predict_interval(X)), rtol=1e-12
    )


def test_two_transformations_are_undone_from_the_inside_out(friedman):
    X, y = friedman
    inner = TransformedTargetRegressor(
        DLFRegressor(small_forest(), **QUICK), func=np.cbrt, inverse_func=lambda u: u**3
    )
    model = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, y)
    inside = model.regressor_.regressor_.sample_predictions(X, 4, random_state=0)
    expected = y.mean() + y.std() * inside**3
    assert_allclose(sample_predictions(model, X, 4, random_state=0), expected, rtol=1e-9)


def test_a_falling_transformation_leaves_the_lower_end_first(friedman):
    X, y = friedman
    turned = FunctionTransformer(np.negative, np.negative)
    student = DLFRegressor(small_forest(), **QUICK)
    model = TransformedTargetRegressor(student, transformer=turned).fit(X, y)
    intervals = predict_interval(model, X)
    assert np.all(intervals[:, 0] < intervals[:, 1])
    assert_allclose(intervals, -model.regressor_.predict_interval(X)[:, ::-1], rtol=1e-12)


def test_each_output_is_inverted_by_its_own_scale(two_outputs):
    X, y = two_outputs.X, two_outputs.y * [1.0, 100.0]
    model = TransformedTargetRegressor(
        DLFRegressor(small_forest(), **QUICK), transformer=StandardScaler()
    ).fit(X, y)
    inside = model.regressor_.sample_predictions(X, 4, random_state=0)
    draws = sample_predictions(model, X, 4, random_state=0)
    assert draws.shape == (len(X), 2, 4)
    expected = y.mean(axis=0)[:, None] + y.std(axis=0)[:, None] * inside
    assert_allclose(draws, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (Ridge(), TypeError, "through Ridge; expected DLFRegressor"),
        (make_pipeline(StandardScaler(), Ridge()), TypeError, "through Ridge"),
        (VotingRegressor([("a", DLFRegressor())]), TypeError, "through VotingRegressor"),
        (DLFRegressor, TypeError, "A fitted estimator is expected; got <class"),
        (None, TypeError, "A fitted estimator is expected; got None"),
        (DLFRegressor(), NotFittedError, "DLFRegressor instance is not fitted"),
        (make_pipeline(StandardScaler(), DLFRegressor()), NotFittedError, "is not fitted"),
        (GridSearchCV(DLFRegressor(), {}), NotFittedError, "GridSearchCV instance is not fitted"),
        (GridSearchCV(DLFRegressor(), {}, refit=False), TypeError, "refit=False and keeps no"),
        (TransformedTargetRegressor(DLFRegressor()), NotFittedError, "is not fitted"),
    ],
)
def test_what_cannot_be_asked_is_named(friedman, estimator, error, message):
    with pytest.raises(error, match=message):
        sample_predictions(estimator, friedman[0])


def test_a_student_fitted_without_y_says_so_through_a_pipeline(known):
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(**QUICK))
    pipeline.fit(known.X, dlfregressor__predictions=known.predictions)
    with pytest.raises(NotFittedError, match="fit was called without y"):
        predict_interval(pipeline, known.X)
