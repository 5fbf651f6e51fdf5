"""Joint training of many small networks."""

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf.ensembles._deep import training
from sklearn_dlf.ensembles._deep.training import Layer


def random_layers(n_members, sizes=(3, 6, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return training.init_layers(sizes, n_members, generator)


def test_joint_training_equals_training_each_network_alone():
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
        lr=0.01,
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


def test_dropping_finished_members_does_not_change_the_training_of_others():
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


# Rows of each member


def test_held_out_rows_have_classes_in_proportion():
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    rng = np.random.RandomState(0)
    for fraction in (0.1, 0.3, 0.5):
        unseen = training.held_out_in_turn(100, 8, fraction, codes, rng)
        counts = np.stack([unseen[codes == code].sum(axis=0) for code in range(3)])
        # Places are evenly spaced: at each of its two borders a class is off by less than a row.
        assert np.abs(counts - fraction * np.array([[50], [30], [20]])).max() < 2


def test_bootstrap_draws_rows_equally_often_and_leaves_each_member_an_unseen_row():
    rows, unseen = training.bootstrap_rows(5, 4000, np.random.RandomState(0))
    # 20,000 draws: each row 4,000 times, with a standard deviation of 57.
    assert_allclose(np.bincount(rows.ravel(), minlength=5), 4000, atol=250)
    assert unseen.any(axis=0).all()
    rows, unseen = training.bootstrap_rows(2, 50, np.random.RandomState(0))
    assert_array_equal(unseen.sum(axis=0), 1)
    assert_array_equal(unseen[rows, np.arange(50)[:, None]], False)
