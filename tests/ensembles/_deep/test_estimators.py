import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_iris, make_friedman1
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
    unseen_rows,
)
from sklearn_dlf.ensembles._deep import training
from sklearn_dlf.ensembles._deep.training import Layer

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


def held_out_mean(values, unseen):
    """Average values (n, k, M) over the rows (n, M) each member did not see: (M, k)."""
    return np.stack([values[rows, :, i].mean(axis=0) for i, rows in enumerate(unseen.T)])


# scikit-learn's own checks

NOT_EQUIVALENT = {
    "check_sample_weight_equivalence_on_dense_data": (
        "sample_weight is not equivalent to removing/repeating samples, as in scikit-learn's "
        "stochastic learners: a repeated row changes the order of rows and the held-out rows."
    )
}


@parametrize_with_checks(
    [
        DeepEnsembleRegressor(n_estimators=2, hidden_layer_sizes=(10,), max_iter=30),
        DeepEnsembleClassifier(n_estimators=2, hidden_layer_sizes=(10,), max_iter=30),
    ],
    expected_failed_checks=lambda estimator: NOT_EQUIVALENT,
)
def test_scikit_learn_conventions_with_few_members(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [DeepEnsembleRegressor(), DeepEnsembleClassifier()],
    expected_failed_checks=lambda estimator: NOT_EQUIVALENT,
)
def test_scikit_learn_conventions_with_defaults(estimator, check):
    check(estimator)


# Training at once is training each network alone


def random_layers(n_members, sizes=(3, 6, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return training.init_layers(sizes, n_members, generator)


def test_one_stacked_training_is_many_bare_trainings():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    weights = rng.uniform(0.5, 2, size=20)
    rows = np.stack([rng.choice(20, 15, replace=False) for _ in range(3)])
    unseen = np.ones((20, 3), dtype=bool)
    unseen[rows, np.arange(3)[:, None]] = False
    targets = torch.as_tensor(y, dtype=torch.float32)
    inputs = torch.as_tensor(X, dtype=torch.float32)
    layers = random_layers(3)
    trained = training.train(
        [Layer(*(p.clone() for p in layer)) for layer in layers],
        training.share_data(inputs, targets, weights, rows, unseen, "cpu"),
        training.squared_loss,
        activation="tanh",
        batch_size=15,  # one batch: no order of rows
        learning_rate=0.01,
        weight_decay=0.1,
        max_iter=10,
        patience=None,
        tol=0,
        generator=torch.Generator(),
    )
    for member in range(3):
        network = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
        linear = [network[0], network[2]]
        with torch.no_grad():
            for module, layer in zip(linear, layers, strict=True):
                module.weight.copy_(layer.weight[member].T)
                module.bias.copy_(layer.bias[member, 0])
        averaged = [p.detach().clone() for p in network.parameters()]
        optimizer = torch.optim.Adam(
            [
                {"params": [module.weight for module in linear], "weight_decay": 0.1},
                {"params": [module.bias for module in linear]},
            ],
            lr=0.01,
        )
        some = torch.as_tensor(rows[member])
        for step in range(1, 11):
            errors = (network(inputs[some]) - targets[some]).square().mean(dim=1) / 2
            loss = (errors * torch.as_tensor(weights, dtype=torch.float32)[some]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            share = 1 - step / (10 + step)
            for average, parameter in zip(averaged, network.parameters(), strict=True):
                average += share * (parameter.detach() - average)
        # float32, ten steps: rounding of 1e-7 a step, magnified where gradients nearly vanish.
        for (weight, bias), ours in zip([averaged[:2], averaged[2:]], trained.layers, strict=True):
            assert_allclose(ours.weight[member].T, weight, atol=2e-6)
            assert_allclose(ours.bias[member, 0], bias, atol=2e-6)


def test_dropping_finished_members_leaves_the_training_of_the_others_alone():
    X = torch.randn(3, 10, 3, generator=torch.Generator().manual_seed(0))

    def run(stack, X, n_steps):
        for _ in range(n_steps):
            outputs = training.forward(stack.layers, X, "relu")
            stack.step((outputs - 1).square().mean(dim=(1, 2)).sum())

    whole = training._Stack(random_layers(3), 0.01, 0.1)
    run(whole, X, 10)
    cut = training._Stack(random_layers(3), 0.01, 0.1)
    run(cut, X, 5)
    kept = np.array([0, 2])
    cut.keep(kept)
    run(cut, X[kept], 5)
    for ours, reference in zip(
        [*cut.layers, *cut.averaged], [*whole.layers, *whole.averaged], strict=True
    ):
        # Products over another number of members may round differently, by 1e-7 a step.
        assert_allclose(ours.weight.detach(), reference.weight[kept].detach(), atol=1e-6)
        assert_allclose(ours.bias.detach(), reference.bias[kept].detach(), atol=1e-6)


@pytest.mark.parametrize("activation", ["identity", "logistic", "relu", "tanh"])
def test_members_predict_what_their_parameters_say(activation, friedman):
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


# Who sees which rows


@pytest.mark.parametrize("n_samples", [7, 100, 103])
def test_members_hold_out_the_fraction_asked_for_in_turn(n_samples):
    X = np.random.default_rng(0).normal(size=(n_samples, 2))
    ensemble = DeepEnsembleRegressor(
        **{**SMALL, "n_estimators": 13, "max_iter": 1}, validation_fraction=0.2
    ).fit(X, X[:, 0])
    unseen = ensemble.unseen_rows_
    assert unseen.shape == (n_samples, 13)
    assert_array_equal(unseen.sum(axis=0), round(0.2 * n_samples))
    n_rounds = 13 / (n_samples // round(0.2 * n_samples))
    assert unseen.sum(axis=1).max() <= np.ceil(n_rounds)  # turns of a round do not overlap


def test_held_out_rows_have_classes_in_proportion():
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    rng = np.random.RandomState(0)
    for fraction in (0.1, 0.3, 0.5):
        unseen = training.held_out_in_turn(100, 8, fraction, codes, rng)
        counts = np.stack([unseen[codes == code].sum(axis=0) for code in range(3)])
        # Evenly spaced places: no class is off by a whole row at either of its two borders.
        assert np.abs(counts - fraction * np.array([[50], [30], [20]])).max() < 2


def test_bootstrap_leaves_each_member_a_share_of_rows_near_exp_minus_one(friedman):
    X, y = friedman
    unseen = DeepEnsembleRegressor(**SMALL, bootstrap=True).fit(X, y).unseen_rows_
    # (1 - 1/n)^n with a standard deviation of 0.31 / sqrt(n) = 0.03 a member.
    assert_allclose(unseen.mean(axis=0), np.exp(-1), atol=0.1)
    rows, unseen = training.bootstrap_rows(5, 4000, np.random.RandomState(0))
    # 20,000 draws: each row 4,000 times, with a standard deviation of 57.
    assert_allclose(np.bincount(rows.ravel(), minlength=5), 4000, atol=250)
    assert unseen.any(axis=0).all()
    rows, unseen = training.bootstrap_rows(2, 50, np.random.RandomState(0))
    assert_array_equal(unseen.sum(axis=0), 1)
    assert_array_equal(unseen[rows, np.arange(50)[:, None]], False)


def test_members_train_on_the_rows_they_see_and_no_others(friedman):
    X, y = friedman
    parameters = {**SMALL, "bootstrap": True, "early_stopping": False}
    ensemble = DeepEnsembleRegressor(**parameters).fit(X, y)
    unseen = ensemble.unseen_rows_
    some = np.flatnonzero(unseen[:, 0])[:2]
    swapped = y.copy()
    swapped[some] = y[some[::-1]]  # the mean and the scale stay
    others = DeepEnsembleRegressor(**parameters).fit(X, swapped)
    change = np.abs(ensemble.member_predictions(X) - others.member_predictions(X)).max(axis=0)
    has_seen = ~unseen[some].all(axis=0)
    assert change[~has_seen].max() < 1e-4  # the sum for the mean of y rounds differently
    assert change[has_seen].min() > 1e-2


def test_rows_of_weight_zero_are_not_there(friedman, estimator_class):
    X, y = friedman
    y = y > y.mean() if estimator_class is DeepEnsembleClassifier else y
    weights = np.arange(len(y)) % 3.0
    ensemble = estimator_class(**SMALL, alpha=10).fit(X, y, sample_weight=weights)
    present = weights > 0
    other = estimator_class(**SMALL, alpha=10).fit(
        X[present], y[present], sample_weight=7 * weights[present]
    )
    # The same draws, and weights of the same proportions, to the penalty too: rounding only.
    assert_allclose(ensemble.member_predictions(X), other.member_predictions(X), rtol=1e-4)
    assert ensemble.unseen_rows_[~present].all()
    assert_array_equal(ensemble.unseen_rows_[present], other.unseen_rows_)


def test_weights_count_as_shares():
    X, y = np.zeros((200, 1)), np.repeat([0.0, 1.0], 100)
    weights = np.where(y == 1, 3, 1)
    parameters = {**SMALL, "max_iter": 100, "early_stopping": False}
    regressor = DeepEnsembleRegressor(**parameters).fit(X, y, sample_weight=weights)
    classifier = DeepEnsembleClassifier(**parameters).fit(X, y, sample_weight=weights)
    # Batches hold both classes in changing shares: the average of 100 steps is good to 0.02.
    assert_allclose(regressor.predict(X[:1]), 0.75, atol=0.03)
    assert_allclose(classifier.predict_proba(X[:1])[0, 1], 0.75, atol=0.03)


# Stopping early


def test_each_member_keeps_its_best_epoch():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)  # nothing to learn but the noise
    parameters = {**SMALL, "learning_rate_init": 0.05}
    early, late = (
        DeepEnsembleRegressor(**{**parameters, "max_iter": n}, n_iter_no_change=200)
        .fit(X, y)
        .member_noise_variance_
        for n in (5, 200)
    )
    # The longer run begins as the shorter one did, so that the lowest loss cannot be higher.
    assert np.all(late <= early)
    fitted_by_heart = DeepEnsembleRegressor(
        **{**parameters, "max_iter": 200}, early_stopping=False
    ).fit(X, y)
    assert fitted_by_heart.member_noise_variance_.mean() < 0.5 * early.mean()


def test_training_ends_when_no_member_improves():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    ensemble = DeepEnsembleRegressor(
        **{**SMALL, "max_iter": 1000}, n_iter_no_change=3, learning_rate_init=0.05
    ).fit(X, y)
    assert 4 <= ensemble.n_iter_ < 200
    patient = DeepEnsembleRegressor(
        **{**SMALL, "max_iter": 1000}, n_iter_no_change=3, learning_rate_init=0.05, tol=10.0
    ).fit(X, y)
    assert patient.n_iter_ == 4  # the first epoch counts, no other falls by 10


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
    monkeypatch.setattr(training, "_MAX_ACTIVATIONS", 4 * 8 * 5)  # five rows at once
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


def test_noise_of_known_size_is_found():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 2))
    y = 5 * X[:, 0] + rng.normal(scale=0.5, size=1000)
    ensemble = DeepEnsembleRegressor(**{**SMALL, "n_estimators": 10, "max_iter": 60}).fit(X, y)
    # Ten times 100 held-out rows: sqrt(2 / 1000) = 0.045, and members err a little themselves.
    assert_allclose(ensemble.member_noise_variance_.mean(), 0.25, rtol=0.2)


def test_predictions_and_noise_follow_the_units_of_the_data(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**SMALL).fit(X, y)
    # Powers of two are exact in floating point: inside, nothing changes.
    scaled = DeepEnsembleRegressor(**SMALL).fit(1024 * X, y / 16)
    assert_allclose(scaled.predict(1024 * X), ensemble.predict(X) / 16, rtol=1e-12)
    assert_allclose(
        scaled.member_noise_variance_, ensemble.member_noise_variance_ / 256, rtol=1e-12
    )


# What is returned


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


def test_probabilities_are_the_mean_over_members(iris):
    X, y = iris
    labels = np.array(["setosa", "versicolor", "virginica"])[y]
    ensemble = DeepEnsembleClassifier(**{**SMALL, "max_iter": 30}).fit(X, labels)
    members = ensemble.member_predictions(X)
    assert members.shape == (150, 3, 4)
    probabilities = ensemble.predict_proba(X)
    assert_allclose(members.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(probabilities, members.mean(axis=-1), rtol=1e-12)
    assert_array_equal(ensemble.classes_, np.unique(labels))
    assert_array_equal(ensemble.predict(X), ensemble.classes_[probabilities.argmax(axis=1)])
    assert ensemble.score(X, labels) > 0.9


def test_the_registry_knows_deep_ensembles(friedman, iris):
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
    monkeypatch.setattr(training, "_MAX_ACTIVATIONS", 4 * 8 * 7)
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


def test_pickles_hold_the_parameters_and_little_else(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(**{**SMALL, "hidden_layer_sizes": (100, 100)}).fit(X, y)
    n_parameters = 4 * (10 * 100 + 100 + 100 * 100 + 100 + 100 + 1)
    pickled = pickle.dumps(ensemble)
    assert len(pickled) < 4 * n_parameters + 120 * 4 + 4000
    assert_array_equal(pickle.loads(pickled).predict(X), ensemble.predict(X))


# Randomness


def test_random_state_decides_everything_and_nothing_global_is_touched(friedman, estimator_class):
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


# Data that are small, and input that is wrong


@pytest.mark.parametrize("n_samples", [2, 3, 11])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_few_rows_are_enough(estimator_class, n_samples, bootstrap):
    X = np.arange(n_samples, dtype=float)[:, None]
    y = np.arange(n_samples) % 2
    ensemble = estimator_class(**SMALL, bootstrap=bootstrap).fit(X, y)
    assert np.isfinite(ensemble.member_predictions(X)).all()
    assert ensemble.unseen_rows_.any(axis=0).all()


def test_constant_targets_and_columns_are_predicted():
    X, y = np.column_stack([np.ones(30), np.arange(30)]), np.full((30,), 5.0)
    ensemble = DeepEnsembleRegressor(**{**SMALL, "max_iter": 300}).fit(X, y)
    assert_allclose(ensemble.predict(X), 5, atol=0.2)


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
        (DeepEnsembleRegressor(), sparse.eye(3).tocsr(), [1, 2, 3], {}, TypeError, "Sparse"),
        (
            DeepEnsembleRegressor(hidden_layer_sizes=(5, 0)),
            np.eye(3),
            np.arange(3.0),
            {},
            ValueError,
            r"positive integers, got \(5, 0\)",
        ),
        (DeepEnsembleClassifier(), np.eye(3), ["a"] * 3, {}, ValueError, "1 class .*'a'.*two"),
        (DeepEnsembleClassifier(), np.eye(3), [0.1, 0.2, 0.3], {}, ValueError, "[Cc]ontinuous"),
        (DeepEnsembleRegressor(n_estimators=0), np.eye(3), [1, 2, 3], {}, ValueError, "n_estim"),
    ],
)
def test_bad_input_is_named(estimator, X, y, options, error, message):
    with pytest.raises(error, match=message):
        estimator.fit(X, y, **options)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_diverged_training_is_an_error(early_stopping, friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(
        **SMALL, learning_rate_init=1e30, early_stopping=early_stopping
    )
    with pytest.raises(ValueError, match=r"diverged: 4 of 4 members .* learning_rate_init, 1e\+30"):
        ensemble.fit(X, y)


def test_progress_is_printed_when_asked_for(friedman, capsys):
    DeepEnsembleRegressor(**SMALL).fit(*friedman)
    assert capsys.readouterr().out == ""
    DeepEnsembleRegressor(**SMALL, verbose=1).fit(*friedman)
    assert "Epoch 5: 4 of 4 members in training" in capsys.readouterr().out


# Quality


def test_defaults_fit_well_and_clearly_better_than_the_average_member():
    X, y = make_friedman1(600, noise=1.0, random_state=0)
    ensemble = DeepEnsembleRegressor(random_state=0).fit(X[:300], y[:300])
    errors = y[300:, None] - ensemble.member_predictions(X[300:])
    # The noise has variance 1, and leaves at most 1 - 1 / var(y) = 0.96.
    assert ensemble.score(X[300:], y[300:]) > 0.85
    # By convexity the mean is never worse than the average member; diversity is what it gains by.
    assert np.mean(errors.mean(axis=1) ** 2) < 0.9 * np.mean(errors**2)
