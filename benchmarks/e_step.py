"""Time of an E-step under both models of the covariance, for ten outputs and for a hundred.

An E-step here is all that EM does between two M-steps: projection of the members, posterior,
normalisation, targets, and the restricted log-likelihood; for the separable model the mixing too.
Each round times all cases one after the other in one process; medians over rounds. A hundred
outputs at the same rows are ten times the numbers, which any E-step has to read; "same entries"
has a tenth of the rows. "algebra" leaves the passes over the members' numbers out, and is what
O(q^3 + c^3) is about; "two passes" are these alone, as two products in float32:

    python benchmarks/e_step.py [--rounds 9] [--rows 2000] [--members 50] [--q 10]
"""

from __future__ import annotations

import argparse
import statistics
from types import SimpleNamespace

import numpy as np
from measuring import processor_seconds

from sklearn_dlf._latent import separable as _separable
from sklearn_dlf._latent.models import FullModel, SeparableModel
from sklearn_dlf._transfer.contrasts import Contrasts

FEW, MANY = 10, 100


class SilentStudent:
    """Takes what an E-step writes into a student."""

    def transform_loadings(self, transform):
        """Do nothing."""

    def set_mixing(self, mixing):
        """Do nothing."""


def make_step(model_class, n_rows, n_outputs, n_members, q):
    """Model of random members and one of its E-steps, ready to be called."""
    rng = np.random.RandomState(0)
    members = rng.standard_normal((n_rows, n_outputs, n_members)).astype(np.float32)
    contrasts = Contrasts([members], n_rows)
    model, student = model_class(contrasts, q), SilentStudent()
    n_loadings = 1 if model_class is SeparableModel else n_outputs
    loadings = rng.standard_normal((n_rows, n_loadings, q)).astype(np.float32)
    model.noise_variance = 0.5

    def step():
        model.read(SimpleNamespace(loadings=loadings))
        model.maximise(student)
        model.log_likelihood()
        model.e_step(student)

    model.read(SimpleNamespace(loadings=loadings))
    model.e_step(student)

    return model, step


def make_algebra(model):
    """What of a separable E-step does not look at the rows."""
    gram, projection = model._gram, model._projection

    def algebra():
        basis = _separable.eigenbasis(model.mixing, gram, projection)
        _separable.restricted_log_likelihood(basis, 1e6, model.noise_variance, len(model.residuals))
        latent = _separable.posterior(basis, model.noise_variance)
        latent, left, _ = _separable.normalise(latent)
        latent.right_moment(left.T @ left)
        _separable.expected_mixing(latent, gram, projection)

    return algebra


def make_passes(model):
    """Least that an E-step does with all numbers: projection of members, targets of loadings."""
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
            step()  # warm
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
