"""Members' outputs at rows that they were fitted to, moved to where the other members are.

A member that was fitted to a row says there what y was, noise included, and differs less from its
like than elsewhere. Where enough members did not see a row, theirs are the mean and the spread that
the ensemble has on fresh rows; the others keep their order and distances, in that unit.
"""

from __future__ import annotations

import numpy as np

# Fewer members than this that did not see a row say too little of mean and spread.
MIN_UNSEEN = 5


def unseen_mean(outputs, unseen):
    """Mean (n, c) over members that did not see a row, where they are enough, or over all.

    ``outputs`` are (n, c, n_members), ``unseen`` (n, n_members).
    """
    return moments_of_some(outputs, np.where(_enough(unseen)[:, None], unseen, True))[0]


def watch_out_of_bag(blocks, unseen):
    """Yield blocks (n_block, c, n_members), matched; rows beyond ``unseen`` unchanged."""
    start = 0
    for block in blocks:
        rows = unseen[start : start + len(block)]
        start += len(block)
        yield np.concatenate([match_unseen(block[: len(rows)], rows), block[len(rows) :]])


def match_unseen(outputs, unseen):
    """Give members that saw a row the mean and standard deviation of those that did not.

    Parameters
    ----------
    outputs : array of shape (n, c, n_members)
        Of the members.
    unseen : bool array of shape (n, n_members)
        True where the member did not see the row.

    Returns
    -------
    array of shape (n, c, n_members)
        ``outputs`` at unseen entries, and at rows that too few or all members did not see.
    """
    rows = _enough(unseen) & ((~unseen).sum(axis=1) > 1)
    some, others = outputs[rows], unseen[rows]
    centre, variance = moments_of_some(some, others)
    seen_centre, seen_variance = moments_of_some(some, ~others)
    seen_spread = np.sqrt(seen_variance)
    unit = np.divide(
        np.sqrt(variance), seen_spread, out=np.ones_like(variance), where=seen_spread > 0
    )
    moved = centre[..., None] + (some - seen_centre[..., None]) * unit[..., None]
    matched = outputs.copy()
    matched[rows] = np.where(others[:, None], some, moved)
    return matched


def _enough(unseen):
    """Rows that enough members did not see."""
    return unseen.sum(axis=1) >= MIN_UNSEEN


def moments_of_some(outputs, chosen):
    """Mean and variance (n, c) over the chosen (n, n_members) of outputs (n, c, n_members).

    Zeros where none or, for the variance, one alone is chosen.
    """
    counts = chosen.sum(axis=1)[:, None]
    mean = np.einsum("jci,ji->jc", outputs, chosen) / np.maximum(counts, 1)
    squares = np.einsum("jci,ji->jc", (outputs - mean[..., None]) ** 2, chosen)
    return mean, squares / np.maximum(counts - 1, 1)
