"""What averaging over members costs a student of classifiers, and how far the average is off.

A student of 100-100 and nine factors learns ten networks on the digits (10 classes). Prints the
processor time of `predict_proba`, and of its averages alone, over that of a forward pass of the
student in the same precision, medians over alternating rounds on one thread; and the error of
averages over few fixed draws against 100,000 random ones, with that of as many random ones beside:

    OMP_NUM_THREADS=1 python benchmarks/averaging.py [--rounds 15]
"""

import argparse

import numpy as np
import torch
from datasets import load_classes
from measuring import processor_seconds
from sklearn.utils import gen_batches

from sklearn_dlf import DLFClassifier
from sklearn_dlf._latent.deviations import draw_within_rows
from sklearn_dlf._predictive.averaged_probabilities import N_DRAWS, average_probabilities
from sklearn_dlf.ensembles import DeepEnsembleClassifier

NUMBERS_OF_DRAWS = [64, 100, 128]
N_RANDOM, N_AT_A_TIME, N_REPEATS = 100_000, 1000, 10

# Rows that errors are measured at.
N_ROWS = 200


def time_averages(student, X, n_rows, n_rounds):
    """Ratios to a forward pass of predict_proba, and of averages alone by number of draws."""
    X = X[np.random.RandomState(0).randint(len(X), size=n_rows)]
    rows = student._rows_for_student(X).astype(np.float32)
    # In blocks, as predict_proba does it.
    network = student.student_.frozen()
    blocks = [network.evaluate(rows[block]) for block in gen_batches(len(rows), 2**13)]

    def average(n_draws):
        for heads in blocks:
            average_probabilities(heads, *student._units, n_draws=n_draws)

    times = []
    for _ in range(n_rounds + 1):
        forward = processor_seconds(student.student_.evaluate, rows)
        parts = [processor_seconds(average, n_draws) for n_draws in NUMBERS_OF_DRAWS]
        times.append([forward, processor_seconds(student.predict_proba, X), *parts])
    forward, whole, *parts = np.median(times[1:], axis=0)  # the first is to warm up
    print(
        f"{n_rows} rows: forward pass {1e6 * forward / n_rows:.2f} us a row; predict_proba "
        f"({N_DRAWS} draws) takes {whole / forward:.2f} of it; averages alone: "
        + ", ".join(
            f"{n_draws} draws {part / forward:.2f}"
            for n_draws, part in zip(NUMBERS_OF_DRAWS, parts, strict=True)
        ),
        flush=True,
    )


def random_average(heads, n_draws, generator):
    """Average probabilities over random draws."""
    mean, std = torch.from_numpy(heads.mean)[..., None], np.sqrt(heads.member_variance)
    loadings, std = torch.from_numpy(heads.loadings), torch.from_numpy(std)[..., None]
    total, n_done = 0, 0
    while n_done < n_draws:
        size = min(N_AT_A_TIME, n_draws - n_done)
        z = torch.randn(loadings.shape[-1], size, generator=generator, dtype=mean.dtype)
        noise = torch.randn(std.shape[1], size, generator=generator, dtype=mean.dtype)
        latent = mean + std * noise + draw_within_rows(loadings, None, z)
        total += latent.softmax(dim=1).sum(dim=-1)
        n_done += size
    return total.numpy() / n_draws


def measure_errors(student, name, X):
    """Root mean square and largest error of averages at some rows."""
    rows = student._rows_for_student(X[:N_ROWS]).astype(np.float32)
    heads, units = student.student_.evaluate(rows), student._units
    in_units = heads.in_units(*units)
    generator = torch.Generator().manual_seed(0)
    truth = random_average(in_units, N_RANDOM, generator)
    for n_draws in NUMBERS_OF_DRAWS:
        averaged, _ = average_probabilities(heads, *units, n_draws=n_draws)
        error = np.abs(averaged - truth)
        repeats = [random_average(in_units, n_draws, generator) - truth for _ in range(N_REPEATS)]
        rms, random_rms = (np.sqrt(np.mean(np.square(e))) for e in (error, repeats))
        print(
            f"{name}, {n_draws} draws: rms {rms:.4f}, largest {error.max():.3f}; as many random "
            f"ones: rms {random_rms:.4f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    data = load_classes("digits", 0, None)
    teachers = DeepEnsembleClassifier(10, random_state=0).fit(data.X, data.y)
    student = DLFClassifier(q=9, augment=None, tol=0.01, random_state=0)
    student.fit(data.X, data.y, ensemble=teachers)
    for n_rows in (1000, 100_000):
        time_averages(student, data.X, n_rows, arguments.rounds if n_rows < 10_000 else 3)
    measure_errors(student, "test rows", data.X_test)
    outside = np.random.default_rng(0).permuted(data.X_test, axis=0)
    measure_errors(student, "rows out of distribution", outside)


if __name__ == "__main__":
    main()
