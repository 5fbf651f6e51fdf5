"""Folds that depend neither on the order of the rows, nor on whether equal rows are joined."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from .._utils.significance import mean_in_errors

# y is taken to have another meaning if all held-out rows together are likelier by so many nats. On
# digits with labels flipped the gain is above it from ten rows up; on rows whose labels have kept
# their meaning it stays below 2 (`benchmarks/shift.py`). Of classes, `ClassAdapter.adapt` has more.
LEAST_GAIN = 3.0

# Folds, and rows beyond which only the first fold is held out: it is large enough then.
N_FOLDS, MANY_ROWS = 5, 2_000


def make_folds(kinds: Sequence[Hashable]) -> np.ndarray:
    """Return the fold of each row (n_rows,), such that all folds have equal shares of each kind."""
    of_kind: dict[Hashable, list[int]] = {}
    for row, kind in enumerate(kinds):
        of_kind.setdefault(kind, []).append(row)
    order = np.concatenate([np.array(rows) for rows in of_kind.values()])
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % N_FOLDS
    return folds


def splits(folds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield numbers of rows to learn from, and of rows to hold out; none if there is one row."""
    for fold in range(1 if len(folds) > MANY_ROWS else N_FOLDS):
        held_out = folds == fold
        if held_out.any() and not held_out.all():
            yield np.flatnonzero(~held_out), np.flatnonzero(held_out)


def is_less(one: np.ndarray, other: np.ndarray, weights: np.ndarray, n_errors: float) -> bool:
    """Return whether losses (n,) of held-out rows are less than others.

    The mean difference has to exceed a number of its standard errors. It is NaN at rows that were
    never held out.
    """
    known = ~np.isnan(other - one)
    if not known.any():
        return False
    return mean_in_errors((other - one)[known], weights[known]) > n_errors
