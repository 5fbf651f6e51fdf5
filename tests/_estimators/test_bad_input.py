"""Errors and warnings state what was received, what was expected and the way out."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.ensemble import (
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor, conformalize
from sklearn_dlf.baselines import (
    BatchEnsembleClassifier,
    BatchEnsembleRegressor,
    DirichletClassifier,
    HydraClassifier,
    HydraRegressor,
    SmallEnsembleClassifier,
    SmallEnsembleRegressor,
)
from sklearn_dlf.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor
from sklearn_dlf.exceptions import TrainingDivergedError

STUDENTS = [
    DLFRegressor,
    DLFClassifier,
    HydraRegressor,
    HydraClassifier,
    BatchEnsembleRegressor,
    BatchEnsembleClassifier,
    SmallEnsembleRegressor,
    SmallEnsembleClassifier,
    DirichletClassifier,
]

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
        ({"X": with_value(X, np.inf), "predictions": P}, "Input X contains infinity"),
        ({"y": np.full(len(Y), np.nan), "predictions": P}, "Input y contains NaN only"),
        (
            {"y": np.c_[Y, with_value(Y, np.nan)], "predictions": np.stack([P, P], axis=1)},
            r"Input y contains NaN: 1 row\(s\) have a value of some outputs",
        ),
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
def test_objects_that_are_no_fitted_ensemble_are_refused_with_the_reason(ensemble, error, message):
    with pytest.raises(error, match=message):
        DLFRegressor(**QUICK).fit(X, Y, ensemble=ensemble)


def test_predictions_must_be_numbers():
    with pytest.raises(
        TypeError, match=r"must be numbers; got labels.*\(n_samples, n_classes, n_members\)"
    ):
        DLFRegressor(**QUICK).fit(X, Y, predictions=P.astype(str))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("q", 0),
        ("activation", "sigmoid"),
        ("init", "pca"),
        ("em", "full"),
        ("member_noise", "none"),
        ("augment", "none"),
        ("augment", "reach"),
        ("out_of_bag", "none"),
        ("out_of_bag", "spread"),
        ("out_of_bag", "members"),
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
        ("hidden_layer_sizes", 0),
        ("hidden_layer_sizes", -1),
        ("hidden_layer_sizes", True),
        ("hidden_layer_sizes", np.array([[10, 10]])),
        ("hidden_layer_sizes", "10"),
        ("device", "abacus"),
        ("device", "meta"),
        ("device", 0),
        ("body", nn.Linear(3, 5)),
    ],
)
def test_invalid_parameters_are_refused_by_name(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of DLFRegressor must be"):
        DLFRegressor(**{**QUICK, parameter: value}).fit(X, Y, predictions=P)


@pytest.mark.parametrize(
    "sizes", [(10, 0), 0, -1, "10", map(int, "12"), (n for n in (10,)), iter([9])]
)
@pytest.mark.parametrize("student_type", STUDENTS)
def test_hidden_layer_sizes_are_positive_integers_in_a_sequence(student_type, sizes):
    with pytest.raises(InvalidParameterError, match=r"'hidden_layer_sizes' .* a sequence of such"):
        student_type(hidden_layer_sizes=sizes).fit(X, Y > 0, predictions=P)


def test_a_q_that_is_too_large_is_reduced_with_a_warning_and_the_parameter_is_kept():
    student = DLFRegressor(**{**QUICK, "q": 9})
    with pytest.warns(UserWarning, match=r"q=9 .* 6 members .* q_=5 is used"):
        student.fit(X, Y, predictions=P)
    assert (student.q, student.q_) == (9, 5)


def test_the_default_q_is_reduced_without_a_warning():
    student = DLFRegressor(**{**QUICK, "q": 10}).fit(X, Y, predictions=P)  # warnings are errors
    assert DLFRegressor().q == student.q == 10
    assert student.q_ == 5


@pytest.mark.parametrize("parameter", ["member_noise", "augment", "out_of_bag"])
def test_none_turns_a_parameter_off(parameter):
    student = DLFRegressor(**{**QUICK, "q": 1, parameter: None}).fit(X, Y, ensemble=RIDGES)
    assert student.predict(X).shape == (30,)


def test_members_that_agree_give_a_warning_and_a_spread_of_zero():
    student = DLFRegressor(**QUICK)
    with pytest.warns(
        UserWarning, match="All members agree .* give rows that they were not trained on"
    ):
        student.fit(X, Y, predictions=np.repeat(Y[:, None], 4, axis=1), unseen=True)
    _, std = student.predict(X, return_std=True)
    assert std.max() == 0.0
    assert np.isfinite(student.log_likelihoods_).all()


def test_members_that_differ_only_by_rounding_to_float32_count_as_equal():
    noise = np.random.RandomState(2).standard_normal((30, 4))
    rounded = (1e7 + 1e3 * Y[:, None] + 0.1 * noise).astype(np.float32)
    assert rounded.std(axis=1).max() > 0
    student = DLFRegressor(**QUICK)
    with pytest.warns(UserWarning, match="All members agree"):
        student.fit(X, 1e7 + 1e3 * Y, predictions=rounded)
    assert student.predict(X, return_std=True)[1].max() == 0.0


def test_strings_of_numbers_are_accepted_as_values_of_y():
    as_numbers, as_strings = (
        DLFRegressor(**QUICK).fit(X, y, predictions=P) for y in (Y, Y.astype(str))
    )
    assert as_strings.ensemble_score_ == as_numbers.ensemble_score_


def test_teacher_worse_than_a_constant_gives_a_warning():
    with pytest.warns(UserWarning, match="worse than a constant .* X_ensemble"):
        DLFRegressor(**QUICK).fit(X, Y, predictions=P + 100)


def test_diverged_training_raises_and_leaves_the_estimator_unfitted():
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
def test_errors_describe_what_is_wrong_with_a_body(body, message, prototype):
    with pytest.raises(ValueError, match=message):
        clone(prototype).set_params(body=body).fit(X, Y, predictions=P)


def test_a_body_in_float64_is_trained_in_float32():
    student = DLFRegressor(**QUICK, body=lambda n_features: nn.Linear(n_features, 5).double())
    student.fit(X, Y, predictions=P)
    assert student.student_.body.weight.dtype == torch.float32


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_a_device_is_given_by_name_or_as_a_torch_device(device):
    student = clone(DLFRegressor(**QUICK, device=device)).fit(X, Y, predictions=P)
    assert student.student_.device == torch.device("cpu")


class NeverFittedClassifier(RandomForestClassifier):
    def fit(self, X, y, **fit_params):
        raise AssertionError("The ensemble must be refused before it is fitted.")


class NeverFittedRegressor(RandomForestRegressor):
    fit = NeverFittedClassifier.fit


@pytest.mark.parametrize(
    ("student", "ensemble", "message"),
    [
        (DLFRegressor, NeverFittedClassifier(), "needs an ensemble of regressors; got NeverFitted"),
        (DLFClassifier, NeverFittedRegressor(), "needs an ensemble of classifiers; got NeverFit"),
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
        (with_value(X, np.inf), {}),
    ],
)
def test_a_refit_that_fails_leaves_the_estimator_unfitted(X_again, params):
    student = DLFRegressor(**QUICK).fit(X, Y, predictions=P)
    with pytest.raises((ValueError, TrainingDivergedError)):
        student.set_params(**params).fit(X_again, Y, predictions=P)
    for method in (student.predict, student.sample_predictions, student.latent_parameters):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            method(X)
    student.set_params(**QUICK, lr=0.01, optimizer="adam").fit(X, Y, predictions=P).predict(X)


def test_a_refit_with_invalid_parameters_keeps_the_earlier_fit():
    student = DLFRegressor(**QUICK).fit(X, Y, predictions=P)
    before = student.predict(X)
    with pytest.raises(ValueError, match="The 'q' parameter"):
        student.set_params(q=0).fit(X, Y, predictions=P)
    assert_array_equal(student.predict(X), before)


@pytest.mark.parametrize("student_type", STUDENTS)
def test_every_prediction_of_an_unfitted_student_raises_not_fitted_error(student_type):
    student = student_type()
    methods = [
        getattr(student, name)
        for name in dir(student_type)
        if name.startswith(("predict", "sample_", "latent_", "member_pred"))
    ]
    assert len(methods) >= 5
    for method in methods:
        with pytest.raises(NotFittedError, match="not fitted yet"):
            method(X)


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
        (lambda s: s.predict(X, return_std=True, return_cov=True), "expected at most one of them"),
        (lambda s: s.predict_interval(X, 1.0), "such as 0.9 for 90 %; got 1.0"),
        (lambda s: s.predict_quantiles(X, [0.0, 0.5]), "strictly between 0 and 1"),
        (lambda s: s.predict_interval(X, "0.9"), "such as 0.9 for 90 %; got '0.9'"),
        (lambda s: s.predict_interval(X, None), "such as 0.9 for 90 %; got None"),
        (lambda s: s.predict_interval(X, [0.5]), "such as 0.9 for 90 %; got"),
        (lambda s: s.sample_predictions(X, 0), "n_samples == 0, must be >= 1"),
        (lambda s: clone(s).predict(X), "not fitted yet"),
    ],
)
def test_predictions_name_what_is_wrong(call, message, student):
    with pytest.raises(ValueError, match=message):
        call(student)


@pytest.mark.parametrize("method", ["sample_y", "predict_interval", "predict_quantiles"])
def test_methods_that_need_the_noise_of_y_raise_after_a_fit_without_y(method):
    student = DLFRegressor(**QUICK).fit(X, predictions=P)
    with pytest.raises(NotFittedError, match=r"needs the noise of y .* fit was called without y"):
        getattr(student, method)(X)


@pytest.mark.parametrize("method", ["sample_predictions", "sample_y"])
def test_a_bool_is_refused_as_the_number_of_draws(method, student):
    with pytest.raises(TypeError, match="n_samples must be an instance of int, not bool"):
        getattr(student, method)(X, True)


DAYS = np.full((30, 3), np.datetime64("2020-01-01"))


def ragged():
    return [[1.0, 2.0], [1.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.predict(DAYS), "X must be numbers; got dates"),
        (lambda s: s.predict(np.ma.masked_array(X, mask=X > 1)), "Input X contains NaN"),
        (lambda s: s.predict_quantiles(X, ["half"]), "quantiles must lie strictly between"),
        (lambda s: s.predict_quantiles(X, [0.5j]), "quantiles must lie strictly between"),
        (lambda s: s.predict_quantiles(X, []), "quantiles must lie strictly between"),
        (lambda s: s.predict_quantiles(X, ragged()), "quantiles must lie strictly between"),
        (lambda s: s.conformalize(X, DAYS[:, 0]), "y must be numbers; got dates"),
        (lambda s: s.to_onnx("none.onnx", outputs=["mean", 3]), "outputs must be some of"),
        (lambda s: s.to_onnx("none.onnx", outputs=[]), "outputs must be some of"),
    ],
)
def test_traps_of_types_are_refused_by_name(call, message, student):
    with pytest.raises(ValueError, match=message):
        call(student)


def test_a_class_of_arrays_holds_no_rows(student):
    with pytest.raises((TypeError, ValueError), match=r"Expected 2D array|dtype|float"):
        student.predict_uncertainty(np.ndarray)


def test_a_number_of_draws_of_a_small_type_is_a_number(student):
    draws = student.sample_predictions(X, np.uint8(200), random_state=0)  # warnings are errors
    assert draws.shape == (30, 200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": DAYS[:, 0], "predictions": P}, "y must be numbers; got dates"),
        ({"y": ragged(), "predictions": P}, "y must hold as many values in each row"),
        ({"y": [], "predictions": P}, "0 sample|inconsistent numbers"),
        ({"predictions": ragged()}, r"predictions must hold one array a member|A list of predict"),
        ({"predictions": P, "X_unlabeled": DAYS}, "X_unlabeled must hold rows like those of X"),
    ],
)
def test_fit_names_the_argument_that_holds_no_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        DLFRegressor(**QUICK).fit(X, **{"y": Y, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"outputs": "logits", "predictions": 1e30 * np.stack([P, -P], axis=1)},
            r"Logits must lie within 1e\+15",
        ),
        ({"classes": [None, "a"]}, "classes must be different labels of one type"),
        ({"classes": ["a", "a"]}, "classes must be different labels of one type"),
        ({"classes": 3}, "classes must be different labels of one type"),
        ({"y": ragged()}, "y must hold as many values in each row"),
    ],
)
def test_classifiers_name_the_argument_that_is_wrong(arguments, message):
    members = np.stack([P, -P], axis=1)
    given = {"predictions": softmax(members, axis=1)}
    with pytest.raises(ValueError, match=message):
        DLFClassifier(**QUICK).fit(X, **{**given, **arguments})


def test_an_ensemble_is_not_fitted_to_one_class():
    with pytest.raises(ValueError, match="y must have labels of at least two classes"):
        DLFClassifier(RandomForestClassifier(2), **QUICK).fit(X, np.full(30, "new"))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("size", [1e4, 1e14])
@pytest.mark.parametrize("student_type", [one for one in STUDENTS if "Classifier" in one.__name__])
def test_large_logits_have_finite_students(size, student_type):
    logits = size * np.stack([P, P[:, ::-1], -P], axis=1)
    student = student_type(hidden_layer_sizes=5, n_epochs=1, max_iter=2, random_state=0)
    student.set_params(augment=None).fit(X, predictions=logits, outputs="logits")
    for found in (student.predict_log_proba(X), *student.predict_uncertainty(X).values()):
        assert np.isfinite(found).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_class_whose_rows_have_no_weight_stays_a_class():
    labels = np.array(["a", "b", "c"])[np.arange(30) % 3]
    weights = (labels != "c").astype(float)
    ensemble = DeepEnsembleClassifier(4, hidden_layer_sizes=4, max_iter=2, random_state=0)
    student = DLFClassifier(ensemble, **QUICK).fit(X, labels, sample_weight=weights)
    assert student.classes_.tolist() == ["a", "b", "c"]
    assert student.predict_proba(X).shape == (30, 3)


@pytest.mark.parametrize("unit", [1e-310, 1.0, 1e300])
def test_rows_of_negligible_weight_count_as_rows_of_no_weight(unit):
    weights = np.where(np.arange(30) < 10, 1.0, 1e-40)
    found, expected = (
        DLFRegressor(**QUICK).fit(X, Y, predictions=P, sample_weight=each).predict(X)
        for each in (unit * weights, np.where(weights < 1, 0.0, 1.0))
    )
    # Weights near the least float have few digits.
    assert_allclose(found, expected, rtol=1e-4 if unit < 1 else 1e-12)


def test_a_frame_takes_further_rows_in_any_byte_order():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    ensemble = [Ridge(alpha).fit(frame, Y) for alpha in (1.0, 9.0, 30.0)]
    student = DLFRegressor(**QUICK).set_params(augment=None)
    student.fit(frame, ensemble=ensemble, X_unlabeled=X.astype(">f8"))
    assert student.predict(frame).shape == (30,)


DATES = np.full(30, np.datetime64("2020-01-01"))
WITH_A_GAP = np.ma.masked_array(np.ones(30), np.arange(30) == 3)


@pytest.mark.parametrize("name", ["fit", "deep", "update", "adapt"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (DATES, "sample_weight must be numbers; got dates"),
        (WITH_A_GAP, "sample_weight contains NaN"),
    ],
)
def test_weights_that_are_dates_or_missing_are_refused(name, weights, message):
    student = DLFRegressor(**QUICK)
    deep = DeepEnsembleRegressor(2, max_iter=1)
    calls = {
        "fit": lambda: student.fit(X, Y, predictions=P, sample_weight=weights),
        "deep": lambda: deep.fit(X, Y, weights),
        "update": lambda: student.fit(X, Y, predictions=P).update(X, Y, weights),
        "adapt": lambda: student.fit(X, Y, predictions=P).adapt(X, Y, weights),
    }
    with pytest.raises(ValueError, match=message):
        calls[name]()


@pytest.mark.parametrize(
    ("y", "message"), [(DATES, "y must be numbers; got dates"), (WITH_A_GAP, "y contains NaN")]
)
def test_held_out_values_that_are_dates_or_missing_are_refused(y, message):
    student = DLFRegressor(**QUICK).fit(X, Y, predictions=P)
    with pytest.raises(ValueError, match=message):
        conformalize(student, X, y)


def test_no_threads_are_none():
    with pytest.raises(InvalidParameterError, match=r"'n_jobs' parameter .* Got 0"):
        DLFRegressor(**QUICK, n_jobs=0).fit(X, Y, predictions=P)
