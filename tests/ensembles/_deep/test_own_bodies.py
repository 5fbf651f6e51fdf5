"""Deep ensembles with a body of the user's own."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from raw_rows import TokenBody, contrasts_of, conv_body, images, sentences
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from torch import nn

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    member_predictions,
    unseen_rows,
)
from sklearn_dlf.ensembles._deep import base, own_bodies, training

# Parameters for claims that do not depend on how well or how long members train.
SMALL = {"n_estimators": 2, "max_iter": 3, "random_state": 0}


def dense_body(n_columns):
    """A body of a table."""
    return nn.Sequential(nn.Linear(n_columns, 6), nn.Tanh())


@pytest.fixture(scope="module")
def digits():
    return images(300)


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(60, noise=1.0, random_state=0)


# Learning


def test_images_are_learnt(digits):
    X, y = digits
    ensemble = DeepEnsembleClassifier(2, body=conv_body, lr=0.02, max_iter=10, random_state=0)
    ensemble.fit(X[:200], y[:200])
    assert ensemble.score(X[200:], y[200:]) > 0.7  # chance is 0.1
    assert_allclose(
        ensemble.predict_proba(X), ensemble.member_predictions(X).mean(axis=-1), rtol=1e-12
    )


def test_sentences_are_learnt():
    X = sentences(200)
    y = contrasts_of(X)
    ensemble = DeepEnsembleRegressor(
        2, body=TokenBody, preprocessor=None, lr=0.02, max_iter=20, random_state=0
    ).fit(X[:150], y[:150])
    assert ensemble.score(X[150:], y[150:]) > 0.8
    assert ensemble.member_noise_variance_.shape == (2, 2)
    residuals = (ensemble.member_predictions(X[:150]) - y[:150, :, None]) ** 2
    unseen = ensemble.unseen_rows_
    expected = [residuals[unseen[:, member], :, member].mean(axis=0) for member in range(2)]
    assert_allclose(ensemble.member_noise_variance_, expected, rtol=1e-4)


@pytest.mark.parametrize("patience", [None, 2])
def test_members_are_trained_as_stacked_ones_are(patience, monkeypatch):
    rng = np.random.RandomState(0)
    X, y = (torch.from_numpy(rng.standard_normal((40, n)).astype(np.float32)) for n in (5, 2))
    unseen = training.held_out_in_turn(40, 3, 0.2, None, rng)
    rows = np.nonzero(~unseen.T)[1].reshape(3, -1)
    data = training.share_data(X, y, rng.rand(40), rows, unseen, "cpu")
    schedule = {
        "batch_size": 40,  # one batch: no order of rows
        "lr": 0.05,
        "weight_decay": 0.1,
        "max_iter": 60,
        "patience": patience,
        "tol": 0.0,
        "generator": torch.Generator().manual_seed(0),
    }
    first = []

    class Recorded(own_bodies._Averaged):
        def __init__(self, network):
            first.append(copy.deepcopy(network))
            super().__init__(network)

    monkeypatch.setattr(own_bodies, "_Averaged", Recorded)
    loss = training.squared_loss
    trained = own_bodies.train_members(
        dense_body, X.numpy(), 2, data, loss, n_members=3, device="cpu", **schedule
    )
    layers = stack_layers(first)
    stacked = training.train(layers, data, loss, activation="tanh", **schedule)
    assert trained.n_iter == stacked.n_iter
    for own, expected in zip(stack_layers(trained.networks), stacked.layers, strict=True):
        assert_allclose(own.weight, expected.weight, rtol=1e-3, atol=1e-5)
        assert_allclose(own.bias, expected.bias, rtol=1e-3, atol=1e-5)


def stack_layers(networks):
    """Layers of all members, from their networks."""
    pairs = [(network.body[0], network.output_layer) for network in networks]
    return [
        training.Layer(
            torch.stack([layer.weight.detach().T for layer in layers]),
            torch.stack([layer.bias.detach()[None] for layer in layers]),
        )
        for layers in zip(*pairs, strict=True)
    ]


def test_members_keep_their_best_epoch(digits, monkeypatch):
    X, y = digits[0][:100], digits[1][:100]
    kept = []

    class Recorded(own_bodies.EarlyStopping):
        def __init__(self, *arguments):
            kept.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(own_bodies, "EarlyStopping", Recorded)
    ensemble = DeepEnsembleClassifier(
        3, body=conv_body, lr=0.1, max_iter=100, n_iter_no_change=3, random_state=0
    ).fit(X, y)
    assert ensemble.n_iter_ < 100
    probabilities = ensemble.member_predictions(X)[np.arange(100), y]
    for member, stopping in enumerate(kept):
        unseen = ensemble.unseen_rows_[:, member]
        loss = -np.log(probabilities[unseen, member]).mean()
        assert_allclose(loss, stopping.lowest[0], rtol=1e-4)


def test_rows_of_weight_zero_have_no_effect(digits):
    X, y = digits[0][:80], digits[1][:80]
    weights = np.arange(80) % 3.0
    present = weights > 0
    model = DeepEnsembleClassifier(**SMALL, body=conv_body)
    weighted = model.fit(X, y, sample_weight=weights).member_predictions(X)
    other = clone(model).fit(X[present], y[present], sample_weight=weights[present])
    assert_array_equal(weighted, other.member_predictions(X))
    unweighted = clone(model).fit(X[present], y[present])
    assert np.abs(unweighted.member_predictions(X) - weighted).max() > 1e-3


class PartlyFrozen(nn.Module):
    """A frozen part with a normalisation over batches, and a layer that is trained."""

    def __init__(self, shape):
        super().__init__()
        self.frozen = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8))
        self.frozen.requires_grad_(False)
        self.trained = nn.Linear(8, 4)

    def forward(self, X):
        return self.trained(self.frozen(X))


def test_frozen_parts_are_not_trained(digits):
    X, y = digits
    torch.manual_seed(0)
    given = PartlyFrozen((1, 8, 8))
    before = copy.deepcopy(given.state_dict())
    ensemble = DeepEnsembleClassifier(**SMALL, body=lambda shape: given).fit(X, y)
    for network in ensemble.members_:
        for name, value in network.body.state_dict().items():
            assert torch.equal(value, before[name]) == name.startswith("frozen")
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())


def test_no_batch_has_a_single_row_by_division():
    counts = [own_bodies._count_batches(*case) for case in [(33, 32), (3, 2), (5, 2), (5, 1)]]
    assert counts == [2, 1, 2, 5]
    assert own_bodies._count_batches(1, 32) == 1


def normalised_body(n_columns):
    """A body with a normalisation over batches, which takes no batch of one row."""
    return nn.Sequential(nn.Linear(n_columns, 6), nn.BatchNorm1d(6), nn.Tanh())


def test_normalisation_over_batches_takes_an_odd_number_of_rows(friedman):
    X, y = friedman
    ensemble = DeepEnsembleRegressor(
        **SMALL, body=normalised_body, batch_size=2, early_stopping=False
    ).fit(X[:15], y[:15])
    assert np.isfinite(ensemble.member_predictions(X)).all()
    for network in ensemble.members_:
        assert network.body[1].num_batches_tracked == 3 * 7
        assert network.body[1].running_mean.abs().min() > 0


def test_members_begin_at_parameters_of_their_own(friedman):
    ensemble = DeepEnsembleRegressor(**SMALL, body=dense_body, lr=1e-12).fit(*friedman)
    first, second = (network.state_dict() for network in ensemble.members_)
    assert all((first[name] - second[name]).abs().max() > 0.01 for name in first)


# Rows


def test_bytes_are_not_copied(digits, monkeypatch):
    X, y = digits[0].copy(), digits[1]
    X.flags.writeable = False
    shared = []

    def spy(rows, *arguments):
        shared.append(np.shares_memory(rows.numpy(), X))
        return training.share_data(rows, *arguments)

    monkeypatch.setattr(base, "share_data", spy)
    DeepEnsembleClassifier(**SMALL, body=conv_body).fit(X, y)
    assert shared == [True]


def test_a_body_of_a_table_gets_standardised_rows(friedman):
    X, y = friedman
    asked = []

    def make(n_columns):
        asked.append(n_columns)
        return dense_body(n_columns)

    parameters = {**SMALL, "body": make}
    ensemble = DeepEnsembleRegressor(**parameters).fit(X, y)
    assert asked == [10, 10]
    other = DeepEnsembleRegressor(**parameters).fit(8 * X, y)
    assert_allclose(other.predict(8 * X), ensemble.predict(X), rtol=1e-4)
    as_is = DeepEnsembleRegressor(**parameters, preprocessor=None)
    assert_allclose(
        as_is.fit((X - X.mean(axis=0)) / X.std(axis=0), y).predict(
            (X - X.mean(axis=0)) / X.std(axis=0)
        ),
        ensemble.predict(X),
        rtol=1e-4,
    )


def test_own_layers_take_real_rows_as_they_are_without_a_preprocessor(friedman):
    X, y = friedman
    standardised = (X - X.mean(axis=0)) / X.std(axis=0)
    as_is = DeepEnsembleRegressor(**SMALL, preprocessor=None).fit(standardised, y)
    expected = DeepEnsembleRegressor(**SMALL).fit(X, y).predict(X)
    assert_allclose(as_is.predict(standardised), expected, rtol=1e-4)
    assert np.abs(as_is.predict(2 * standardised) - as_is.predict(standardised)).max() > 0.01


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, r"Rows of shape \(1, 8, 8\) and dtype uint8 need a body of your own"),
        (nn.Flatten(), "'body' parameter .* must be a callable that takes"),
        (lambda shape: 3, "must return an nn.Module"),
        (lambda shape: nn.Identity(), r"The body must map .* it returned shape \(2, 1, 8, 8\)"),
    ],
)
def test_wrong_bodies_raise(digits, body, message):
    with pytest.raises(ValueError, match=message):
        DeepEnsembleClassifier(**SMALL, body=body).fit(*digits)


def test_other_shapes_are_refused_in_prediction(digits):
    X, y = digits
    ensemble = DeepEnsembleClassifier(**SMALL, body=conv_body).fit(X, y)
    with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 4\), expected \(1, 8, 8\)"):
        ensemble.predict(X[..., :4])


# Evaluation


class Dropped(nn.Sequential):
    """A body that draws in training."""

    def __init__(self, shape):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.5))


@pytest.mark.parametrize("body", [conv_body, Dropped])
def test_random_state_determines_everything_and_global_state_is_kept(digits, body):
    X, y = digits
    before = torch.get_rng_state()
    first, same, other = (
        DeepEnsembleClassifier(**{**SMALL, "random_state": seed}, body=body)
        .fit(X, y)
        .member_predictions(X)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first[..., 0] - first[..., 1]).max() > 1e-3


def test_members_predict_by_their_networks(digits):
    X, y = digits
    ensemble = DeepEnsembleClassifier(**SMALL, body=conv_body).fit(X, y)
    assert not hasattr(ensemble, "coefs_")
    with torch.no_grad():
        logits = [network(torch.from_numpy(X).float()) for network in ensemble.members_]
    expected = torch.stack(logits, dim=-1).softmax(dim=1)
    assert_allclose(ensemble.member_predictions(X), expected, rtol=1e-4, atol=1e-6)
    assert_allclose(member_predictions(ensemble, X), ensemble.member_predictions(X), rtol=1e-6)
    assert_array_equal(unseen_rows(ensemble, len(X)), ensemble.unseen_rows_)
    assert_allclose(ensemble.member_predictions(X[:1]), expected[:1], rtol=1e-4, atol=1e-6)


def test_predictions_do_not_depend_on_the_size_of_row_batches(digits, monkeypatch):
    X, y = digits
    ensemble = DeepEnsembleClassifier(**SMALL, body=conv_body).fit(X, y)
    expected = ensemble.predict_proba(X)
    monkeypatch.setattr(base, "MAX_ACTIVATIONS", 2 * 10 * 7)
    assert len(list(ensemble._outputs(X))) == 43
    assert_allclose(ensemble.predict_proba(X), expected, rtol=1e-4)


def test_pickles_predict_the_same(digits):
    X, y = digits
    ensemble = DeepEnsembleClassifier(**SMALL, body=conv_body).fit(X, y)
    loaded = pickle.loads(pickle.dumps(ensemble))
    assert_array_equal(loaded.predict_proba(X), ensemble.predict_proba(X))


def test_a_second_fit_leaves_nothing_of_the_first(friedman):
    X, y = friedman
    expected = DeepEnsembleRegressor(**SMALL).fit(X, y).predict(X)
    ensemble = DeepEnsembleRegressor(**SMALL, body=dense_body).fit(X, y)
    ensemble.set_params(body=None)
    assert ensemble.fit(X, y).predict(X) == pytest.approx(expected, abs=0)
    assert not hasattr(ensemble, "members_")


def test_progress_is_a_line_a_member(friedman, capsys):
    DeepEnsembleRegressor(**SMALL, body=dense_body, verbose=1).fit(*friedman)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Member 2 of 2: 3 epochs, lowest held-out loss 0.")


@pytest.mark.parametrize("early_stopping", [False, True])
def test_diverged_training_raises(friedman, early_stopping):
    ensemble = DeepEnsembleRegressor(
        **SMALL, body=lambda n: nn.Linear(n, 4), lr=1e30, early_stopping=early_stopping
    )
    with pytest.raises(ValueError, match=r"diverged: .* member 1 of 2 has .* lr=1e\+30"):
        ensemble.fit(*friedman)


# Students


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_students_of_images_learn_unfitted_ensembles(digits):
    X, y = digits
    ensemble = DeepEnsembleClassifier(3, body=conv_body, lr=0.02, max_iter=10, random_state=0)
    student = DLFClassifier(
        ensemble, q=2, body=conv_body, max_iter=4, n_epochs=5, lr=0.03, refine=False, random_state=0
    ).fit(X[:200], y[:200])
    teacher = clone(ensemble).fit(X[:200], y[:200]).predict_proba(X[200:])
    distance = np.abs(student.predict_proba(X[200:]) - teacher).mean()
    assert distance < 0.5 * np.abs(teacher - teacher.mean(axis=0)).mean()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_students_of_sentences_learn_fitted_ensembles():
    X = sentences(150)
    y = contrasts_of(X)[:, 0]
    ensemble = DeepEnsembleRegressor(
        3, body=TokenBody, preprocessor=None, lr=0.02, max_iter=15, random_state=0
    ).fit(X, y)
    student = DLFRegressor(
        q=2, body=TokenBody, preprocessor=None, max_iter=4, n_epochs=10, lr=0.03, random_state=0
    ).fit(X, y, ensemble=ensemble)
    assert (
        np.mean((student.predict(X) - ensemble.predict(X)) ** 2) < 0.2 * ensemble.predict(X).var()
    )
