"""Members that did not see a row, but saw an equal one with the same y.

Merged or oversampled tables, and rows that were drawn with replacement, hold rows several times. A
member whose own sample lacks one of them may have had its copy: it has learnt that y, and its
residual there is none of a new row.

Rows of few different values may be equal by chance. They are copies if their y are equal far more
often than those of any two rows.
"""

from __future__ import annotations

import numpy as np

from .._rows.table import Table
from .._utils.equal_rows import join_equal_rows
from .._utils.warning import warn_user
from ..exceptions import SeenRowsWarning

# `fit` warns if copies leave less than this share of the rows that some member did not see.
LEAST_SHARE = 0.5

# Equal y of equal rows are copies if no more than this share of all pairs of rows have equal y, or
# if equal rows have equal y in more than half of the cases that chance leaves. A choice.
CHANCE = 0.01


def unseen_with_copies(unseen: np.ndarray, table: Table, y: np.ndarray) -> np.ndarray:
    """Return which rows a member did not see, nor any copy of them.

    Parameters
    ----------
    unseen : bool array of shape (n, n_members)
        Rows that each member did not see.
    table : Table
        The rows.
    y : array of shape (n_labelled,) or (n_labelled, n_outputs)
        Values of the first rows. Rows with another y are no copies.
    """
    n_rows = min(len(y), len(unseen))
    codes = Table(table.column_codes()) if table.is_tabular else table
    value, n_equal_values = _group(join_equal_rows(y[:n_rows])[1])
    row, n_equal_rows = _group(codes.hashes()[:n_rows])
    kind, n_copies = _group(row * len(n_equal_values) + value)
    if not n_copies.max(initial=1) > 1:
        return unseen
    share = _pairs(n_copies) / _pairs(n_equal_rows)
    by_chance = _pairs(n_equal_values) / (n_rows * (n_rows - 1) / 2)
    if by_chance > CHANCE and share < (1 + by_chance) / 2:
        return unseen
    copies = np.flatnonzero(n_copies[kind] > 1)
    order = copies[np.argsort(kind[copies], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(kind[order]) > 0])
    by_none = np.logical_and.reduceat(unseen[order], starts, axis=0)
    known = unseen.copy()
    known[order] = np.repeat(by_none, np.diff(np.r_[starts, len(order)]), axis=0)
    return known


def warn_of_copies(unseen: np.ndarray, known: np.ndarray) -> None:
    """Warn if copies leave few of the rows that some member did not see, by both records."""
    n_before, n_left = (np.count_nonzero(each.any(axis=1)) for each in (unseen, known))
    if n_left < LEAST_SHARE * n_before:
        warn_user(
            "Most rows of X occur several times, with the same y. Of only "
            f"{n_left} of {len(unseen)} rows has a member seen neither the row nor a copy, so that "
            "the noise of y is hardly known: its intervals may be too narrow. Fit the ensemble and "
            "the student to each row once, with sample_weight for the number of copies, or call "
            "conformalize(X, y) with held-out rows.",
            SeenRowsWarning,
        )


def _group(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the group (n,) of each key, and the size of each group."""
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    return group, sizes


def _pairs(sizes: np.ndarray) -> float:
    """Return the number of pairs within groups of these sizes."""
    return float((sizes * (sizes - 1.0)).sum() / 2)
