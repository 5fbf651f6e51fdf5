"""Updates with rows of a group of which `fit` has seen a few rows only.

``python benchmarks/new_group.py [--seeds 3] [--rows 20 50 200] [--kinds regressor classifier]``
makes rows of four numbers and a category of six values, of which the last is one row in 200.
Students of a forest and of bagged boosted trees learn 1,500 rows, and are updated with rows of that
last group alone. A line gives what the student predicts for the group on average less the truth, in
units of y or as a probability; the root mean squared error of the mean, or the log loss, at further
rows of the group and at rows of all groups; and, of regressors, the coverage of 90 % intervals in
the group. It gives the same for updates whose discrepancy is linear in the features of the body
alone.
"""

import argparse
import copy
import warnings
from unittest import mock

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf._updating import memory
from sklearn_dlf._updating.posterior import NO_COLUMNS

N_ROWS, N_NEW = 1500, 3000
GROUPS, SHARES = list("uvwxyz"), [0.3, 0.25, 0.2, 0.15, 0.095, 0.005]
LEVELS = np.array([0.0, 0.4, -0.3, 0.7, 0.2, -1.2])
NOISE = 0.5


def make_data(n, seed, is_classifier, group=None):
    """Return a frame of rows, y, and its mean or the probability of the second class."""
    rng = np.random.RandomState(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    number = rng.choice(6, n, p=SHARES) if group is None else np.full(n, group)
    X["group"] = pd.Categorical.from_codes(number, GROUPS)
    mean = np.sin(X.a) + 0.5 * X.b * X.c + LEVELS[number]
    if is_classifier:
        mean = expit(2 * mean)
        return X, (rng.uniform(size=n) < mean).astype(int), mean
    return X, mean + NOISE * rng.normal(size=n), mean


def make_teacher(name, is_classifier):
    """Return an unfitted ensemble behind an encoder of the groups."""
    if name == "forest":
        kind = RandomForestClassifier if is_classifier else RandomForestRegressor
        model = kind(60, min_samples_leaf=2, random_state=0)
    else:
        boosted = HistGradientBoostingClassifier if is_classifier else HistGradientBoostingRegressor
        bagging = BaggingClassifier if is_classifier else BaggingRegressor
        model = bagging(boosted(max_iter=50), 10, random_state=0)
    encoder = make_column_transformer((OneHotEncoder(), ["group"]), remainder="passthrough")
    return make_pipeline(encoder, model)


def scores(student, X, y, mean, is_classifier):
    """Return the mean error, and the loss, of predictions; and the coverage of regressors."""
    if is_classifier:
        found = student.predict_proba(X)[:, 1]
        return np.mean(found - mean), log_loss(y, found), np.nan
    found, (low, high) = student.predict(X), student.predict_interval(X).T
    loss = np.sqrt(np.mean((found - mean) ** 2))
    return np.mean(found - mean), loss, np.mean((low <= y) & (y <= high))


def measure(name, is_classifier, numbers, seed):
    """Return scores (n, 3) in the group, and losses (n,) of all groups: first without an update."""
    X, y, _ = make_data(N_ROWS, seed, is_classifier)
    kind = DLFClassifier if is_classifier else DLFRegressor
    teacher = make_teacher(name, is_classifier).fit(X, y)
    fitted = kind(teacher, random_state=seed).fit(X, y)
    of_group = make_data(N_NEW, 100 + seed, is_classifier, group=5)
    of_all = make_data(N_NEW, 200 + seed, is_classifier)
    students = [fitted]
    for n_rows in numbers:
        rows = make_data(n_rows, 300 + seed, is_classifier, group=5)[:2]
        students.append(copy.deepcopy(fitted).update(*rows))
    in_group = [scores(student, *of_group, is_classifier) for student in students]
    return in_group, [scores(student, *of_all, is_classifier)[1] for student in students]


def main():
    """Print a line for each student and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[20, 50, 200])
    parser.add_argument("--kinds", nargs="+", default=["regressor", "classifier"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    columns = f"{'error':>8}{'loss':>7}{'cover':>7}{'all':>7}"
    print(f"{'student':11}{'teacher':9}{'rows':>5}{columns}   body alone{columns}")
    for kind in options.kinds:
        is_classifier = kind == "classifier"
        for name in ("forest", "boosted"):
            arguments = name, is_classifier, options.rows
            found = [measure(*arguments, seed) for seed in range(options.seeds)]
            with mock.patch.object(memory, "indicators", return_value=NO_COLUMNS):
                alone = [measure(*arguments, seed) for seed in range(options.seeds)]
            both = []
            for runs in (found, alone):
                in_group = np.mean([run[0] for run in runs], axis=0)
                both.append(np.column_stack([in_group, np.mean([run[1] for run in runs], axis=0)]))
            for n_rows, *parts in zip([0, *options.rows], *both, strict=True):
                texts = ["{:+8.3f}{:7.3f}{:7.3f}{:7.3f}".format(*part) for part in parts]
                print(f"{kind:11}{name:9}{n_rows:5}{(' ' * 13).join(texts)}", flush=True)


if __name__ == "__main__":
    main()
