"""Measure the speed of training deep ensembles, and their errors on real data.

Speed: `DeepEnsembleRegressor`, which trains all members at once, is compared with a plain loop in
PyTorch, which trains the same number of `nn.Sequential` networks one after another. Both sides use
the same data, batches, epochs and fused Adam, without early stopping. The estimator also validates,
standardises and averages parameters; the plain loop does not. Both sides alternate in one process,
and each round gives one ratio.

Errors (with `--data-dir`, a folder of `.npz` files with X, y and test_indices): RMSE, NLL, R^2 and
time of 50 networks with the defaults of the estimator, on the first splits of every data set:

    python benchmarks/deep_ensemble.py [--n-rounds 5] [--data-dir DIR --n-splits 3] [--skip-speed]
"""

import argparse
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from datasets import load_split
from sklearn.datasets import make_friedman1
from torch import nn

from sklearn_dlf.ensembles import DeepEnsembleRegressor

N_MEMBERS = 50
LEARNING_RATE = 0.005


def train_batched(X, y, batch_size, n_epochs):
    """Train all members at once."""
    DeepEnsembleRegressor(
        N_MEMBERS,
        batch_size=batch_size,
        lr=LEARNING_RATE,
        max_iter=n_epochs,
        early_stopping=False,
        random_state=0,
    ).fit(X, y)


def train_one_by_one(X, y, batch_size, n_epochs):
    """Train the same number of networks one after another in plain PyTorch."""
    X = torch.as_tensor((X - X.mean(axis=0)) / X.std(axis=0), dtype=torch.float32)
    y = torch.as_tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None]
    n_batches = math.ceil(len(X) / batch_size)
    for _ in range(N_MEMBERS):
        network = nn.Sequential(
            nn.Linear(X.shape[1], 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1)
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
        for _ in range(n_epochs):
            for batch in torch.randperm(len(X)).tensor_split(n_batches):
                loss = 0.5 * nn.functional.mse_loss(network(X[batch]), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def seconds(function, *args):
    """Return the wall-clock seconds of a call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def compare_speed(n_rows, n_epochs, n_rounds):
    """Print times and ratios of both sides for several batch sizes."""
    X, y = make_friedman1(n_rows, noise=1.0, random_state=0)
    print(f"{N_MEMBERS} networks of 100-100, {n_rows} rows x {X.shape[1]}, {n_epochs} epochs,")
    print(f"{torch.get_num_threads()} threads; medians of {n_rounds} rounds, ratios from-to")
    for batch_size in (32, 64, 128):
        train_batched(X[:200], y[:200], batch_size, 1)  # warms up both sides
        train_one_by_one(X[:200], y[:200], batch_size, 1)
        rounds = [
            (
                seconds(train_one_by_one, X, y, batch_size, n_epochs),
                seconds(train_batched, X, y, batch_size, n_epochs),
            )
            for _ in range(n_rounds)
        ]
        ratios = sorted(one / batched for one, batched in rounds)
        one, batched = (statistics.median(times) for times in zip(*rounds, strict=True))
        print(
            f"  batch {batch_size:4d}: one after another {one:6.2f} s, at once {batched:6.2f} s, "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
            flush=True,
        )


def report_errors(folder, n_splits, options):
    """Print errors and times of deep ensembles with these options on every data set."""
    print(f"{N_MEMBERS} networks, first {n_splits} splits: means over splits {options or ''}")
    print(f"{'':10s}{'RMSE':>9s}{'NLL':>9s}{'R2':>8s}{'epochs':>8s}{'wall s':>8s}{'cpu s':>8s}")
    for path in sorted(Path(folder).glob("*.npz")):
        results = []
        for split in range(n_splits):
            data = load_split(path.stem, split, folder)
            ensemble = DeepEnsembleRegressor(N_MEMBERS, random_state=split, **options)
            wall, cpu = time.perf_counter(), time.process_time()
            ensemble.fit(data.X, data.y)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            mean, std = ensemble.predict(data.X_test, return_std=True)
            error = data.y_test - mean
            variance = std**2 + ensemble.member_noise_variance_.mean()
            nll = 0.5 * (np.log(2 * np.pi * variance) + error**2 / variance).mean()
            rmse = np.sqrt(np.mean(error**2))
            r2 = ensemble.score(data.X_test, data.y_test)
            results.append((rmse, nll, r2, ensemble.n_iter_, wall, cpu))
        rmse, nll, r2, epochs, wall, cpu = np.mean(results, axis=0)
        print(
            f"{path.stem:10s}{rmse:9.4f}{nll:9.3f}{r2:8.4f}{epochs:8.0f}{wall:8.1f}{cpu:8.1f}",
            flush=True,
        )


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of .npz files with X, y and test_indices")
    parser.add_argument("--n-splits", type=int, default=3)
    parser.add_argument("--n-rows", type=int, default=2000)
    parser.add_argument("--n-epochs", type=int, default=3)
    parser.add_argument("--n-rounds", type=int, default=5)
    parser.add_argument("--skip-speed", action="store_true")
    arguments = parser.parse_args()
    if not arguments.skip_speed:
        compare_speed(arguments.n_rows, arguments.n_epochs, arguments.n_rounds)
    if arguments.data_dir:
        report_errors(arguments.data_dir, arguments.n_splits, {})


if __name__ == "__main__":
    main()
