"""Which fits warn that the teacher does not follow y, and which healthy ones do so falsely.

``python benchmarks/unrelated.py [--only wrong|healthy] [--seeds N] [--first-seed K]`` takes some
minutes. No student is trained, as in `wrong_rows.py`, which has the teachers and other healthy
fits.
"""

import argparse
from collections import defaultdict

import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_wine,
    make_classification,
    make_friedman1,
)
from wrong_rows import fit, healthy_teachers, houses, warnings_of

from sklearn_dlf.ensembles import member_predictions

# Teachers of several outputs: others have one output each.
OF_OUTPUTS = "forest", "bagged ridge", "bagged MLP", "extra trees", "bagged 1-NN", "stumps"


def wrong_data(seed):
    """Yield names, rows and y that teachers learn well, or fairly well."""
    yield "friedman1", *make_friedman1(400, noise=1.0, random_state=seed)
    yield "diabetes", *load_diabetes(return_X_y=True)
    yield "houses", *houses(400, seed)
    yield "breast cancer", *load_breast_cancer(return_X_y=True)
    yield "wine", *load_wine(return_X_y=True)
    yield "noisy classes", *make_classification(400, 10, flip_y=0.3, random_state=seed)
    yield "four outputs", *four_outputs(seed)


def four_outputs(seed):
    """Return rows and four outputs of one size that have little to do with each other."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((400, 8))
    y = X @ rng.standard_normal((8, 4)) + 0.5 * rng.standard_normal((400, 4))
    return X, y / y.std(axis=0)


def wrong_fits(seeds):
    """Yield fits with something in another order: what, data, and arguments of `warnings_of`."""
    for seed in seeds:
        rng = np.random.RandomState(seed)
        for name, X, y in wrong_data(seed):
            half = len(X) // 2
            rows = rng.permutation(len(X))
            own, new = rows[:half], rows[half:]
            order = rng.permutation(len(new))
            for teacher_name, teacher in healthy_teachers(y.dtype.kind == "i", seed):
                if y.ndim == 2 and teacher_name not in OF_OUTPUTS:
                    continue
                teacher = fit(teacher, X[own], y[own])
                given = member_predictions(teacher, X[new])
                data = name, teacher_name
                yield "right", data, (teacher, X[new], y[new], given)
                yield "predictions", data, (teacher, X[new], y[new], given[order])
                yield "50 predictions", data, (teacher, X[new[:50]], y[new[:50]], given[order[:50]])
                yield "y, new rows", data, (teacher, X[new], y[new[order]])
                yield "y, own rows", data, (teacher, X[own], y[rng.permutation(own)])
                if y.ndim == 2:
                    yield "two outputs", data, (teacher, X[new], y[new][:, [0, 2, 1, 3]])
                    one = given.copy()
                    one[:, 3] = given[:, 0]
                    yield "one output", data, (teacher, X[new], y[new], one)
                else:
                    constant = np.full(len(new), np.sort(y)[len(y) // 2])
                    yield "constant y", data, (teacher, X[new], constant)


def healthy_data(seed):
    """Yield names, rows and y of which there is little or nothing to learn, or that are uneven."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((300, 6))
    noise = rng.standard_normal(300)
    yield "noise", X, noise
    yield "noise, 100 rows", X[:100], noise[:100]
    yield "noise, 20 columns", rng.standard_normal((200, 20)), rng.standard_normal(200)
    yield "weak", X, 0.3 * X[:, 0] + noise
    yield "weak, not linear", X, 0.5 * X[:, 0] * X[:, 1] + noise
    yield "heavy tails", X, X[:, 0] + rng.standard_t(1.5, 300)
    yield "heavy tails of both", np.sinh(2 * X), np.sinh(1.5 * X[:, 0]) + rng.standard_t(2, 300)
    rates = np.exp(X[:, 0] - 2)
    yield "counts, mostly zero", X, rng.poisson(rates).astype(float)
    yield "counts, hardly any", X, rng.poisson(rates / 5).astype(float)
    sizes = rng.poisson(rates) * rng.lognormal(3, 1.5, 300)
    yield "sums, mostly zero", X, sizes
    yield "one output of noise", X, np.column_stack([X[:, 0] + 0.2 * noise, rng.permutation(noise)])
    yield "one weak output", X, np.column_stack([X[:, 0], 0.3 * X[:, 1] + noise])
    scales = np.column_stack([100 * X[:, 0] + 20 * noise, X[:, 1] + 0.2 * rng.permutation(noise)])
    yield "outputs of two scales", X, scales
    uniform = rng.uniform(size=300)
    yield "classes of noise", X, (uniform < 0.5).astype(int)
    yield "classes of noise, rare", X, (uniform < 0.1).astype(int)
    yield "three classes of noise", X, (3 * uniform).astype(int)
    yield "classes, noise, 20 columns", rng.standard_normal((200, 20)), rng.randint(2, size=200)
    yield "weak classes", X, (uniform < 0.5 + 0.1 * np.sign(X[:, 0])).astype(int)
    yield "classes, exclusive or", X, ((X[:, 0] * X[:, 1] > 0) ^ (uniform < 0.2)).astype(int)
    yield "rare class", X, (uniform < 1 / (1 + np.exp(4 - 2 * X[:, 0]))).astype(int)
    yield "rare class, hardly any", X, (uniform < 1 / (1 + np.exp(5 - 2 * X[:, 0]))).astype(int)


def healthy_fits(seeds):
    """Yield fits in which nothing is in another order: how, data and arguments."""
    for seed in seeds:
        for name, X, y in healthy_data(seed):
            half = 2 * len(X) // 5  # another number of rows than are held out
            if y.dtype.kind == "i" and len(np.unique(y[:half])) < len(np.unique(y)):
                continue
            rng = np.random.RandomState(seed)
            weights = rng.exponential(size=len(X) - half) ** 2
            by_column = np.argsort(X[:, 0], kind="stable")
            first = by_column[: 3 * len(X) // 4 : 2]  # no rows of the highest quarter
            others = np.setdiff1d(by_column[len(X) // 4 :], first)
            for teacher_name, teacher in healthy_teachers(y.dtype.kind == "i", seed):
                if y.ndim == 2 and teacher_name not in OF_OUTPUTS:
                    continue
                data = name, teacher_name
                teacher = fit(teacher, X[:half], y[:half])
                new = X[half:], y[half:]
                yield "own rows", data, (teacher, X[:half], y[:half])
                yield "new rows", data, (teacher, *new, member_predictions(teacher, new[0]))
                yield "weights", data, (teacher, *new, None, weights)
                yield "20 rows", data, (teacher, new[0][:20], new[1][:20])
                yield "30 rows", data, (teacher, new[0][-30:], new[1][-30:])
                if y.dtype.kind == "i" and not np.isin(y, y[first]).all():
                    continue
                teacher = fit(teacher, X[first], y[first])
                yield "extrapolation", data, (teacher, X[others], y[others])


def print_table(fits):
    """Print how many fits warn, and how many of the new warning, by what is in another order."""
    counts, by_data = (defaultdict(list) for _ in range(2))
    for how, (name, teacher_name), arguments in fits:
        texts = warnings_of(*arguments)
        new = any(part in text for text in texts for part in NEW)
        counts[how].append((bool(texts), new))
        by_data[name, how].append((bool(texts), new))
        if how in HEALTHY and texts:
            print("false alarm:", name, "|", teacher_name, "|", how, "|", texts[0][:130])
    for table in (by_data, counts):
        print()
        for key, alarms in table.items():
            label = key if isinstance(key, str) else ", ".join(key)
            warned, new = np.sum(alarms, axis=0)
            print(f"{label:40}{warned:5} of {len(alarms):4} warn, {new:4} that y is not followed")


# Parts of the messages of these checks.
NEW = "do not follow", "the same value at all", "and the same label", "order in the ensemble's"

HEALTHY = "right", "own rows", "new rows", "weights", "20 rows", "30 rows", "extrapolation"


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds of the data")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", choices=["wrong", "healthy"])
    options = parser.parse_args()
    for name, fits in (("wrong", wrong_fits), ("healthy", healthy_fits)):
        if options.only in (None, name):
            print(f"\nFits that are {name}")
            print_table(fits(range(options.first_seed, options.first_seed + options.seeds)))


if __name__ == "__main__":
    main()
