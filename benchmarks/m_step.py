"""Compare the epochs of one M-step with a plain PyTorch loop of as many steps.

Both sides have the same student, loss, batches and fused Adam, and alternate in one process. The
plain loop's loss is written in the usual way, with autograd. Each round gives one ratio. Prints
their median and range:

    python benchmarks/m_step.py [--rounds 9]
"""

import argparse
import statistics
import time

import numpy as np
import torch

from sklearn_dlf._fitting.objectives import MIN_MEMBER_NOISE, ExpectedLikelihood
from sklearn_dlf._fitting.trainer import Trainer
from sklearn_dlf._network.bodies import make_mlp
from sklearn_dlf._network.students import StudentNetwork

# Columns, factors, optimiser steps at batches of 32 rows, and a typical weight of the loadings. All
# are choices.
N_FEATURES, Q, N_STEPS, LOADINGS_WEIGHT = 10, 10, 300, 0.03


def make_network(hidden_layer_sizes):
    """Make an untrained network of a student."""
    return StudentNetwork(make_mlp(N_FEATURES, hidden_layer_sizes, "relu"), N_FEATURES, 1, Q)


def bare_loss(heads, mean, loadings, variance, weights):
    """Return the loss of `ExpectedLikelihood`, written with autograd."""
    spread_loss = (heads.loadings - loadings).square().sum(dim=-1)
    unexplained = variance - heads.loadings.detach().square().sum(dim=-1)
    unexplained = unexplained.clamp_min(MIN_MEMBER_NOISE)
    noise_loss = 0.5 * (heads.log_noise + unexplained * torch.exp(-heads.log_noise))
    loss = (heads.mean - mean).square() + LOADINGS_WEIGHT * (spread_loss + noise_loss)
    return (loss.mean(dim=1) * weights).mean()


def bare_epochs(network, optimizer, tensors, batch_size, n_epochs):
    """Train a network for some epochs in a plain loop."""
    network.train()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(tensors[0])).split(batch_size):
            X, *targets = (tensor[rows] for tensor in tensors)
            loss = bare_loss(network(X), *targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def seconds(function, *args):
    """Return the wall-clock seconds of a call."""
    began = time.perf_counter()
    function(*args)
    return time.perf_counter() - began


def compare(n_rows, hidden_layer_sizes, n_rounds):
    """Print the ratios of the two sides for one size."""
    rng = np.random.RandomState(0)
    shapes = [(n_rows, N_FEATURES), (n_rows, 1), (n_rows, 1, Q)]
    X, mean, loadings = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    variance, weights = np.ones((n_rows, 1), np.float32), np.ones(n_rows, np.float32)
    trainer = Trainer(
        make_network(hidden_layer_sizes),
        X,
        weights,
        n_epochs=max(1, N_STEPS * 32 // n_rows),
        batch_size="auto",
        lr=0.01,
        optimizer="adam",
        weight_decay=0.0,
        device="cpu",
        callbacks=None,
        verbose=False,
        seed=0,
    )
    objective = ExpectedLikelihood(trainer.network, LOADINGS_WEIGHT, fit_noise=True)
    network = make_network(hidden_layer_sizes)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
    tensors = [torch.as_tensor(array) for array in (X, mean, loadings, variance, weights)]
    by_trainer = (trainer.train, objective, objective.targets(mean, loadings, variance))
    bare = (bare_epochs, network, optimizer, tensors)
    bare += (trainer.batch_size, trainer.n_epochs)
    seconds(*by_trainer), seconds(*bare)  # warms up both sides
    ratios = sorted(seconds(*by_trainer) / seconds(*bare) for _ in range(n_rounds))
    print(
        f"{n_rows:6d} rows, hidden {hidden_layer_sizes!s:11s} batch {trainer.batch_size:4d}: "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
        flush=True,
    )


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    for n_rows in (500, 5000):
        for hidden_layer_sizes in ((50,), (100, 100)):
            compare(n_rows, hidden_layer_sizes, arguments.rounds)


if __name__ == "__main__":
    main()
