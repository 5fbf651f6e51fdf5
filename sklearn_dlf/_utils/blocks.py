"""Blocks of rows, so that memory stays bounded, and some rows of many."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

# Rows at which draws or averages over draws are made at a time. 100 draws of one output take
# 6.5 MB in float64.
DRAW_ROWS = 2**13

# Values at the nodes of a quadrature that are held at a time: 4 MB in float64.
NODES_AT_ONCE = 2**19


def row_blocks(n_rows: int, size: int, first: int = 0) -> Iterator[slice]:
    """Yield slices that cover `n_rows` rows from the first one on, `size` rows each.

    The last slice may be shorter.

    `sklearn.utils.gen_batches` does the same, but it validates its arguments in every call. With it
    the probabilities of one row take a quarter more time.
    """
    for start in range(first, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def rows_within(X: np.ndarray, n_most: int, n_bytes: int) -> int:
    """Return the number of rows, up to ``n_most``, that take ``n_bytes`` at most; one at least."""
    row_bytes = X.nbytes // max(1, len(X))
    return max(1, min(n_most, n_bytes // max(1, row_bytes)))


@lru_cache(64)
def spaced_rows(n_rows: int, n_most: int) -> np.ndarray:
    """Return up to ``n_most`` row numbers at about equal distances, without a draw."""
    numbers = np.unique(np.linspace(0, n_rows - 1, n_most).astype(int))
    numbers.setflags(write=False)  # it is shared by calls with as many rows
    return numbers
