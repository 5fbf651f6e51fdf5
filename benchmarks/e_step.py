"""Time an E-step under both models of the covariance, for ten outputs and for a hundred.

An E-step here is everything that EM does between two M-steps: projection of the members, posterior,
normalisation, targets, the restricted log-likelihood, and the closed-form parts of the M-step.
Each round times all cases one after another in one process. Prints medians over rounds.

"Same rows" means ten times as many numbers for a hundred outputs, all of which an E-step has to
read. "Same entries" means a tenth of the rows. "Algebra" is the E-step without the passes over the
members' outputs. "Two passes" are these passes alone, as two products in
float32:

    python benchmarks/e_step.py [--rounds 9] [--rows 2000] [--members 50] [--q 10]
"""

from __future__ import annotations

import argparse
import statistics
from types import SimpleNamespace

import numpy as np
from measuring import processor_seconds

from sklearn_dlf._latent import separable
from sklearn_dlf._latent.models import FullModel, SeparableModel
from sklearn_dlf._transfer.contrasts import make_contrasts

FEW, MANY = 10, 100


class NoNetwork:
    """Stands for the network that an E-step changes."""

    def transform_loadings(self, transform):
        """Do nothing."""

    def set_mixing(self, mixing):
        """Do nothing."""


def make_step(model_class, n_rows, n_outputs, n_members, q):
    """Return a model of random members, and a function that runs one of its E-steps."""
    rng = np.random.RandomState(0)
    members = rng.standard_normal((n_rows, n_outputs, n_members)).astype(np.float32)
    model, network = model_class(make_contrasts(members), q), NoNetwork()
    n_loadings = 1 if model_class is SeparableModel else n_outputs
    loadings = rng.standard_normal((n_rows, n_loadings, q)).astype(np.float32)
    model.noise_variance = 0.5

    def step():
        model.read(SimpleNamespace(loadings=loadings))
        model.maximise(network)
        model.log_likelihood()
        model.e_step(network)

    model.read(SimpleNamespace(loadings=loadings))
    model.e_step(network)

    return model, step


def make_algebra(model):
    """Return a function that runs the part of a separable E-step that does not read the rows."""
    gram, projection = model._gram, model._projection

    def algebra():
        basis = separable.eigenbasis(model.mixing, gram, projection)
        separable.restricted_log_likelihood(basis, 1e6, model.noise_variance, len(model.residuals))
        latent = separable.posterior(basis, model.noise_variance)
        latent, left, _ = separable.normalise(latent)
        latent.right_moment(left.T @ left)
        separable.expected_mixing(latent, gram, projection)

    return algebra


def make_passes(model):
    """Return a function that runs the two passes of an E-step over the members' outputs."""
    numbers = model.residuals.reshape(len(model.residuals), -1)
    n_rows, n_numbers = numbers.shape
    left, right = (np.ones((size, model.q), dtype=np.float32) for size in (n_rows, n_numbers))

    def passes():
        left.T @ numbers  # the projection
        numbers @ right  # the targets

    return passes


def main():
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--q", type=int, default=10)
    args = parser.parse_args()
    sizes = {
        f"{FEW} outputs": (args.rows, FEW),
        f"{MANY}, same entries": (args.rows * FEW // MANY, MANY),
        f"{MANY}, same rows": (args.rows, MANY),
    }
    cases = {}
    for name, model_class in (("separable", SeparableModel), ("full", FullModel)):
        for size, (n_rows, n_outputs) in sizes.items():
            model, step = make_step(model_class, n_rows, n_outputs, args.members, args.q)
            step()  # warms up
            cases[name, size] = step
            if name == "separable" and size != f"{MANY}, same entries":
                cases["separable, algebra", size] = make_algebra(model)
                cases["separable, two passes", size] = make_passes(model)
    times = {case: [] for case in cases}
    for _ in range(args.rounds):
        for case, step in cases.items():
            times[case].append(processor_seconds(step))
    medians = {case: statistics.median(taken) for case, taken in times.items()}
    print(f"{args.rows} rows, {args.members} members, q = {args.q}; ms of processor time\n")
    print(f"| | ms | of {FEW} outputs |\n| --- | --- | --- |")
    for (name, size), median in medians.items():
        ratio = median / medians[name, f"{FEW} outputs"]
        print(f"| {name}: {size} | {1e3 * median:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
