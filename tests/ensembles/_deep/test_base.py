"""Claims about both deep ensembles, or about what they share."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from expected_failures import expected_failures
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import load_iris, make_friedman1
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
    unseen_rows,
)
from sklearn_dlf.ensembles._deep import base, training

# Parameters for claims that do not depend on how well or how long members train.
SMALL = {"n_estimators": 4, "hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(120, noise=1.0, random_state=0)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(params=[DeepEnsembleRegressor, DeepEnsembleClassifier])
def estimator_class(request):
    return request.param


# scikit-learn's own checks


@parametrize_with_checks(
    [
        DeepEnsembleRegressor(n_estimators=2, hidden_layer_sizes=(10,), max_iter=30),
        DeepEnsembleClassifier(n_estimators=2, hidden_layer_sizes=(10,), max_iter=30),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conventions_with_few_members(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [DeepEnsembleRegressor(), DeepEnsembleClassifier()],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conventions_with_defaults(estimator, check):
    check(estimator)


# Rows of each member


@pytest.mark.parametrize("n_samples", [7, 100, 103])
def test_members_hold_out_the_given_fraction_in_turn(n_samples):
    X = np.random.default_rng(0).normal(size=(n_samples, 2))
    ensemble = DeepEnsembleRegressor(
        **{**SMALL, "n_estimators": 13, "max_iter": 1}, validation_fraction=0.2
    ).fit(X, X[:, 0])
    unseen = ensemble.unseen_rows_
    assert unseen.shape == (n_samples, 13)
    assert_array_equal(unseen.sum(axis=0), round(0.2 * n_samples))
    n_rounds = 13 / (n_samples // round(0.2 * n_samples))
    assert unseen.sum(axis=1).max() <= np.ceil(n_rounds)  # turns of a round do not overlap


def test_bootstrap_leaves_each_member_a_share_of_rows_near_exp_minus_one(friedman):
    X, y = friedman
    unseen = DeepEnsembleRegressor(**SMALL, bootstrap=True).fit(X, y).unseen_rows_
    # (1 - 1/n)^n with a standard deviation of 0.31 / sqrt(n) = 0.03 for each member.
    assert_allclose(unseen.mean(axis=0), np.exp(-1), atol=0.1)


def test_members_train_on_no_unseen_rows(friedman):
    X, y = friedman
    parameters = {**SMALL, "bootstrap": True, "early_stopping": False}
    ensemble = DeepEnsembleRegressor(**parameters).fit(X, y)
    unseen = ensemble.unseen_rows_
    some = np.flatnonzero(unseen[:, 0])[:2]
    swapped = y.copy()
    swapped[some] = y[some[::-1]]  # mean and scale of y do not change
    others = DeepEnsembleRegressor(**parameters).fit(X, swapped)
    change = np.abs(ensemble.member_predictions(X) - others.member_predictions(X)).max(axis=0)
    has_trained = ~unseen[some].all(axis=0)
    assert change[~has_trained].max() < 1e-4  # the sum for the mean of y rounds differently
    assert change[has_trained].min() > 1e-2


def test_rows_of_weight_zero_have_no_effect(friedman, estimator_class, monkeypatch):
    # A strong penalty shows that it is divided by the rows of positive weight only.
    monkeypatch.setattr(base, "_AUTO_PENALTY", 10)
    X, y = friedman
    y = y > y.mean() if estimator_class is DeepEnsembleClassifier else y
    weights = np.arange(len(y)) % 3.0
    ensemble = estimator_class(**SMALL).fit(X, y, sample_weight=weights)
    present = weights > 0
    other = estimator_class(**SMALL).fit(X[present], y[present], sample_weight=7 * weights[present])
    # The random draws and the proportions of weights and penalty are equal: rounding only.
    assert_allclose(ensemble.member_predictions(X), other.member_predictions(X), rtol=1e-4)
    assert ensemble.unseen_rows_[~present].all()
    assert_array_equal(ensemble.unseen_rows_[present], other.unseen_rows_)


def test_predictions_follow_the_shares_of_the_weights():
    X, y = np.zeros((200, 1)), np.repeat([0.0, 1.0], 100)
    weights = np.where(y == 1, 3, 1)
    parameters = {**SMALL, "max_iter": 100, "early_stopping": False}
    regressor = DeepEnsembleRegressor(**parameters).fit(X, y, sample_weight=weights)
    classifier = DeepEnsembleClassifier(**parameters).fit(X, y, sample_weight=weights)
    # The shares of the classes vary between batches: the average of 100 steps is good to 0.02.
    assert_allclose(regressor.predict(X[:1]), 0.75, atol=0.03)
    assert_allclose(classifier.predict_proba(X[:1])[0, 1], 0.75, atol=0.03)


# Parameters


@pytest.mark.parametrize(("bootstrap", "n_rows"), [(False, 108), (True, 120)])
def test_weight_decay_is_by_default_1e_4_over_the_rows_of_a_member(
    friedman, estimator_class, bootstrap, n_rows
):
    X, y = friedman
    y = y > y.mean() if estimator_class is DeepEnsembleClassifier else y
    by_default, by_value, other = (
        estimator_class(**SMALL, bootstrap=bootstrap, **decay).fit(X, y).member_predictions(X)
        for decay in ({}, {"weight_decay": 1e-4 / n_rows}, {"weight_decay": 1e-3})
    )
    assert_array_equal(by_default, by_value)
    assert np.abs(other - by_value).max() > 0


def test_weight_decay_is_that_of_adam(friedman, estimator_class, monkeypatch):
    X, y = friedman
    y = y > y.mean() if estimator_class is DeepEnsembleClassifier else y
    received = []

    def spy(*arguments, weight_decay, **options):
        received.append(weight_decay)
        return training.train(*arguments, weight_decay=weight_decay, **options)

    monkeypatch.setattr(base, "train", spy)
    estimator_class(**SMALL, weight_decay=0.25).fit(X, y)
    assert received == [0.25]


@pytest.mark.parametrize("sizes", [5, (5,), [5], np.array([5])], ids=repr)
def test_layer_sizes_are_an_int_or_a_sequence(sizes, friedman):
    ensemble = DeepEnsembleRegressor(**{**SMALL, "hidden_layer_sizes": sizes}).fit(*friedman)
    assert [weight.shape for weight in ensemble.coefs_] == [(4, 10, 5), (4, 5, 1)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, r"a sequence of such ints. Got \(5, 0\)"),
        ({"hidden_layer_sizes": iter([5, 5])}, "a sequence of such ints. Got <list_iterator"),
        ({"hidden_layer_sizes": (5.0,)}, r"a sequence of such ints. Got \(5.0,\)"),
        ({"hidden_layer_sizes": True}, "a sequence of such ints. Got True"),
        ({"device": "cuda:99"}, "'device' parameter .* Got 'cuda:99'"),
        ({"device": "nowhere"}, "'device' parameter .* Got 'nowhere'"),
        ({"n_estimators": 0}, "'n_estimators' parameter .* Got 0"),
        ({"n_estimators": True}, "'n_estimators' parameter .* Got True"),
        ({"batch_size": 2.5}, "'batch_size' parameter .* Got 2.5"),
        ({"max_iter": 0}, "'max_iter' parameter .* Got 0"),
        ({"n_iter_no_change": False}, "'n_iter_no_change' parameter .* Got False"),
        ({"lr": 0}, "'lr' parameter .* Got 0"),
        ({"weight_decay": -1.0}, "'weight_decay' parameter .* Got -1.0"),
        ({"weight_decay": "none"}, "'weight_decay' parameter .* Got 'none'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_parameters_raise(parameters, message, friedman, estimator_class):
    X, y = friedman
    with pytest.raises(ValueError, match=message):
        estimator_class(**{**SMALL, **parameters}).fit(X, y > y.mean())


# Early stopping


def test_training_ends_when_no_member_improves():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    ensemble = DeepEnsembleRegressor(
        **{**SMALL, "max_iter": 1000}, n_iter_no_change=3, lr=0.05
    ).fit(X, y)
    assert 4 <= ensemble.n_iter_ < 200
    patient = DeepEnsembleRegressor(
        **{**SMALL, "max_iter": 1000}, n_iter_no_change=3, lr=0.05, tol=10.0
    ).fit(X, y)
    assert patient.n_iter_ == 4  # the first epoch counts; the loss never falls by 10 after it


# Evaluation


def test_sparse_rows_are_read_as_dense_ones(friedman):
    X, y = friedman
    X = np.where(X > 0.5, X, 0)
    dense = DeepEnsembleRegressor(**SMALL).fit(X, y).predict(X)
    rows = csr_array(X)
    assert_array_equal(DeepEnsembleRegressor(**SMALL).fit(rows, y).predict(rows), dense)


@pytest.mark.parametrize("activation", ["identity", "logistic", "relu", "tanh"])
def test_members_predict_by_their_parameters(activation, friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(activation=activation, **SMALL).fit(X, y)
    functions = {
        "identity": lambda a: a,
        "logistic": lambda a: 1 / (1 + np.exp(-a)),
        "relu": lambda a: np.maximum(a, 0),
        "tanh": np.tanh,
    }
    inside = (X - X.mean(axis=0)) / X.std(axis=0)
    for member, predictions in enumerate(ensemble.member_predictions(X).T):
        (W1, W2), (b1, b2) = (
            [array[member].astype(np.float64) for array in arrays]
            for arrays in (ensemble.coefs_, ensemble.intercepts_)
        )
        outputs = (functions[activation](inside @ W1 + b1) @ W2 + b2)[:, 0]
        # float64 on both sides: rounding only.
        assert_allclose(predictions, y.mean() + y.std() * outputs, rtol=1e-10)


def test_deep_ensembles_are_registered(friedman, iris):
    for estimator, (X, y) in (
        (DeepEnsembleRegressor(**SMALL), friedman),
        (DeepEnsembleClassifier(**SMALL), iris),
    ):
        frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
        ensemble = estimator.fit(frame, y)
        expected = ensemble.member_predictions(frame)
        assert_allclose(member_predictions(ensemble, frame), expected, rtol=1e-12)
        assert_array_equal(unseen_rows(ensemble, len(X)), ensemble.unseen_rows_)


def test_predictions_do_not_depend_on_the_size_of_row_batches(iris, monkeypatch):
    X, y = iris
    ensemble = DeepEnsembleClassifier(**SMALL).fit(X, y)
    members, probabilities = ensemble.member_predictions(X), ensemble.predict_proba(X)
    monkeypatch.setattr(training, "MAX_ACTIVATIONS", 4 * 8 * 7)
    assert len(list(ensemble._outputs(X))) == 22
    assert_allclose(ensemble.member_predictions(X), members, rtol=1e-12)
    assert_allclose(ensemble.predict_proba(X), probabilities, rtol=1e-12)


def test_dtype_of_member_predictions(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**SMALL).fit(X, y)
    exact, single = (ensemble.member_predictions(X, dtype=d) for d in (np.float64, np.float32))
    assert exact.dtype == np.float64
    assert single.dtype == np.float32
    assert_allclose(single, exact, rtol=1e-4)  # float32 throughout
    with pytest.raises(ValueError, match="must be a floating-point dtype"):
        ensemble.member_predictions(X, dtype=int)


def test_pickles_hold_the_parameters_and_little_else(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**{**SMALL, "hidden_layer_sizes": (100, 100)}).fit(X, y)
    n_parameters = 4 * (10 * 100 + 100 + 100 * 100 + 100 + 100 + 1)
    pickled = pickle.dumps(ensemble)
    assert len(pickled) < 4 * n_parameters + 120 * 4 + 4000
    assert_array_equal(pickle.loads(pickled).predict(X), ensemble.predict(X))


# Randomness


def test_random_state_determines_everything_and_global_state_is_kept(friedman, estimator_class):
    X, y = friedman
    y = y > y.mean() if estimator_class is DeepEnsembleClassifier else y

    def global_state():
        return (
            torch.get_rng_state().tolist(),
            np.random.get_state()[1].tolist(),  # noqa: NPY002 (the global state is the point)
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
        )

    before = global_state()
    first, same, other = (
        estimator_class(**{**SMALL, "random_state": seed}).fit(X, y).member_predictions(X)
        for seed in (0, 0, 1)
    )
    assert global_state() == before
    assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first[..., :1] - first[..., 1:]).max(axis=0).min() > 1e-3  # members differ


# Small data, wrong input and messages


@pytest.mark.parametrize("n_samples", [2, 3, 11])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_few_rows_are_enough(estimator_class, n_samples, bootstrap):
    X = np.arange(n_samples, dtype=float)[:, None]
    y = np.arange(n_samples) % 2
    ensemble = estimator_class(**SMALL, bootstrap=bootstrap).fit(X, y)
    assert np.isfinite(ensemble.member_predictions(X)).all()
    assert ensemble.unseen_rows_.any(axis=0).all()


@pytest.mark.parametrize(
    ("estimator", "X", "y", "options", "error", "message"),
    [
        (DeepEnsembleRegressor(), [[1.0]], [1.0], {}, ValueError, "minimum of 2"),
        (
            DeepEnsembleRegressor(),
            np.eye(3),
            np.arange(3.0),
            {"sample_weight": [0, 1, 0]},
            ValueError,
            "positive for 1 of 3 samples, expected at least two",
        ),
        (
            DeepEnsembleRegressor(),
            np.eye(3),
            np.arange(3.0),
            {"sample_weight": [-1, 1, 1]},
            ValueError,
            "Negative values",
        ),
        (DeepEnsembleRegressor(), np.eye(3), ["a", "b", "c"], {}, ValueError, "y must be numbers"),
        (DeepEnsembleClassifier(), np.eye(3), ["a"] * 3, {}, ValueError, "1 class .*'a'.*two"),
        (DeepEnsembleClassifier(), np.eye(3), [0.1, 0.2, 0.3], {}, ValueError, "[Cc]ontinuous"),
    ],
)
def test_bad_input_raises(estimator, X, y, options, error, message):
    with pytest.raises(error, match=message):
        estimator.fit(X, y, **options)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_diverged_training_raises(early_stopping, friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**SMALL, lr=1e30, early_stopping=early_stopping)
    with pytest.raises(ValueError, match=r"diverged: .* 4 of 4 members .* lr=1e\+30"):
        ensemble.fit(X, y)


def test_progress_is_printed_with_verbose(friedman, capsys):
    DeepEnsembleRegressor(**SMALL).fit(*friedman)
    assert capsys.readouterr().out == ""
    DeepEnsembleRegressor(**SMALL, verbose=1).fit(*friedman)
    assert "Epoch 5: 4 of 4 members in training" in capsys.readouterr().out
