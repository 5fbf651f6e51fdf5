"""Groups of columns that determine each other."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.ensemble import RandomForestRegressor

from .._utils.seeding import MAX_SEED
from .._utils.standardise import in_float32

# A column is determined by others if a small forest explains this share of its variance at rows
# that it was not fitted to.
LEAST_SCORE = 0.9

# Others determine it if they have this share of the forest's splits, weighted by what these gain.
LEAST_IMPORTANCE = 0.05

# Rows and trees from which that is found.
MAX_ROWS, N_TREES = 1_000, 10

# With more columns than this, the forests take too long, and each column is a group of its own.
MAX_COLUMNS = 100


def find_column_groups(X: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """Return the number of the group (n_features,) of each column of X (n_samples, n_features).

    A column that others determine is in one group with them. Linear dependence is not required.
    """
    n_features = X.shape[1]
    if n_features > MAX_COLUMNS or len(X) < 4:
        return np.arange(n_features)
    X = in_float32(X)  # as trees read it
    rows = random_state.permutation(len(X))[:MAX_ROWS]
    halves = X[rows[::2]], X[rows[1::2]]
    links = np.eye(n_features, dtype=bool)
    for column in range(n_features):
        if min(half[:, column].std() for half in halves) == 0:
            continue
        others = np.delete(np.arange(n_features), column)
        score, importance = 0.0, np.zeros(len(others))
        for fit, test in (halves, halves[::-1]):
            forest = RandomForestRegressor(N_TREES, random_state=random_state.randint(MAX_SEED))
            forest.fit(fit[:, others], fit[:, column])
            score += forest.score(test[:, others], test[:, column]) / 2
            importance += forest.feature_importances_ / 2
        if score >= LEAST_SCORE:
            links[column, others[importance >= LEAST_IMPORTANCE]] = True
    return connected_components(links, directed=False)[1]
