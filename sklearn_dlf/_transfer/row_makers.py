"""Makers of rows: new rows from the rows at hand, for ``augment``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array

from .column_groups import find_column_groups

# Neighbours are searched among at most this many rows; of more rows, a random choice is taken.
POOL_ROWS = 2**14

# A made row takes half of its columns, on average, from one of this many nearest neighbours.
N_NEIGHBORS, SWAP_PROBABILITY = 10, 0.5

# "near_neighbors" takes columns from one of this many.
N_NEAREST = 3

# A column that has at most this share of distinct values is discrete: "local" keeps to its values.
DISCRETE_SHARE = 0.1

# Share of the rows of "far_neighbors" whose neighbours may be far.
FAR_SHARE = 0.5

RowMaker = Callable[[np.ndarray, int, np.random.RandomState], np.ndarray]


def swap_with_neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState, several: bool = False
) -> np.ndarray:
    """Make rows (n_rows, n_features) with some columns of one of their nearest neighbours.

    Every value occurs in its column of X, so that integers and codes stay integers and codes. With
    ``several``, each column is that of any of the row and its neighbours.
    """
    X = _pool(X, random_state)
    if several:
        return _mix_several(X, n_rows, random_state, N_NEIGHBORS)
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


def swap_with_nearest(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState, several: bool = False
) -> np.ndarray:
    """Make rows (n_rows, n_features) as `swap_with_neighbors`, with smaller steps."""
    X = _pool(X, random_state)
    if several:
        return _mix_several(X, n_rows, random_state, N_NEAREST)
    first, second = _neighbors(X, n_rows, random_state, N_NEAREST)
    return _swap(X, first, second, random_state)


def swap_column_groups(
    X: np.ndarray,
    n_rows: int,
    random_state: np.random.RandomState,
    groups: np.ndarray | None = None,
    several: bool = False,
) -> np.ndarray:
    """Make rows (n_rows, n_features) with some groups of columns of one of their neighbours.

    Columns that determine each other stay together: those of one number in ``groups``
    (n_features,), which are found if they are not given. ``several`` is that of
    `swap_with_neighbors`.
    """
    X = _pool(X, random_state)
    groups = find_column_groups(X, random_state) if groups is None else groups
    if several:
        return _mix_several(X, n_rows, random_state, N_NEIGHBORS, groups)
    first, second = _neighbors(X, n_rows, random_state)
    return _swap(X, first, second, random_state, groups)


def step_along_neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Make rows (n_rows, n_features) a step away, in the direction from a neighbour to another one.

    Differences of neighbours lie along the data, where these are near a curved surface. A step is
    up to the whole difference. Discrete columns are set to the nearest value that occurs.
    """
    X = _pool(X, random_state)
    neighbors = _search(X)
    first = _cycle(len(X), n_rows, random_state)
    start, end = _pick_two(neighbors[first], random_state)
    step = random_state.uniform(size=(n_rows, 1))
    return keep_discrete(X, X[first] + step * (X[end] - X[start]))


def nearest_midpoints(X: np.ndarray) -> np.ndarray:
    """Return the midpoint (n, n_features) of each row and its nearest neighbour.

    Discrete columns are set to the nearest value that occurs.
    """
    return keep_discrete(X, (X + X[_search(X, 1)[:, 0]]) / 2)


def keep_discrete(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Set the discrete columns of ``rows`` to the nearest value that occurs in that column of X."""
    rows = rows.copy()
    for column, entries in zip(X.T, rows.T, strict=True):
        values = np.unique(column)
        if len(values) <= max(DISCRETE_SHARE * len(X), 2):
            above = np.searchsorted((values[1:] + values[:-1]) / 2, entries)
            entries[:] = values[above]
    return rows


def mix_with_neighbors(
    X: np.ndarray, n_rows: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Make rows (n_rows, n_features) on the lines between rows and their nearest neighbours."""
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state)
    share = random_state.uniform(size=(n_rows, 1))
    return share * X[first] + (1 - share) * X[second]


def near_midpoints(X: np.ndarray, n_rows: int, random_state: np.random.RandomState) -> np.ndarray:
    """Make rows (n_rows, n_features) midway between a row and one of the nearest to it.

    Discrete columns are set to the nearest value that occurs.
    """
    X = _pool(X, random_state)
    first, second = _neighbors(X, n_rows, random_state, N_NEAREST)
    return keep_discrete(X, (X[first] + X[second]) / 2)


ROW_MAKERS: dict[str, RowMaker] = {
    "neighbors": swap_with_neighbors,
    "far_neighbors": swap_with_far_neighbors,
    "near_neighbors": swap_with_nearest,
    "column_groups": swap_column_groups,
    "local": step_along_neighbors,
    "mixup": mix_with_neighbors,
}


def fresh_maker(augment: str | RowMaker | None) -> RowMaker:
    """Return a maker of rows that are to those of ``augment`` as new rows are.

    Swaps of the same two rows resemble each other, and a student that has learnt from many of them
    misses its teacher less at another one than at a new row. So columns of several rows are
    mixed. Without made rows, midpoints of near rows are taken, which lie close to the data.
    """
    if augment is None:
        return near_midpoints
    maker: Any = ROW_MAKERS[augment] if isinstance(augment, str) else augment
    if maker is swap_with_far_neighbors:
        maker = swap_with_neighbors
    swaps = (swap_with_neighbors, swap_with_nearest, swap_column_groups)
    return partial(maker, several=True) if getattr(maker, "func", maker) in swaps else maker


def make_rows(
    augment: str | RowMaker | None,
    X: np.ndarray,
    n_rows: int,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Make further rows.

    Parameters
    ----------
    augment : str, callable or None
        How to make them: a key of `ROW_MAKERS`, or a callable that takes X, a number of rows and a
        random state.
    X : array of shape (n_samples, n_features)
        Rows at hand.
    n_rows : int
        Number of rows to make.
    random_state : RandomState instance
        Source of the random choices.

    Returns
    -------
    array of shape (n_rows, n_features)
        None if ``augment`` is None, ``n_rows`` is not positive, or X has one row.

    Raises
    ------
    ValueError
        If a callable returns another number of rows or columns, or values that are not finite.
    """
    if augment is None or n_rows <= 0 or len(X) < 2:
        return X[:0]
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
    X: np.ndarray,
    n_rows: int,
    random_state: np.random.RandomState,
    n_neighbors: int = N_NEIGHBORS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (n_rows,) of rows, each about equally often, and a neighbour of each."""
    neighbors = _search(X, n_neighbors)
    first = _cycle(len(X), n_rows, random_state)
    return first, _pick(neighbors[first], random_state)


def _search(X: np.ndarray, n_neighbors: int = N_NEIGHBORS) -> np.ndarray:
    """Return indices (n, n_neighbors) of the nearest neighbours of each row."""
    search = NearestNeighbors(n_neighbors=min(n_neighbors, len(X) - 1)).fit(_divide_by_std(X))
    return search.kneighbors(return_distance=False)


def _cycle(n: int, n_rows: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return indices (n_rows,) of n rows, each about equally often, in random order."""
    return random_state.permutation(n)[np.arange(n_rows) % n]


def _pick(neighbors: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """Pick one of each row's neighbours (n_rows, n_neighbors)."""
    n_rows, n_neighbors = neighbors.shape
    return neighbors[np.arange(n_rows), random_state.randint(n_neighbors, size=n_rows)]


def _pick_two(
    neighbors: np.ndarray, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Pick two different ones of each row's neighbours (n_rows, n_neighbors), if there are two."""
    n_rows, n_neighbors = neighbors.shape
    one = random_state.randint(n_neighbors, size=n_rows)
    other = (one + 1 + random_state.randint(max(n_neighbors - 1, 1), size=n_rows)) % n_neighbors
    rows = np.arange(n_rows)
    return neighbors[rows, one], neighbors[rows, other]


def _mix_several(
    X: np.ndarray,
    n_rows: int,
    random_state: np.random.RandomState,
    n_neighbors: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return rows whose columns, or groups of columns, are each of any of a row and neighbours."""
    groups = np.arange(X.shape[1]) if groups is None else groups
    near = np.column_stack([np.arange(len(X)), _search(X, n_neighbors)])
    first = _cycle(len(X), n_rows, random_state)
    picked = random_state.randint(near.shape[1], size=(n_rows, groups.max() + 1))
    return X[near[first[:, None], picked[:, groups]], np.arange(X.shape[1])]


def _swap(
    X: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    random_state: np.random.RandomState,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return rows ``first`` of X with some columns, or groups of columns, of rows ``second``."""
    groups = np.arange(X.shape[1]) if groups is None else groups
    swapped = random_state.uniform(size=(len(first), groups.max() + 1)) < SWAP_PROBABILITY
    return np.where(swapped[:, groups], X[second], X[first])
