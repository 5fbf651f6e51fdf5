"""Members that did not see a row, but saw an equal one with the same y.

Merged or oversampled tables, and rows that were drawn with replacement, hold rows several times. A
member whose own sample lacks one of them may have had its copy: it has learnt that y, and its
residual there is none of a new row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._utils.blocks import row_blocks
from .._utils.warning import warn_user
from ..exceptions import SeenRowsWarning

# Rows that are compared at a time, so that memory stays bounded.
BLOCK_ROWS = 2**16


# Copies are told if they leave less than this share of the rows that some member did not see.
LEAST_SHARE = 0.5


def unseen_with_copies(unseen: np.ndarray, numbers: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which rows a member did not see, nor any copy of them.

    Parameters
    ----------
    unseen : bool array of shape (n, n_members)
        Rows that each member did not see.
    numbers : array of shape (n, *row_shape)
        The rows.
    y : array of shape (n_labelled,) or (n_labelled, n_outputs)
        Values or labels of the first rows. Rows with another y are no copies.
    """
    n_rows = min(len(y), len(unseen))
    codes = np.unique(y[:n_rows], axis=0, return_inverse=True)[1].ravel()
    kinds = np.fromiter(_hashes(numbers[:n_rows], codes), dtype=np.int64, count=n_rows)
    _, kind, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    copies = np.flatnonzero(counts[kind] > 1)
    if not len(copies):
        return unseen
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


def _hashes(numbers: np.ndarray, codes: np.ndarray) -> Iterator[int]:
    """Yield a number for each row and the code of its y, which is the same if both are equal."""
    for rows in row_blocks(len(numbers), BLOCK_ROWS):
        block = np.asarray(numbers[rows]) + 0  # no negative zeros
        flat = np.ascontiguousarray(block).reshape(len(block), -1)
        for row, code in zip(flat, codes[rows].tolist(), strict=True):
            yield hash((row.tobytes(), code))
