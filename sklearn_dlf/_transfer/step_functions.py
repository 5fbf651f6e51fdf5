"""Whether the members of a teacher are step functions, as trees are.

They are evaluated, so that it does not matter of which package they are, and what is around them.
Where rows move by a tiny step of their columns, smooth members change a little almost everywhere,
and step functions do not change at all almost everywhere.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from scipy import sparse

from .._rows.containers import (
    as_container,
    as_floating,
    concatenate,
    number_columns,
    numbers_of,
    take,
    with_numbers,
)
from .._rows.preprocessors import MAX_SPARSE_COLUMNS
from .._rows.table import Table
from .._utils.blocks import spaced_rows
from .._utils.equal_rows import join_equal_rows
from .._utils.standardise import column_std, in_units
from .teacher import Teacher

# Rows that are moved. Shares of outputs have standard errors of a few per cent then.
N_ROWS = 200

# Sparse rows that are made dense, of as many columns as `preprocessors` leaves as they are.
MAX_DENSE_ROWS = 10_000

# A tiny step and a large one, in interquartile ranges of the column. Boosted trees may have a
# thousand thresholds on the way of a row; nearly none of them lies within a tiny step.
TINY, LARGE = 1e-5, 0.3

# A tiny step moves each value by at least this many spacings of float32, in which trees and
# networks may read it.
N_SPACINGS = 16

# The large step says what a smooth member would do in the tiny one. The output is judged if that is
# at least this many roundings of it.
N_ROUNDINGS = 8

# Fewer judged outputs than this say nothing.
MIN_JUDGED = 30

# Members are step functions if at least this share of the judged outputs is unchanged.
UNCHANGED = 0.8

# Given predictions: rows and members that are looked at, and the share of a member's outputs that
# recur at another row. Rows in the same leaf share one. Numbers of a smooth function hardly recur.
MAX_GIVEN_ROWS, MAX_GIVEN_MEMBERS, RECURRING = 2_000, 20, 0.2


def has_steps(teacher: Teacher, table: Table) -> bool:
    """Return whether the members are step functions; False if that cannot be known.

    A teacher that can be evaluated is evaluated once, at 600 rows at most. Otherwise it is judged
    by whether the members' outputs recur at different rows of the table, those of `fit`. Draws from
    a posterior are smooth.
    """
    either: Any = teacher  # attributes of either kind of teacher
    if either.is_drawn:
        return False
    if not either.can_be_evaluated:
        picked = spaced_rows(len(table), MAX_GIVEN_ROWS)
        different, _ = join_equal_rows(table.numbers[picked])
        return _recurs(either.predictions[picked[different]])
    container, sparse_type = as_container(either.X), None
    if sparse.issparse(container) and container.shape[1] <= MAX_SPARSE_COLUMNS:
        sparse_type = type(container)
        container = container[spaced_rows(container.shape[0], MAX_DENSE_ROWS)].toarray()
    columns = number_columns(container)
    if not len(columns):  # columns of strings, many sparse ones, rows that are no table
        return False
    every = numbers_of(container, columns)
    picked = spaced_rows(len(every), N_ROWS)
    start = as_floating(take(container, picked), columns)
    tiny, large = _steps(every, every[picked])
    # Thresholds may be values of the rows themselves. So a tiny step away from them is the start.
    moved = [with_numbers(start, columns, every[picked] + move) for move in (tiny, 2 * tiny, large)]
    try:
        rows = reduce(concatenate, moved)
        rows = rows if sparse_type is None else sparse_type(rows)
        outputs = either.predict(rows, teacher.is_transformed)
    except Exception:  # encoders refuse values between integers, each package by its own error
        return False
    return _is_unchanged(*np.split(outputs, 3))


def _steps(X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a tiny and a large step for each entry of ``rows`` (n, n_features).

    Steps stay within the range of each column, outside of which a member may not be defined.
    Columns of integers may be codes and are left as they are, unless there are no others.
    """
    low, high = np.nanpercentile(X, [25, 75], axis=0)
    unit = np.where(high > low, high - low, column_std(X, np.nanstd))
    is_moved = (np.mod(X, 1) != 0).any(axis=0, where=~np.isnan(X))
    unit = np.where(is_moved, unit, 0) if is_moved.any() else unit
    entries, exponents = in_units(np.abs(rows))  # float32 may not hold the values themselves
    spacing = np.ldexp(np.spacing(entries.astype(np.float32)).astype(np.float64), exponents)
    inwards = np.where(rows + LARGE * unit > np.nanmax(X, axis=0), -1.0, 1.0)
    tiny = np.where(unit > 0, np.maximum(TINY * unit, N_SPACINGS * spacing), 0)
    return inwards * tiny, inwards * LARGE * unit


def _is_unchanged(outputs: np.ndarray, tiny: np.ndarray, large: np.ndarray) -> bool:
    """Return whether nearly all outputs that would change in a tiny step, if smooth, have not.

    Takes members' outputs at the rows, and at rows that are a tiny and a large step away.
    """
    is_single = np.array_equal(outputs, outputs.astype(np.float32))
    rounding = np.finfo(np.float32 if is_single else np.float64).eps * np.abs(outputs)
    expected = np.abs(large - outputs) * (TINY / LARGE)
    judged = expected > N_ROUNDINGS * rounding
    if np.count_nonzero(judged) < MIN_JUDGED:
        return False
    return bool(np.mean((tiny == outputs)[judged]) >= UNCHANGED)


def _recurs(outputs: np.ndarray) -> bool:
    """Return whether outputs (n, [n_outputs,] n_members) recur as those of trees do.

    Most members have to. The two most frequent values of a member do not count: smooth outputs may
    be clipped at either end, and probabilities are rounded to 0 and 1. Trees may have no others.
    """
    if np.isin(outputs, (0, 1)).all():
        return True
    some = outputs[..., spaced_rows(outputs.shape[-1], MAX_GIVEN_MEMBERS)]
    shares = []
    for column in some.reshape(len(some), -1).T:
        counts = np.sort(np.unique(column, return_counts=True)[1])[:-2]
        if counts.sum() >= MIN_JUDGED:
            shares.append(counts[counts > 1].sum() / counts.sum())
    return bool(shares) and bool(np.median(shares) >= RECURRING)
