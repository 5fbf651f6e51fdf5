"""Data sets and ensembles on which the fidelity of students is compared.

A further generated data set is one more line of `GENERATED`, another kind of ensemble one more of
`RECIPES`.
"""

from __future__ import annotations

import numpy as np
from datasets import Split, load_split
from sklearn.datasets import make_friedman1
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from uci import SETS as UCI

from sklearn_dlf.datasets import make_curved_surface
from sklearn_dlf.ensembles import DeepEnsembleRegressor, member_predictions

# Rows for testing at most, and training rows of generated data. Both are choices.
MAX_TEST, N_MADE = 1_000, 1_500


def make_friedman(seed):
    """Return a split of the first Friedman function, with noise of standard deviation one."""
    return make_split(*make_friedman1(N_MADE + MAX_TEST, noise=1.0, random_state=seed))


def make_split(X, y):
    """Return a split of independent rows: the first `N_MADE` are for training."""
    return Split(X[:N_MADE], y[:N_MADE], X[N_MADE:], y[N_MADE:])


def make_surface(seed):
    """Return a split of rows near a curved surface, whose columns nearly determine each other."""
    data = make_curved_surface(N_MADE + MAX_TEST, noise=0.001, random_state=seed)
    return make_split(data.X, data.y)


# Each takes a seed and returns a `Split`.
GENERATED = {"friedman1": make_friedman, "surface": make_surface}
SETS = [*UCI, *GENERATED]


def load(name, split, data_dir, max_rows):
    """Return a split of a data set, cut to random ``max_rows`` training and `MAX_TEST` test rows.

    The six UCI sets are files in ``data_dir`` (see benchmarks/datasets.py).
    """
    data = GENERATED[name](split) if name in GENERATED else load_split(name, split, data_dir)
    rng = np.random.RandomState(split)
    train = rng.permutation(len(data.X))[:max_rows]
    test = rng.permutation(len(data.X_test))[:MAX_TEST]
    return Split(data.X[train], data.y[train], data.X_test[test], data.y_test[test])


def bagged_boosting(n_members, random_state):
    """Return unfitted boosted models of bootstrap samples."""
    return BaggingRegressor(
        HistGradientBoostingRegressor(random_state=random_state),
        n_members,
        random_state=random_state,
    )


# For each kind of ensemble: the function that makes it unfitted, and its number of members.
RECIPES = {
    "networks": (DeepEnsembleRegressor, 50),
    "forest": (RandomForestRegressor, 100),
    "boosted": (bagged_boosting, 20),
}


def fit_ensemble(kind, X, y, seed):
    """Return a fitted ensemble of a kind, with its usual number of members."""
    make, n_members = RECIPES[kind]
    return make(n_members, random_state=seed).fit(X, y)


def predict_others(kind, X, y, seed, n_members, rows):
    """Return the predictions of other members of a kind, at rows."""
    make, _ = RECIPES[kind]
    return member_predictions(make(n_members, random_state=seed).fit(X, y), rows)
