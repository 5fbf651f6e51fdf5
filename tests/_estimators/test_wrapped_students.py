import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from sklearn_dlf import (
    DLFClassifier,
    DLFRegressor,
    conformalize,
    predict_interval,
    predict_quantiles,
    predict_uncertainty,
    sample_predictions,
    sample_y,
)

QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 2, "tol": 1.0, "random_state": 0}


def small_forest():
    return RandomForestRegressor(6, min_samples_leaf=3, random_state=0)


@pytest.fixture(scope="module")
def scaled(friedman):
    """A pipeline whose student takes scaled rows."""
    return make_pipeline(MinMaxScaler(), DLFRegressor(small_forest(), **QUICK)).fit(*friedman)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def scaled_classifier(iris):
    """A pipeline whose student is a classifier."""
    forest = RandomForestClassifier(6, min_samples_leaf=3, random_state=0)
    return make_pipeline(MinMaxScaler(), DLFClassifier(forest, **QUICK)).fit(*iris)


def own(pipeline, method, X, **arguments):
    """Call a method of the last step of a pipeline with the rows as it takes them."""
    return getattr(pipeline[-1], method)(pipeline[:-1].transform(X), **arguments)


def test_a_student_that_is_not_wrapped_is_called_directly(scaled, friedman):
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


def test_the_lower_end_comes_first_under_a_decreasing_transformation(friedman):
    X, y = friedman
    turned = FunctionTransformer(np.negative, np.negative)
    student = DLFRegressor(small_forest(), **QUICK)
    model = TransformedTargetRegressor(student, transformer=turned).fit(X, y)
    intervals = predict_interval(model, X)
    assert np.all(intervals[:, 0] < intervals[:, 1])
    assert_allclose(intervals, -model.regressor_.predict_interval(X)[:, ::-1], rtol=1e-12)


def test_an_end_beyond_float64_is_infinite(friedman):
    X, y = friedman
    student = DLFRegressor(small_forest(), **QUICK)
    model = TransformedTargetRegressor(student, func=np.log, inverse_func=np.exp).fit(X, y)
    with pytest.warns(UserWarning, match="far from all that the student thought"):
        conformalize(model, X, np.full(len(y), 1e307))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert np.any(predict_interval(model, X)[:, 1] == np.inf)


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


def cube(u):
    return u**3


def cube_and_change_sign(u):
    return -(u**3)


def negative_cube_root(y):
    return -np.cbrt(y)


TRANSFORMATIONS = {
    "none": None,
    "increasing": FunctionTransformer(np.cbrt, cube),
    "decreasing": FunctionTransformer(negative_cube_root, cube_and_change_sign),
}
LEVELS = [0.9, 0.05, 0.5, 0.3]


def check_quantiles_against_draws(model, X):
    """The share of draws of y below a quantile is its level."""
    X = X[:20]
    quantiles = predict_quantiles(model, X, LEVELS)
    draws = sample_y(model, X, 20_000, random_state=0)
    assert quantiles.shape == (*draws.shape[:-1], len(LEVELS))
    shares = (draws[..., None, :] < quantiles[..., None]).mean(axis=-1)
    # The standard error of a share is at most 0.5 / sqrt(20,000) = 0.0035.
    assert_allclose(shares, np.broadcast_to(LEVELS, shares.shape), atol=0.016)


@pytest.mark.parametrize("direction", list(TRANSFORMATIONS))
@pytest.mark.parametrize("fixture", ["known", "two_outputs"])
def test_quantiles_are_those_of_draws(request, fixture, direction):
    data, transformer = request.getfixturevalue(fixture), TRANSFORMATIONS[direction]
    model = DLFRegressor(small_forest(), **QUICK)
    if transformer is not None:
        model = TransformedTargetRegressor(model, transformer=transformer)
    check_quantiles_against_draws(model.fit(data.X, data.y), data.X)


def test_quantiles_where_one_output_increases_and_the_other_decreases(two_outputs):
    signs = FunctionTransformer(lambda Y: Y * [1.0, -1.0], lambda Y: Y * [1.0, -1.0])
    model = TransformedTargetRegressor(DLFRegressor(small_forest(), **QUICK), transformer=signs)
    check_quantiles_against_draws(model.fit(two_outputs.X, two_outputs.y), two_outputs.X)


def test_quantiles_at_the_ends_of_an_interval_are_the_interval(friedman):
    X, y = friedman
    model = TransformedTargetRegressor(
        DLFRegressor(small_forest(), **QUICK), transformer=TRANSFORMATIONS["decreasing"]
    ).fit(X, y)
    # 0.05 and 0.95 as predict_interval computes them differ in the last digits.
    assert_allclose(
        predict_quantiles(model, X, [0.05, 0.95]), predict_interval(model, X), rtol=1e-9
    )


def test_quantiles_pass_through_pipelines_and_searches(scaled, friedman):
    X, y = friedman
    assert_array_equal(predict_quantiles(scaled, X), own(scaled, "predict_quantiles", X))
    search = GridSearchCV(scaled, {"dlfregressor__q": [1, 2]}, cv=2).fit(X, y)
    assert_array_equal(
        predict_quantiles(search, X, [0.2]),
        own(search.best_estimator_, "predict_quantiles", X, quantiles=[0.2]),
    )


@pytest.mark.parametrize("transformer", [None, StandardScaler()])
def test_levels_beyond_zero_and_one_are_refused(known, transformer):
    model = TransformedTargetRegressor(
        DLFRegressor(small_forest(), **QUICK), transformer=transformer
    ).fit(known.X, known.y)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        predict_quantiles(model, known.X, [0.5, 1.0])


def test_uncertainty_passes_through_pipelines_frozen_estimators_and_searches(
    scaled_classifier, iris
):
    X, y = iris
    search = GridSearchCV(scaled_classifier, {"dlfclassifier__q": [1]}, cv=2).fit(X, y)
    for model, pipeline in [
        (scaled_classifier, scaled_classifier),
        (FrozenEstimator(scaled_classifier), scaled_classifier),
        (search, search.best_estimator_),
    ]:
        uncertainty = predict_uncertainty(model, X)
        expected = own(pipeline, "predict_uncertainty", X)
        assert set(uncertainty) == {"total", "aleatoric", "epistemic"}
        for part in uncertainty:
            assert_array_equal(uncertainty[part], expected[part])


def test_uncertainty_of_a_regressor_in_a_pipeline_is_that_of_the_student(scaled, friedman):
    X = friedman[0]
    inside, scaler = scaled[-1], scaled[:-1]
    expected = inside.predict_uncertainty(scaler.transform(X))
    uncertainty = predict_uncertainty(scaled, X)
    assert uncertainty.keys() == expected.keys() == {"total", "aleatoric", "epistemic", "std"}
    for part in expected:
        assert_array_equal(uncertainty[part], expected[part])


def test_variances_of_a_transformed_target_are_refused(friedman):
    X, y = friedman
    student = DLFRegressor(RandomForestRegressor(5, random_state=0), **QUICK)
    model = TransformedTargetRegressor(student, transformer=StandardScaler()).fit(X, y)
    with pytest.raises(TypeError, match=r"A variance cannot be transformed back .* Use sample_y"):
        predict_uncertainty(model, X)


@pytest.mark.parametrize("function", [predict_quantiles, predict_interval, sample_y])
def test_values_of_y_from_a_classifier_are_refused(scaled_classifier, iris, function):
    message = f"DLFClassifier has no method {function.__name__}; expected a regressor"
    with pytest.raises(TypeError, match=message):
        function(scaled_classifier, iris[0])


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (Ridge(), TypeError, "found in Ridge; expected DLFRegressor"),
        (make_pipeline(StandardScaler(), Ridge()), TypeError, "found in Ridge"),
        (VotingRegressor([("a", DLFRegressor())]), TypeError, "found in VotingRegressor"),
        (DLFRegressor, TypeError, "A fitted estimator is expected; got <class"),
        (None, TypeError, "A fitted estimator is expected; got None"),
        (DLFRegressor(), NotFittedError, "DLFRegressor instance is not fitted"),
        (make_pipeline(StandardScaler(), DLFRegressor()), NotFittedError, "is not fitted"),
        (GridSearchCV(DLFRegressor(), {}), NotFittedError, "GridSearchCV instance is not fitted"),
        (GridSearchCV(DLFRegressor(), {}, refit=False), TypeError, "refit=False and keeps no"),
        (TransformedTargetRegressor(DLFRegressor()), NotFittedError, "is not fitted"),
    ],
)
def test_estimators_without_a_fitted_student_are_refused(friedman, estimator, error, message):
    with pytest.raises(error, match=message):
        sample_predictions(estimator, friedman[0])


def test_a_student_fitted_without_y_is_refused_in_a_pipeline(known):
    pipeline = make_pipeline(StandardScaler(), DLFRegressor(**QUICK))
    pipeline.fit(known.X, dlfregressor__predictions=known.predictions)
    for function in (predict_interval, predict_quantiles, sample_y):
        with pytest.raises(NotFittedError, match="fit was called without y"):
            function(pipeline, known.X)
