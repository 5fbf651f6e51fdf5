"""Updates with rows like those of `fit`, where the noise of y has heavy tails.

``python benchmarks/heavy_tails.py [--seeds 4] [--rows 20 200 1000]`` fits students of a forest and
of bagged boosted trees to made data of 2,000 rows: prices whose logarithm is normal, counts that
are mostly small, values that are a gamma variable's multiple of their mean, and t noise of two and
three degrees of freedom. They are updated with further rows of the same law, and scored at 4,000
others. A line gives the width of 90 % intervals relative to those of the student alone, their
coverage, and the change of the negative log-likelihood of y, in nats; and the same where the
multiple of the noise is not bounded by the density of the values (`_updating.noise_level`).
"""

import argparse
import copy
import warnings
from unittest import mock

import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)

from sklearn_dlf import DLFRegressor
from sklearn_dlf._updating import value_update
from sklearn_dlf.metrics import neg_nll_scorer

N_ROWS, N_NEW = 2000, 4000
KINDS = "prices", "counts", "gamma", "t2", "t3"


def make_data(kind, n, seed):
    """Return rows (n, d) and values of y (n,)."""
    rng = np.random.RandomState(seed)
    if kind == "prices":
        X = rng.normal(size=(n, 5))
        spread = 0.5 * rng.normal(size=n) * np.where(X[:, 2] > 0, 1.5, 1.0)
        return X, np.exp(11 + 0.6 * X[:, 0] + 0.3 * np.sin(2 * X[:, 1]) + spread)
    X, mean = make_friedman1(n, noise=0.0, random_state=seed)
    if kind == "counts":
        rate = np.exp(mean / 8 - 1.5)
        return X, rng.negative_binomial(0.5, 0.5 / (0.5 + rate)).astype(float)
    if kind == "gamma":
        return X, mean * rng.gamma(0.5, 2.0, size=n)
    return X, mean + rng.standard_t(int(kind[1:]), size=n)


def make_ensembles():
    """Yield names and unfitted ensembles."""
    yield "forest", RandomForestRegressor(100, min_samples_leaf=2, random_state=0)
    boosted = HistGradientBoostingRegressor(max_iter=50)
    yield "boosted", BaggingRegressor(boosted, 20, random_state=0)


def scores(student, X, y):
    """Return the median width of 90 % intervals, their coverage, and the NLL of y."""
    low, high = student.predict_interval(X, 0.9).T
    covered = np.mean((low <= y) & (y <= high))
    return np.array([np.median(high - low), covered, -neg_nll_scorer(student, X, y)])


def changes(student, kind, n_rows, seeds):
    """Return relative width, coverage and change of the NLL after an update, means over seeds."""
    X_new, y_new = make_data(kind, N_NEW, 99)
    before = scores(student, X_new, y_new)
    found = []
    for seed in range(seeds):
        updated = copy.deepcopy(student).update(*make_data(kind, n_rows, 200 + seed))
        width, coverage, loss = scores(updated, X_new, y_new)
        found.append([width / before[0], coverage, loss - before[2]])
    return np.mean(found, axis=0)


def main():
    """Print a line for each student and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rows", type=int, nargs="+", default=[20, 200, 1000])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = f"{'width':>8}{'cover':>7}{'NLL':>8}"
    print(f"{'y':8}{'teacher':10}{'shape':>6}{'alone':>7}{'rows':>6}{columns}   unbounded{columns}")
    for kind in KINDS:
        X, y = make_data(kind, N_ROWS, 0)
        for name, ensemble in make_ensembles():
            student = DLFRegressor(ensemble.fit(X, y), random_state=0).fit(X, y)
            shape = student.target_noise_.shape[0]
            alone = scores(student, *make_data(kind, N_NEW, 99))[1]
            for n_rows in options.rows:
                bounded = changes(student, kind, n_rows, options.seeds)
                with mock.patch.object(value_update, "bound_multiples", lambda found, _: found):
                    free = changes(student, kind, n_rows, options.seeds)
                parts = ["{:8.2f}{:7.3f}{:+8.4f}".format(*each) for each in (bounded, free)]
                line = f"{kind:8}{name:10}{shape:6.2f}{alone:7.3f}{n_rows:6}"
                print(line + (" " * 12).join(parts), flush=True)


if __name__ == "__main__":
    main()
