"""Nearest neighbours of rows, from which further rows are made."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .._rows.table import Table
from .._utils.equal_rows import join_equal_rows

# A row's neighbours are this many of the nearest.
N_NEIGHBORS = 10


def find_neighbors(table: Table, n_neighbors: int = N_NEIGHBORS) -> np.ndarray:
    """Return indices (n, n_neighbors) of the nearest neighbours of each row.

    Equal rows count once, and are no neighbours of each other, unless too few rows are different.
    """
    places = table.in_units()
    first, number = join_equal_rows(places)
    distinct = np.sort(first)
    copy = np.searchsorted(distinct, first[number])
    if len(distinct) <= n_neighbors:
        distinct = copy = np.arange(len(places))
    n_neighbors = min(n_neighbors, len(distinct) - 1)
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(places[distinct])
    return distinct[search.kneighbors(return_distance=False)][copy]


def pairs_of_neighbors(
    table: Table,
    n_rows: int,
    random_state: np.random.RandomState,
    n_neighbors: int = N_NEIGHBORS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices (n_rows,) of rows, each about equally often, and a neighbour of each."""
    neighbors = find_neighbors(table, n_neighbors)
    first = cycle(len(table), n_rows, random_state)
    return first, pick(neighbors[first], random_state)


def cycle(n: int, n_rows: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return indices (n_rows,) of n rows, each about equally often, in random order."""
    return random_state.permutation(n)[np.arange(n_rows) % n]


def pick(neighbors: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """Pick one of each row's neighbours (n_rows, n_neighbors)."""
    n_rows, n_neighbors = neighbors.shape
    return neighbors[np.arange(n_rows), random_state.randint(n_neighbors, size=n_rows)]


def pick_two(
    neighbors: np.ndarray, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Pick two different ones of each row's neighbours (n_rows, n_neighbors), if there are two."""
    n_rows, n_neighbors = neighbors.shape
    one = random_state.randint(n_neighbors, size=n_rows)
    other = (one + 1 + random_state.randint(max(n_neighbors - 1, 1), size=n_rows)) % n_neighbors
    rows = np.arange(n_rows)
    return neighbors[rows, one], neighbors[rows, other]
