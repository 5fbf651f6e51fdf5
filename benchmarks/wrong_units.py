"""Which fits warn that y is in other units than the teacher's, and which shrunk teachers do so.

``python benchmarks/wrong_units.py [--seeds 1]`` takes a minute or two. Teachers are fitted to y,
and students get y in other units; no student is trained. Then teachers whose predictions are shrunk
to the mean get y in their own units, where no warning is right. Data have a mean of y that is far
from zero or near it: where it is near, a factor and shrunk predictions are the same.
"""

import argparse
from collections import defaultdict

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_regression
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR
from wrong_rows import fit, houses, regressors, score, warnings_of

# A mean of y within this many standard deviations of zero is near it.
NEAR_ZERO = 0.5

UNITS = {
    "times 2.5": lambda y: 2.5 * y,
    "times 10": lambda y: 10 * y,
    "times 1000": lambda y: 1000 * y,
    "divided by 2.5": lambda y: y / 2.5,
    "divided by 100": lambda y: y / 100,
    "Celsius as Fahrenheit": lambda y: 1.8 * y + 32,
    "Fahrenheit as Celsius": lambda y: (y - 32) / 1.8,
    "standardised": lambda y: (y - y.mean()) / y.std(),
    "between 0 and 1": lambda y: (y - y.min()) / np.ptp(y),
    "logarithms": lambda y: np.log(y - min(y.min(), 0) + 0.1 * y.std()),
}


def values(seed):
    """Yield names, standardised rows and values."""
    rng = np.random.RandomState(seed)
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", X, y
    yield "houses", *houses(400, seed)
    yield "friedman1", *make_friedman1(400, noise=1.0, random_state=seed)
    yield "friedman2", *make_friedman2(400, noise=10.0, random_state=seed)
    X, y = make_regression(400, 8, noise=20.0, random_state=seed)
    for location in (0, 0.3, 0.7, 1, 2):
        yield f"linear, mean of {location} standard deviations", X, y + location * y.std()
    X = rng.standard_normal((400, 5))
    effect = X @ [0.5, 0.5, 0.3, 0.2, 0]
    yield "lognormal", X, np.exp(effect + 0.3 * rng.standard_normal(400))
    yield "counts", X, rng.poisson(np.exp(0.5 + 0.8 * X[:, 0])).astype(float)


def shrunk_teachers(X, y, seed):
    """Yield names and unfitted teachers, from hardly shrunk to almost constant."""
    for alpha in (100, 300, 1e3, 3e3, 1e4):
        yield "ridge", [Ridge(alpha=alpha), Ridge(alpha=1.5 * alpha)]
    largest = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y)
    for share in (0.3, 0.6, 0.9):
        yield "lasso", [Lasso(alpha=share * largest), Lasso(alpha=0.9 * share * largest)]
    for n_stages in (1, 3, 5, 10):
        boosted = {"n_estimators": n_stages, "subsample": 0.8}
        yield "boosting", [GradientBoostingRegressor(**boosted, random_state=i) for i in (1, 2)]
        boosted = {"max_iter": n_stages, "max_features": 0.5}
        yield (
            "histogram boosting",
            [HistGradientBoostingRegressor(**boosted, random_state=i) for i in (1, 2)],
        )
    for n_epochs in (5, 20, 60, 200):
        network = {"hidden_layer_sizes": (20,), "max_iter": n_epochs}
        yield "networks", [MLPRegressor(**network, random_state=seed + i) for i in (1, 2)]
    for c in (0.01, 0.1, 1.0):
        yield "support vectors", [SVR(C=c), SVR(C=0.9 * c)]


def parts(X, y):
    """Yield names, rows that a teacher is fitted to, and rows that a student gets."""
    half = len(X) // 2
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    for name, given in (("own", slice(half)), ("held out", slice(half, None))):
        yield name, (scaled[:half], y[:half]), (scaled[given], y[given])
    yield "30 held out", (scaled[:half], y[:half]), (scaled[half : half + 30], y[half : half + 30])


def print_units(n_seeds):
    """Print how many fits warn whose teachers have learnt y, and get it in other units."""
    counts = defaultdict(lambda: defaultdict(list))
    for seed in range(n_seeds):
        for _, X, y in values(seed):
            where = "near zero" if abs(y.mean()) < NEAR_ZERO * y.std() else "far from zero"
            for _, teacher in regressors(seed):
                for _, own, (rows, at_rows) in parts(X, y):
                    fitted = fit(teacher, *own)
                    if score(fitted, rows, at_rows) < 0.5:
                        continue
                    for name, convert in UNITS.items():
                        warned = bool(warnings_of(fitted, rows, convert(at_rows)))
                        counts[name][where].append(warned)
    print("Teachers of R^2 of 0.5 or more get y in other units: fits that warn, by the mean of y")
    for name, by_mean in counts.items():
        shares = (f"{where} {sum(w):4} of {len(w)}" for where, w in by_mean.items())
        print(f"{name:26}" + "   ".join(shares))


def print_shrunk(n_seeds):
    """Print how many fits warn whose teachers predict y in its units, shrunk to the mean."""
    counts = defaultdict(list)
    for seed in range(n_seeds):
        for data, X, y in values(seed):
            for name, teacher in shrunk_teachers(X, y, seed):
                for part, own, given in parts(X, y):
                    fitted = fit(teacher, *own)
                    texts = [t for t in warnings_of(fitted, *given) if "another scale" in t]
                    counts[name].append(bool(texts))
                    for text in texts:
                        print("false alarm:", data, "|", name, "|", part, "|", text[:110])
    print("\nShrunk teachers get y in their own units: warnings of another scale")
    for name, warned in counts.items():
        print(f"{name:26}{sum(warned):4} of {len(warned)}")


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="seeds of data and teachers")
    options = parser.parse_args()
    print_units(options.seeds)
    print_shrunk(options.seeds)


if __name__ == "__main__":
    main()
