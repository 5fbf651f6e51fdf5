"""Makers of rows: new rows from the rows at hand, for ``augment``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array

from .._rows.containers import (
    as_container,
    gather_columns,
    map_sparse_columns,
    number_columns,
    numbers_of,
    swap_columns,
    take,
    with_numbers,
)
from .._rows.table import Table
from .._utils.blocks import spaced_rows
from .column_groups import find_column_groups
from .neighbors import N_NEIGHBORS, cycle, find_neighbors, pairs_of_neighbors, pick, pick_two

# Neighbours are searched among at most this many rows; of more rows, a random choice is taken.
POOL_ROWS = 2**14

# A made row takes half of its columns, on average, from a neighbour.
SWAP_PROBABILITY = 0.5

# "near_neighbors" takes columns from one of this many.
N_NEAREST = 3

# A column that has at most this share of distinct values is discrete: "local" keeps to its values.
DISCRETE_SHARE = 0.1

# Share of the rows of "far_neighbors" whose neighbours may be far.
FAR_SHARE = 0.5

RowMaker = Callable[[Any, int, np.random.RandomState], Any]


@dataclass(frozen=True)
class TableMaker:
    """A maker of the package, as opposed to a callable of the user's.

    Parameters
    ----------
    make : callable
        Takes a table, a number of rows and a random state, returns a table.
    """

    make: Callable[..., Table]


# What makes rows; a string is a key of `ROW_MAKERS`.
Maker = str | RowMaker | TableMaker | None


def swap_with_neighbors(
    table: Table, n_rows: int, random_state: np.random.RandomState, several: bool = False
) -> Table:
    """Make rows with some columns of one of their nearest neighbours.

    Every value occurs in its column, so that integers and codes stay integers and codes. With
    ``several``, each column is that of any of the row and its neighbours.
    """
    table = _pool(table, random_state)
    if several:
        return _mix_several(table, n_rows, random_state, N_NEIGHBORS)
    first, second = pairs_of_neighbors(table, n_rows, random_state)
    return _swap(table, first, second, random_state)


def swap_with_far_neighbors(
    table: Table, n_rows: int, random_state: np.random.RandomState
) -> Table:
    """Make rows as `swap_with_neighbors`, half of them from farther away.

    These take one of the nearest neighbours in a random half, quarter, ... of the rows. The rank of
    the neighbour among all rows is then about log-uniform, from near to the far end of the data.
    """
    table = _pool(table, random_state)
    first, second = pairs_of_neighbors(table, n_rows, random_state)
    n_halvings = max(0, int(np.log2(len(table) / N_NEIGHBORS)))
    far = random_state.uniform(size=n_rows) < FAR_SHARE
    halvings = np.where(far, random_state.randint(n_halvings + 1, size=n_rows), 0)
    places = table.in_units()
    for halving in range(1, n_halvings + 1):
        made = np.flatnonzero(halvings == halving)
        among = random_state.permutation(len(table))[: len(table) >> halving]
        if len(made):
            search = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(places[among])
            near = search.kneighbors(places[first[made]], return_distance=False)
            second[made] = among[pick(near, random_state)]
    return _swap(table, first, second, random_state)


def swap_with_nearest(
    table: Table, n_rows: int, random_state: np.random.RandomState, several: bool = False
) -> Table:
    """Make rows as `swap_with_neighbors`, with smaller steps."""
    table = _pool(table, random_state)
    if several:
        return _mix_several(table, n_rows, random_state, N_NEAREST)
    first, second = pairs_of_neighbors(table, n_rows, random_state, N_NEAREST)
    return _swap(table, first, second, random_state)


def swap_column_groups(
    table: Table,
    n_rows: int,
    random_state: np.random.RandomState,
    groups: np.ndarray | None = None,
    several: bool = False,
) -> Table:
    """Make rows with some groups of columns of one of their neighbours.

    Columns that determine each other stay together: those of one number in ``groups``
    (n_columns,), which are found if they are not given. ``several`` is that of
    `swap_with_neighbors`.
    """
    table = _pool(table, random_state)
    if groups is None:
        groups = find_column_groups(table.column_codes(), random_state)
    if several:
        return _mix_several(table, n_rows, random_state, N_NEIGHBORS, groups)
    first, second = pairs_of_neighbors(table, n_rows, random_state)
    return _swap(table, first, second, random_state, groups)


def step_along_neighbors(table: Table, n_rows: int, random_state: np.random.RandomState) -> Table:
    """Make rows a step away, in the direction from a neighbour to another one.

    Differences of neighbours lie along the data, where these are near a curved surface. A step is
    up to the whole difference. Columns of one sign keep it, so that members may take logarithms.
    Discrete columns are set to the nearest value that occurs. Columns that hold no numbers are
    those of the row.
    """
    table = _pool(table, random_state)
    neighbors = find_neighbors(table)
    first = cycle(len(table), n_rows, random_state)
    start, end = pick_two(neighbors[first], random_state)
    share = random_state.uniform(size=(n_rows, 1))
    return _blend(
        table,
        first,
        lambda X: keep_discrete(X, step_within_signs(X, first, share * (X[end] - X[start]))),
    )


def step_within_signs(X: np.ndarray, first: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return rows ``first`` of X plus steps that leave no column with another sign.

    A step across zero is taken the other way, which one column allows always and several mostly.
    Entries that would cross zero both ways stay.
    """
    rows, signs = X[first], np.sign(X)
    low, high = np.fmin.reduce(signs), np.fmax.reduce(signs)

    def crosses(rows):
        return (np.sign(rows) < low) | (np.sign(rows) > high)

    turned = np.where(crosses(rows + steps).any(axis=1, keepdims=True), -steps, steps)
    return rows + np.where(crosses(rows + turned), 0, turned)


def step_within_range(table: Table, n_rows: int, random_state: np.random.RandomState) -> Table:
    """Make steps within the range of each column, beyond which trees have no thresholds."""
    made = step_along_neighbors(table, n_rows, random_state)
    numbers = numbers_of(table.rows, number_columns(table.rows))
    low, high = np.fmin.reduce(numbers), np.fmax.reduce(numbers)
    return _blend(made, np.arange(n_rows), lambda X: np.clip(X, low, high))


def nearest_midpoints(table: Table) -> Table:
    """Return the midpoint of each row and its nearest neighbour.

    Discrete columns are set to the nearest value that occurs. Columns that hold no numbers are
    those of the row.
    """
    first, second = np.arange(len(table)), find_neighbors(table, 1)[:, 0]
    return _blend(table, first, lambda X: keep_discrete(X, (X + X[second]) / 2))


def keep_discrete(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Set the discrete columns of ``rows`` to the nearest value that occurs in that column of X."""
    rows = rows.copy()
    for column, entries in zip(X.T, rows.T, strict=True):
        values = np.unique(column[~np.isnan(column)])
        if len(values) <= max(DISCRETE_SHARE * len(X), 2) and len(values):
            above = np.searchsorted((values[1:] + values[:-1]) / 2, entries)
            entries[:] = np.where(np.isnan(entries), np.nan, values[above])
    return rows


def mix_with_neighbors(table: Table, n_rows: int, random_state: np.random.RandomState) -> Table:
    """Make rows on the lines between rows and their nearest neighbours.

    Columns that hold no numbers are those of the row.
    """
    table = _pool(table, random_state)
    first, second = pairs_of_neighbors(table, n_rows, random_state)
    share = random_state.uniform(size=(n_rows, 1))
    return _blend(table, first, lambda X: share * X[first] + (1 - share) * X[second])


def near_midpoints(table: Table, n_rows: int, random_state: np.random.RandomState) -> Table:
    """Make rows midway between a row and one of the nearest to it, without a draw.

    Discrete columns are set to the nearest value that occurs. Columns that hold no numbers are
    those of the row.
    """
    table = table.take(spaced_rows(len(table), POOL_ROWS))
    first = spaced_rows(len(table), n_rows)
    second = find_neighbors(table, N_NEAREST)[first, -1]
    return _blend(table, first, lambda X: keep_discrete(X, (X[first] + X[second]) / 2))


def halves(
    table: Table,
    n_rows: int,
    random_state: np.random.RandomState,
    makers: tuple[Callable[..., Table], Callable[..., Table]],
    several: bool = False,
) -> Table:
    """Make half of the rows by one maker, which takes ``several``, and half by another one."""
    n_first = n_rows - n_rows // 2
    first, second = makers
    made = first(table, n_first, random_state, **({"several": True} if several else {}))
    if n_rows > n_first:
        made = made.join(second(table, n_rows - n_first, random_state))
    return made


ROW_MAKERS: dict[str, Callable[[Table, int, np.random.RandomState], Table]] = {
    "neighbors": swap_with_neighbors,
    "far_neighbors": swap_with_far_neighbors,
    "near_neighbors": swap_with_nearest,
    "column_groups": swap_column_groups,
    "local": step_along_neighbors,
    "mixup": mix_with_neighbors,
    "neighbors+local": partial(halves, makers=(swap_with_neighbors, step_within_range)),
    "far_neighbors+local": partial(halves, makers=(swap_with_far_neighbors, step_within_range)),
}

# Rows of the first are unlike the data on purpose; judged, and calibrated on, are those of the
# second. Calibration at rows of "local" has raised the NLL of students of many classes.
NEAR_MAKERS = {"far_neighbors": "neighbors", "far_neighbors+local": "neighbors"}


def near_maker(augment: Any) -> Any:
    """Return the maker of rows near those at hand that belongs to a maker."""
    return NEAR_MAKERS.get(augment, augment) if isinstance(augment, str) else augment


def fresh_maker(augment: Maker, table: Table) -> Maker:
    """Return a maker of rows that are to those of ``augment`` as new rows are.

    Swaps of the same two rows resemble each other, and a student that has learnt from many of them
    misses its teacher less at another one than at a new row. So columns of several rows are
    mixed. Without made rows, midpoints of near rows are taken, which lie close to the data.
    """
    if augment is None:
        return TableMaker(near_midpoints)
    if isinstance(augment, str):
        maker: Any = ROW_MAKERS[near_maker(augment)]
    elif isinstance(augment, TableMaker):
        maker = augment.make
    else:
        return augment
    swaps = (swap_with_neighbors, swap_with_nearest, swap_column_groups, halves)
    if getattr(maker, "func", maker) not in swaps or sparse.issparse(table.rows):
        return augment
    return TableMaker(partial(maker, several=True))


def make_rows(
    augment: Maker,
    table: Table,
    n_rows: int,
    random_state: np.random.RandomState,
) -> Table:
    """Make further rows.

    Parameters
    ----------
    augment : str, callable or None
        How to make them: a key of `ROW_MAKERS`, a `TableMaker`, or a callable that takes rows in
        the user's container, a number of rows and a random state, and returns rows in such a
        container.
    table : Table
        Rows at hand.
    n_rows : int
        Number of rows to make.
    random_state : RandomState instance
        Source of the random choices.

    Returns
    -------
    Table
        ``n_rows`` rows. None if ``augment`` is None, ``n_rows`` is not positive, or there is one
        row.

    Raises
    ------
    ValueError
        If a callable returns another number of rows or columns, or values that are not finite.
    """
    if augment is None or n_rows <= 0 or len(table) < 2:
        return table.take(slice(0))
    if isinstance(augment, str):
        return ROW_MAKERS[augment](table, n_rows, random_state)
    if isinstance(augment, TableMaker):
        return augment.make(table, n_rows, random_state)
    made = as_container(augment(copy.copy(table.rows), n_rows, random_state))
    if table.rows is table.numbers:
        given = np.asarray(made)
        made = check_array(
            made, dtype=table.numbers.dtype, allow_nd=True, input_name="rows of augment"
        )
        if made.dtype.kind != "f" and not np.array_equal(given, made):
            raise ValueError(
                f"augment must return values that the rows of X can have, of {made.dtype}; got "
                f"values of {given.dtype} that it cannot hold, such as pixels scaled to [0, 1] in "
                "place of bytes."
            )
    expected = (n_rows, *table.rows.shape[1:])
    if np.shape(made) != expected:
        raise ValueError(
            "augment must return the number of rows that it is given, with the columns of X: "
            f"expected shape {expected}; got {np.shape(made)}."
        )
    return table.with_rows(made)


def _pool(table: Table, random_state: np.random.RandomState) -> Table:
    """Return the table, or a random choice of its rows if they are many."""
    if len(table) <= POOL_ROWS:
        return table
    return table.take(random_state.choice(len(table), POOL_ROWS, replace=False))


def _mix_several(
    table: Table,
    n_rows: int,
    random_state: np.random.RandomState,
    n_neighbors: int,
    groups: np.ndarray | None = None,
) -> Table:
    """Return rows whose columns, or groups of columns, are each of any of a row and neighbours."""
    groups = np.arange(table.n_columns) if groups is None else groups
    near = np.column_stack([np.arange(len(table)), find_neighbors(table, n_neighbors)])
    first = cycle(len(table), n_rows, random_state)
    picked = random_state.randint(near.shape[1], size=(n_rows, groups.max() + 1))
    sources = near[first[:, None], picked[:, groups]]
    return table.with_rows(gather_columns(table.rows, sources))


def _swap(
    table: Table,
    first: np.ndarray,
    second: np.ndarray,
    random_state: np.random.RandomState,
    groups: np.ndarray | None = None,
) -> Table:
    """Return rows ``first`` with some columns, or groups of columns, of rows ``second``."""
    groups = np.arange(table.n_columns) if groups is None else groups
    swapped = random_state.uniform(size=(len(first), groups.max() + 1)) < SWAP_PROBABILITY
    return table.with_rows(swap_columns(table.rows, first, second, swapped[:, groups]))


def _blend(table: Table, first: np.ndarray, combine: Callable[[np.ndarray], np.ndarray]) -> Table:
    """Return rows ``first`` with other numbers: ``combine`` of the numbers of all rows."""
    if sparse.issparse(table.rows):
        return table.with_rows(map_sparse_columns(table.rows, combine))
    columns = number_columns(table.rows)
    made = combine(numbers_of(table.rows, columns))
    return table.with_rows(with_numbers(take(table.rows, first), columns, made))
