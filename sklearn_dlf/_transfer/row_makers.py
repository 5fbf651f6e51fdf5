"""Makers of rows: new rows from the rows at hand, for ``augment``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array

# Rows made for each row at hand, and the largest number made. See the studies of design points in
# docs/method.md and docs/ablations.md.
N_MADE, MAX_MADE = 4, 20_000

# The same for students that encode columns, as those of trees do. Steps lie so close that a student
# of fewer rows learns where rows happen to lie.
N_MADE_ENCODED, MAX_MADE_ENCODED = 12, 40_000

# Neighbours are searched among at most this many rows; of more rows, a random choice is taken.
POOL_ROWS = 2**14

# A made row takes half of its columns, on average, from one of this many nearest neighbours.
N_NEIGHBORS, SWAP_PROBABILITY = 10, 0.5

# Share of the rows of "far_neighbors" whose neighbours may be far.
FAR_SHARE = 0.5

RowMaker = Callable[[np.ndarray, int, np.random.RandomState], np.ndarray]


def swap_with_neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Make rows (n_rows, n_features) with some columns of one of their nearest neighbours.

    Every value occurs in its column of X, so that integers and codes stay integers and codes.
    """
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    return _swap(X, first, second, random_state)


def swap_with_far_neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Make rows (n_rows, n_features) as `swap_with_neighbors`, half of them from farther away.

    These take one of the nearest neighbours in a random half, quarter, ... of the rows. The rank of
    the neighbour among all rows is then about log-uniform, from near to the far end of the data.
    """
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    n_halvings = max(0, int(np.log2(len(X) / N_NEIGHBORS)))
    far = random_state.uniform(size=n_rows) < FAR_SHARE
    halvings = np.where(far, random_state.randint(n_halvings + 1, size=n_rows), 0)
    standardised = _divide_by_std(X)
    for halving in range(1, n_halvings + 1):
        made = np.flatnonzero(halvings == halving)
        among = random_state.permutation(len(X))[: len(X) >> halving]
        if len(made):
            search = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(standardised[among])
            near = search.kneighbors(standardised[first[made]], return_distance=False)
            second[made] = among[_pick(near, random_state)]
    return _swap(X, first, second, random_state)


def mix_with_neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Make rows (n_rows, n_features) on the lines between rows and their nearest neighbours."""
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    share = random_state.uniform(size=(n_rows, 1))
    return share * X[first] + (1 - share) * X[second]


ROW_MAKERS: dict[str, RowMaker] = {
    "neighbors": swap_with_neighbors,
    "far_neighbors": swap_with_far_neighbors,
    "mixup": mix_with_neighbors,
}


def make_rows(
    augment: str | RowMaker | None,
    X: np.ndarray,
    n_most: float,
    random_state: np.random.RandomState,
    automatic: str = "neighbors",
    encoded: bool = False,
) -> np.ndarray:
    """Make further rows.

    Parameters
    ----------
    augment : {"auto", "neighbors", "far_neighbors", "mixup"}, callable or None
        How to make them. A callable takes X, a number of rows and a random state.
    X : array of shape (n_samples, n_features)
        Rows at hand.
    n_most : int or inf
        Largest number of rows to make.
    random_state : RandomState instance
        Source of the random choices.
    automatic : {"neighbors", "far_neighbors"}
        What "auto" stands for with two or more columns. One column has nothing to swap with, and
        "auto" stands for "mixup".
    encoded : bool
        Whether the student encodes columns.

    Returns
    -------
    array of shape (n_rows, n_features)
        `N_MADE` rows for each row of X, at most `MAX_MADE` and ``n_most``; `N_MADE_ENCODED`
        and `MAX_MADE_ENCODED` if encoded.

    Raises
    ------
    ValueError
        If a callable returns another number of rows or columns, or values that are not finite.
    """
    n_made, max_made = (N_MADE_ENCODED, MAX_MADE_ENCODED) if encoded else (N_MADE, MAX_MADE)
    n_rows = int(max(0, min(n_made * len(X), max_made, n_most)))
    if augment is None or n_rows == 0 or len(X) < 2:
        return X[:0]
    if augment == "auto":
        augment = automatic if X.shape[1] > 1 else "mixup"
    if not callable(augment):
        return ROW_MAKERS[augment](X, n_rows, random_state)
    rows = check_array(
        augment(X.copy(), n_rows, random_state), dtype=np.float64, input_name="rows of augment"
    )
    if rows.shape != (n_rows, X.shape[1]):
        raise ValueError(
            "augment must return the number of rows that it is given, with the columns of X: "
            f"expected shape {(n_rows, X.shape[1])}; got {rows.shape}."
        )
    return rows


def _pool(X: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """Return X, or a random choice of its rows if they are many."""
    if len(X) <= POOL_ROWS:
        return X
    return X[random_state.choice(len(X), POOL_ROWS, replace=False)]


def _divide_by_std(X: np.ndarray) -> np.ndarray:
    """Return X in units of the columns' standard deviation."""
    scale = X.std(axis=0)
    return X / np.where(scale > 0, scale, 1)


def _neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (n_rows,) of rows, each about equally often, and a neighbour of each."""
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(X) - 1)).fit(_divide_by_std(X))
    neighbors = search.kneighbors(return_distance=False)
    first = random_state.permutation(len(X))[np.arange(n_rows) % len(X)]
    return first, _pick(neighbors[first], random_state)


def _pick(neighbors: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """Pick one of each row's neighbours (n_rows, n_neighbors)."""
    n_rows, n_neighbors = neighbors.shape
    return neighbors[np.arange(n_rows), random_state.randint(n_neighbors, size=n_rows)]


def _swap(
    X: np.ndarray, first: np.ndarray, second: np.ndarray, random_state: np.random.RandomState
) -> np.ndarray:
    """Return rows ``first`` of X with some columns of rows ``second``."""
    swapped = random_state.uniform(size=(len(first), X.shape[1])) < SWAP_PROBABILITY
    return np.where(swapped, X[second], X[first])
