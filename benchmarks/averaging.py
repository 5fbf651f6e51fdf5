"""Measure the time and the error of averages over the members of a student of classifiers.

A student with two hidden layers of 100 and nine factors learns ten networks on the digits (10
classes). Prints the processor time of `predict_proba`, and of its averages alone, divided by that
of a forward pass of the student in the same precision, as medians over alternating rounds on one
thread; and so that of `predict_uncertainty`, also of a student of a forest. Prints the error of
averages over a few fixed draws against averages over 100,000 random draws, and for comparison the
error of the same number of random draws. Prints the relative errors of the epistemic uncertainty,
of this student and of that of the forest, at single rows where it is above 0.05 nats, and the share
of these rows that miss 3 %:

    OMP_NUM_THREADS=1 python benchmarks/averaging.py [--rounds 15]
"""

import argparse

import numpy as np
import torch
from datasets import load_classes
from measuring import processor_seconds
from sklearn.ensemble import RandomForestClassifier

from sklearn_dlf import DLFClassifier
from sklearn_dlf._latent.deviations import draw_within_rows, split_noise
from sklearn_dlf._predictive.averaged_probabilities import N_DRAWS, average_probabilities
from sklearn_dlf._predictive.logits import entropies
from sklearn_dlf._utils.blocks import DRAW_ROWS, row_blocks
from sklearn_dlf.ensembles import DeepEnsembleClassifier

NUMBERS_OF_DRAWS = [64, 100, 128]

# Random draws of the reference and how many are held at a time; repeats of averages over few random
# draws; rows at which errors are measured. All are choices.
N_RANDOM, N_AT_A_TIME, N_REPEATS, N_ROWS = 100_000, 1000, 10, 200

# Epistemic uncertainty in nats, above which its relative error counts.
MUCH_DISAGREEMENT = 0.05


def time_averages(student, name, X, n_rows, n_rounds):
    """Print ratios to a forward pass of predict_proba, and of averages by number of draws."""
    X = X[np.random.RandomState(0).randint(len(X), size=n_rows)]
    rows = student._standardised_rows(X).astype(np.float32)
    # Blocks of this size, and the frozen copy of the network, are those of predict_proba.
    network = student.student_.frozen()
    blocks = [network.evaluate(rows[block]) for block in row_blocks(len(rows), DRAW_ROWS)]

    def average(n_draws):
        for heads in blocks:
            average_probabilities(heads, student._units, n_draws=n_draws)

    times = []
    for _ in range(n_rounds + 1):
        forward = processor_seconds(student.student_.evaluate, rows)
        parts = [processor_seconds(average, n_draws) for n_draws in NUMBERS_OF_DRAWS]
        wholes = [
            processor_seconds(f, X) for f in (student.predict_proba, student.predict_uncertainty)
        ]
        times.append([forward, *wholes, *parts])
    forward, whole, uncertainty, *parts = np.median(times[1:], axis=0)  # the first round warms up
    print(
        f"{name}, {n_rows} rows: forward pass {1e6 * forward / n_rows:.2f} us a row; predict_proba "
        f"({N_DRAWS} draws) takes {whole / forward:.2f} of it, predict_uncertainty "
        f"{uncertainty / forward:.2f}; averages alone: "
        + ", ".join(
            f"{n_draws} draws {part / forward:.2f}"
            for n_draws, part in zip(NUMBERS_OF_DRAWS, parts, strict=True)
        ),
        flush=True,
    )


def random_average(heads, n_draws, generator):
    """Return probabilities and entropies averaged over random draws; heads are in nats."""
    mean, std = torch.from_numpy(heads.mean)[..., None], np.sqrt(heads.member_variance)
    loadings, (shared, std) = torch.from_numpy(heads.loadings), split_noise(std, heads.noise_shares)
    std = torch.diag_embed(torch.from_numpy(std))
    if shared is not None:
        std = torch.cat([std, torch.from_numpy(shared).to(std)], dim=-1)
    total, entropy, n_done = 0, 0, 0
    while n_done < n_draws:
        size = min(N_AT_A_TIME, n_draws - n_done)
        z = torch.randn(loadings.shape[-1], size, generator=generator, dtype=mean.dtype)
        noise = torch.randn(std.shape[-1], size, generator=generator, dtype=mean.dtype)
        latent = mean + std @ noise + draw_within_rows(loadings, None, z)
        members = latent.softmax(dim=1)
        total += members.sum(dim=-1)
        entropy += torch.special.entr(members).sum(dim=(1, 2))
        n_done += size
    return total.numpy() / n_draws, entropy.numpy() / n_draws


def measure_errors(student, name, X):
    """Print the root mean square error and the largest error of averages at some rows."""
    rows = student._standardised_rows(X[:N_ROWS]).astype(np.float32)
    heads, units = student.student_.evaluate(rows), student._units
    in_units = heads.in_units(units)
    generator = torch.Generator().manual_seed(0)
    truth, _ = random_average(in_units, N_RANDOM, generator)
    for n_draws in NUMBERS_OF_DRAWS:
        averaged, _ = average_probabilities(heads, units, n_draws=n_draws)
        error = np.abs(averaged - truth)
        repeats = [
            random_average(in_units, n_draws, generator)[0] - truth for _ in range(N_REPEATS)
        ]
        rms, random_rms = (np.sqrt(np.mean(np.square(e))) for e in (error, repeats))
        print(
            f"{name}, {n_draws} draws: rms {rms:.4f}, largest {error.max():.3f}; the same "
            f"number of random ones: rms {random_rms:.4f}",
            flush=True,
        )


def measure_disagreement(student, name, X):
    """Print the relative errors of the epistemic uncertainty at single rows."""
    X = X[:N_ROWS]
    heads = student.student_.evaluate(student._standardised_rows(X).astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    averaged, entropy = random_average(heads.in_units(student._units), N_RANDOM, generator)
    truth = entropies(averaged) - entropy
    rows = truth > MUCH_DISAGREEMENT
    error = student.predict_uncertainty(X).epistemic[rows] / truth[rows] - 1
    print(
        f"epistemic uncertainty, {name}: {rows.sum()} rows above {MUCH_DISAGREEMENT} nats, "
        f"relative error rms {np.sqrt(np.mean(error**2)):.4f}, largest {np.abs(error).max():.3f}, "
        f"above 0.03 at {np.mean(np.abs(error) > 0.03):.1%}",
        flush=True,
    )


def main():
    """Parse the command line, fit a student, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    data = load_classes("digits", 0, None)
    teachers = DeepEnsembleClassifier(10, random_state=0).fit(data.X, data.y)
    student = DLFClassifier(q=9, augment=None, tol=0.01, random_state=0)
    student.fit(data.X, data.y, ensemble=teachers)
    for n_rows in (1000, 100_000):
        time_averages(
            student, "networks", data.X, n_rows, arguments.rounds if n_rows < 10_000 else 3
        )
    measure_errors(student, "test rows", data.X_test)
    outside = np.random.default_rng(0).permuted(data.X_test, axis=0)
    measure_errors(student, "rows out of distribution", outside)
    measure_disagreement(student, "networks", data.X_test)
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=0).fit(data.X, data.y)
    student.fit(data.X, data.y, ensemble=forest)
    measure_disagreement(student, "forest", data.X_test)
    time_averages(student, "forest", data.X, 1000, arguments.rounds)


if __name__ == "__main__":
    main()
