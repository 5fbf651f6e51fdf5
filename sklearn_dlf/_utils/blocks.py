"""Blocks of rows."""

from __future__ import annotations


def row_blocks(n_rows, size):
    """Slices of ``size`` rows each, and of what is left.

    As ``sklearn.utils.gen_batches``, which checks its arguments at every call; with it the
    probabilities of one row take a quarter longer.
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
