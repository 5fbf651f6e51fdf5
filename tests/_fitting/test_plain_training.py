"""Training without autograd takes the steps that torch and skorch take."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sklearn_dlf._fitting.objectives import ExpectedLikelihood
from sklearn_dlf._fitting.plain_training import can_train_plainly
from sklearn_dlf._fitting.trainer import Trainer
from sklearn_dlf._network.bodies import EncodedMLP, make_mlp
from sklearn_dlf._network.encodings import PiecewiseLinearEncoding
from sklearn_dlf._network.students import SeparableStudentNetwork, StudentNetwork

N_ROWS, N_FEATURES, N_OUTPUTS, Q = 67, 3, 2, 3

X = np.random.RandomState(0).standard_normal((N_ROWS, N_FEATURES)).astype(np.float32)


def make_body(activation, sizes, is_encoded, generator):
    if not is_encoded:
        return make_mlp(N_FEATURES, sizes, activation, generator)
    encoding = PiecewiseLinearEncoding([np.linspace(-2, 2, 5)] * N_FEATURES)
    return EncodedMLP(encoding, make_mlp(encoding.n_bins, sizes, activation, generator))


def make_network(activation="swish", sizes=(7, 5), is_encoded=False, separable=False):
    generator = torch.Generator().manual_seed(0)
    body = make_body(activation, sizes, is_encoded, generator)
    student_class = SeparableStudentNetwork if separable else StudentNetwork
    return student_class(body, N_FEATURES, N_OUTPUTS, Q, generator)


def train(plainly, weights=None, optimizer="adam", weight_decay=0.0, n_calls=2, **options):
    """Return the parameters after some calls of a trainer, and its last loss."""
    network = make_network(**options)
    trainer = Trainer(
        network,
        X,
        np.ones(N_ROWS, np.float32) if weights is None else weights,
        n_epochs=3,
        batch_size=20,
        lr=0.01,
        optimizer=optimizer,
        weight_decay=weight_decay,
        device="cpu",
        callbacks=None,
        verbose=False,
        seed=0,
    )
    trainer._trains_plainly = plainly
    objective = ExpectedLikelihood(network, 0.3, fit_noise=True)
    rng = np.random.RandomState(1)
    wanted = objective.targets(
        rng.standard_normal((N_ROWS, N_OUTPUTS)),
        rng.standard_normal((N_ROWS, *network.layout.loadings_shape)),
        rng.uniform(1, 5, (N_ROWS, N_OUTPUTS)),
    )
    if options.get("separable"):
        objective.metric_root = rng.standard_normal((Q, Q))
    for lr in 0.01 * 0.5 ** np.arange(n_calls):
        trainer.lr = lr
        loss = trainer.train(objective, wanted)
    assert (trainer._plain is not None) == plainly
    return nn.utils.parameters_to_vector(network.parameters()).detach(), loss


@pytest.mark.parametrize(
    "options",
    [
        *({"activation": name} for name in ("swish", "silu", "relu", "gelu", "tanh")),
        {"sizes": (6,)},
        {"is_encoded": True, "activation": "silu"},
        {"separable": True},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"weights": np.linspace(0, 2, N_ROWS, dtype=np.float32)},
    ],
    ids=str,
)
def test_parameters_and_loss_are_those_of_training_by_autograd(options):
    (plain, loss), (expected, expected_loss) = (train(plainly, **options) for plainly in (1, 0))
    start = nn.utils.parameters_to_vector(
        make_network(**{k: v for k, v in options.items() if k in NETWORK}).parameters()
    ).detach()
    moved = (expected - start).abs().max()
    assert moved > 0.05
    # Rounding to float32 of 24 steps, of which Adam magnifies that of small derivatives.
    assert_allclose(plain, expected, atol=2e-3 * moved)
    assert_allclose(loss, expected_loss, rtol=1e-4)


NETWORK = ("activation", "sizes", "is_encoded", "separable")


def test_same_seed_gives_the_same_parameters_bit_by_bit():
    assert_array_equal(*(train(True)[0] for _ in range(2)))


def test_changes_of_the_network_between_calls_are_not_lost():
    network = make_network()
    trainer = Trainer(
        network,
        X,
        np.ones(N_ROWS, np.float32),
        n_epochs=1,
        batch_size=20,
        lr=0.0,
        optimizer="adam",
        weight_decay=0.0,
        device="cpu",
        callbacks=None,
        verbose=False,
        seed=0,
    )
    objective = ExpectedLikelihood(network, 0.3, fit_noise=True)
    wanted = torch.zeros(N_ROWS, network.layout.n_columns)
    trainer.train(objective, wanted)
    network.transform_loadings(2 * np.eye(Q))
    expected = network.evaluate(X).loadings
    trainer.train(objective, wanted)
    assert_array_equal(network.evaluate(X).loadings, expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda network: network, True),
        (lambda network: network.double(), False),
        (lambda network: network.to("meta"), False),
        (lambda network: network.requires_grad_(False), False),
    ],
)
def test_networks_of_other_kinds_are_left_to_autograd(change, expected):
    assert can_train_plainly(change(make_network()), torch.from_numpy(X)) == expected


def test_bodies_of_the_user_are_left_to_autograd():
    body = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.ReLU())
    network = StudentNetwork(body, N_FEATURES, N_OUTPUTS, Q)
    assert not can_train_plainly(network, torch.from_numpy(X))


def test_the_network_keeps_its_own_memory():
    network = make_network()
    addresses = [each.data_ptr() for each in network.parameters()]
    assert can_train_plainly(network, torch.from_numpy(X))
    train(True)
    assert [each.data_ptr() for each in network.parameters()] == addresses
