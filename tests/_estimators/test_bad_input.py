"""Everything bad gets a clear error that says what was received and what was expected."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import (
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.exceptions import TrainingDivergedError

QUICK = {"q": 2, "hidden_layer_sizes": (10,), "n_epochs": 1, "tol": 10.0, "random_state": 0}

X = np.random.RandomState(0).standard_normal((30, 3))
Y = X[:, 0]
P = Y[:, None] + np.random.RandomState(1).standard_normal((30, 6))
RIDGES = [Ridge(alpha).fit(X, Y) for alpha in (1.0, 9.0)]


def with_value(array, value):
    array = array.copy()
    array[3] = value
    return array


def fitted_classifier():
    return RandomForestClassifier(3, random_state=0).fit(X, Y > 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": with_value(X, np.nan), "predictions": P}, "Input X contains NaN"),
        ({"X": with_value(X, np.inf), "predictions": P}, "Input X contains infinity"),
        ({"y": with_value(Y, np.nan), "predictions": P}, "Input y contains NaN"),
        ({"predictions": with_value(P, np.nan)}, "predictions must be finite; 6 of 180"),
        ({"predictions": with_value(P, np.inf)}, "predictions must be finite; 6 of 180"),
        ({"y": with_value(Y, np.inf), "predictions": P}, "Input y contains infinity"),
        (
            {"y": np.array(["low", "high"] * 15), "predictions": P},
            "could not convert string to float: .*low",
        ),
        ({"y": with_value(Y, 1e300), "predictions": P}, r"y must lie within 1e\+38 .* got 1e\+300"),
        ({"predictions": 1e39 * P}, r"outputs must lie within 1e\+38 of zero, .* larger unit"),
        ({"predictions": -1e300 * np.abs(P)}, r"outputs must lie within 1e\+38 of zero"),
        ({"ensemble": RIDGES, "X_ensemble": with_value(X, np.nan)}, "Input X contains NaN"),
        ({"predictions": P[:, :1]}, r"at least 2 members .* got shape \(30, 1\)"),
        ({"predictions": [P[:, 0]]}, "at least 2 members; got a list of 1"),
        ({"predictions": P.T}, r"got \(6, 30\)\. Members seem to come first"),
        ({"predictions": P[:20]}, r"\(30, n_members\).*got \(20, 6\)"),
        ({"predictions": P[:, 0]}, r"\(30, n_members\).*got \(30,\)"),
        ({"predictions": list(P)}, r"pass an array of shape \(n_samples, n_members\)"),
        ({"y": Y[:20], "predictions": P}, "inconsistent numbers of samples"),
        ({"y": np.c_[Y, Y], "predictions": P}, "members have 1 outputs and y has 2"),
        ({"predictions": P, "X_ensemble": X[:20]}, "got 20 rows and expected 30"),
        ({"ensemble": [Ridge().fit(X, Y)]}, "at least two models"),
        ({"ensemble": fitted_classifier()}, "needs an ensemble of regressors; got Random"),
        ({"y": None}, "requires y to be passed, but the target y is None"),
        ({"X": X[:, :2], "ensemble": RandomForestRegressor(3).fit(X, Y)}, "2.*3 features"),
        (
            {"ensemble": RandomForestRegressor(3).fit(X, Y), "predictions": P},
            "Both an ensemble and predictions were given",
        ),
        ({"predictions": P, "sample_weight": -np.ones(30)}, "Negative values"),
        ({"predictions": P, "sample_weight": np.zeros(30)}, "zero"),
    ],
)
def test_fit_names_what_is_wrong(arguments, message):
    arguments = {"X": X, "y": Y, **arguments}
    with pytest.raises(ValueError, match=message):
        DLFRegressor(**QUICK).fit(**arguments)


@pytest.mark.parametrize(
    ("ensemble", "error", "message"),
    [
        (GradientBoostingRegressor(n_estimators=3).fit(X, Y), TypeError, "not an ensemble of alt"),
        (LinearRegression().fit(X, Y), TypeError, "LinearRegression"),
        (object(), TypeError, "object"),
        ([Ridge().fit(X, Y), Ridge()], NotFittedError, "Model 1|Ridge"),
        ([Ridge().fit(X, Y), fitted_classifier()], ValueError, "mixes"),
    ],
)
def test_what_is_no_fitted_ensemble_is_refused_with_the_reason(ensemble, error, message):
    with pytest.raises(error, match=message):
        DLFRegressor(**QUICK).fit(X, Y, ensemble=ensemble)


def test_predictions_must_be_numbers():
    with pytest.raises(TypeError, match="must be numbers; got an array of dtype"):
        DLFRegressor(**QUICK).fit(X, Y, predictions=P.astype(str))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("q", 0),
        ("activation", "sigmoid"),
        ("init", "pca"),
        ("em", "full"),
        ("member_noise", "off"),
        ("max_iter", 0),
        ("tol", -1.0),
        ("n_epochs", 0),
        ("batch_size", "large"),
        ("lr", 0.0),
        ("loadings_weight", 0.0),
        ("weight_decay", -1.0),
        ("q", True),
        ("max_iter", True),
        ("batch_size", False),
        ("hidden_layer_sizes", (10, 0)),
        ("hidden_layer_sizes", (10.0,)),
        ("hidden_layer_sizes", 10),
        ("hidden_layer_sizes", "10"),
        ("device", "abacus"),
        ("device", "meta"),
        ("device", 0),
        ("body", nn.Linear(3, 5)),
    ],
)
def test_parameters_out_of_range_are_named(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of DLFRegressor must be"):
        DLFRegressor(**{**QUICK, parameter: value}).fit(X, Y, predictions=P)


def test_q_beyond_what_members_can_tell_is_clipped_and_the_parameter_left_alone():
    student = DLFRegressor(**{**QUICK, "q": 9})
    with pytest.warns(UserWarning, match=r"q=9 .* 6 members .* q_=5 is used"):
        student.fit(X, Y, predictions=P)
    assert (student.q, student.q_) == (9, 5)


def test_members_that_agree_give_a_warning_and_no_spread():
    student = DLFRegressor(**QUICK)
    with pytest.warns(UserWarning, match="All members agree .* give rows they were not trained on"):
        student.fit(X, Y, predictions=np.repeat(Y[:, None], 4, axis=1))
    _, std = student.predict(X, return_std=True)
    assert std.max() == 0.0
    assert np.isfinite(student.log_likelihoods_).all()


def test_members_that_differ_by_roundings_of_float32_alone_agree():
    noise = np.random.RandomState(2).standard_normal((30, 4))
    rounded = (1e7 + 1e3 * Y[:, None] + 0.1 * noise).astype(np.float32)
    assert rounded.std(axis=1).max() > 0
    student = DLFRegressor(**QUICK)
    with pytest.warns(UserWarning, match="All members agree"):
        student.fit(X, 1e7 + 1e3 * Y, predictions=rounded)
    assert student.predict(X, return_std=True)[1].max() == 0.0


def test_numbers_in_strings_are_values_of_y():
    as_numbers, as_strings = (
        DLFRegressor(**QUICK).fit(X, y, predictions=P) for y in (Y, Y.astype(str))
    )
    assert as_strings.ensemble_score_ == as_numbers.ensemble_score_


def test_teacher_worse_than_a_constant_gives_a_warning():
    with pytest.warns(UserWarning, match="worse than a constant .* X_ensemble"):
        DLFRegressor(**QUICK).fit(X, Y, predictions=P + 100)


def test_diverged_training_is_an_error_and_leaves_nothing_fitted():
    student = DLFRegressor(**{**QUICK, "lr": 1e30, "optimizer": "sgd", "n_epochs": 20})
    with pytest.raises(TrainingDivergedError, match="Use a smaller lr"):
        student.fit(X, Y, predictions=P)
    assert not hasattr(student, "student_")


def returns(convert):
    """Make a body whose output is converted."""

    class Body(nn.Linear):
        def forward(self, rows):
            return convert(super().forward(rows))

    return lambda n_features: Body(n_features, 5)


@pytest.mark.parametrize("prototype", [DLFRegressor(q=2), HydraRegressor()])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda n_features: nn.Flatten(0), r"it returned shape \(6,\)"),
        (lambda n_features: None, "must return an nn.Module .* got NoneType"),
        (lambda n_features: lambda rows: rows, "must return an nn.Module .* got function"),
        (returns(lambda features: (features, features)), "one tensor of torch.float32; got tuple"),
        (returns(lambda features: features.double()), "got torch.float64"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(body, message, prototype):
    with pytest.raises(ValueError, match=message):
        clone(prototype).set_params(body=body).fit(X, Y, predictions=P)


def test_a_body_in_float64_is_trained_in_float32():
    student = DLFRegressor(**QUICK, body=lambda n_features: nn.Linear(n_features, 5).double())
    student.fit(X, Y, predictions=P)
    assert student.student_.body.weight.dtype == torch.float32


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_may_be_named_or_given(device):
    student = clone(DLFRegressor(**QUICK, device=device)).fit(X, Y, predictions=P)
    assert student.student_.device == torch.device("cpu")


class Untouched(RandomForestClassifier):
    def fit(self, X, y, **fit_params):
        raise AssertionError("A fit that nobody needs.")


class UntouchedRegressor(RandomForestRegressor):
    fit = Untouched.fit


@pytest.mark.parametrize(
    ("student", "ensemble", "message"),
    [
        (DLFRegressor, Untouched(), "needs an ensemble of regressors; got Untouched"),
        (DLFClassifier, UntouchedRegressor(), "needs an ensemble of classifiers; got Untouched"),
    ],
)
def test_an_ensemble_of_the_wrong_kind_is_refused_before_it_is_fitted(student, ensemble, message):
    with pytest.raises(ValueError, match=message):
        student(ensemble, **QUICK).fit(X, Y > 0)


@pytest.mark.parametrize(
    ("X_again", "params"),
    [
        (X[:, :2], {"lr": 1e30, "optimizer": "sgd", "n_epochs": 20}),
        (X, {"lr": 1e30, "optimizer": "sgd", "n_epochs": 20}),
        (with_value(X, np.nan), {}),
    ],
)
def test_a_refit_that_fails_leaves_nothing_of_the_fit_before(X_again, params):
    student = DLFRegressor(**QUICK).fit(X, Y, predictions=P)
    with pytest.raises((ValueError, TrainingDivergedError)):
        student.set_params(**params).fit(X_again, Y, predictions=P)
    for ask in (student.predict, student.sample_predictions, student.latent_parameters):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            ask(X)
    student.set_params(**QUICK, lr=0.01, optimizer="adam").fit(X, Y, predictions=P).predict(X)


def test_a_refit_refused_for_its_parameters_leaves_the_fit_before():
    student = DLFRegressor(**QUICK).fit(X, Y, predictions=P)
    before = student.predict(X)
    with pytest.raises(ValueError, match="The 'q' parameter"):
        student.set_params(q=0).fit(X, Y, predictions=P)
    assert_array_equal(student.predict(X), before)


@pytest.fixture(scope="module")
def student():
    return DLFRegressor(**QUICK).fit(X, Y, predictions=P)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.predict(X[:, :2]), "X has 2 features, but DLFRegressor is expecting 3"),
        (lambda s: s.predict(with_value(X, np.nan)), "Input X contains NaN"),
        (lambda s: s.predict(with_value(X, 1e39)), "X must lie within .* standard deviations"),
        (lambda s: s.predict(with_value(X, -1e300)), "X must lie within .* standard deviations"),
        (lambda s: s.predict(X, return_std=True, return_cov=True), "expected one of them at most"),
        (lambda s: s.predict_interval(X, 1.0), "strictly between 0 and 1; got 1.0"),
        (lambda s: s.predict_quantiles(X, [0.0, 0.5]), "strictly between 0 and 1"),
        (lambda s: s.predict_interval(X, "0.9"), "a number strictly between 0 and 1; got '0.9'"),
        (lambda s: s.predict_interval(X, None), "a number strictly between 0 and 1; got None"),
        (lambda s: s.predict_interval(X, [0.5]), "a number strictly between 0 and 1; got"),
        (lambda s: s.sample_predictions(X, 0), "n_samples == 0, must be >= 1"),
        (lambda s: clone(s).predict(X), "not fitted yet"),
    ],
)
def test_prediction_names_what_is_wrong(call, message, student):
    with pytest.raises(ValueError, match=message):
        call(student)


@pytest.mark.parametrize("method", ["sample_y", "predict_interval", "predict_quantiles"])
def test_noise_of_y_is_asked_for_where_it_was_not_fitted(method):
    student = DLFRegressor(**QUICK).fit(X, predictions=P)
    with pytest.raises(NotFittedError, match=r"needs the noise of y .* fit was called without y"):
        getattr(student, method)(X)


@pytest.mark.parametrize("method", ["sample_predictions", "sample_y"])
def test_true_is_no_number_of_draws(method, student):
    with pytest.raises(TypeError, match="n_samples must be an instance of int, not bool"):
        getattr(student, method)(X, True)
