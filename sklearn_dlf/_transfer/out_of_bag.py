"""Members' outputs at rows that they were fitted to, as those of members that were not.

A member that was fitted to a row says there what y was, noise included, and differs less from its
like than elsewhere. Members that did not see the row have the mean and the spread there that the
ensemble has on fresh rows. Either the members' spread at such rows is widened by one factor, found
over all of them, or each row's members are moved to the moments of those that did not see it.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from scipy.special import gammaln

# Fewer members than this that did not see a row say too little of mean and spread there.
MIN_UNSEEN = 5

# Degrees of freedom that an output's factor is found from, at the least: its standard error is then
# some seven per cent.
MIN_DEGREES = 100


def watch_widened(blocks, unseen, weights=None):
    """Yield blocks (n_block, c, n_members) with the spread that members have on fresh rows.

    The factor is found at the first block. Rows beyond ``unseen`` (n, n_members) are unchanged, as
    are all where it is None.
    """
    blocks = iter(blocks)
    first = next(blocks)
    factor = np.ones(first.shape[1])
    if unseen is not None:
        own = first[: len(unseen)]
        factor = spread_at_unseen(
            own, unseen[: len(own)], None if weights is None else weights[: len(own)]
        )
    n_left = 0 if unseen is None else len(unseen)
    for block in chain([first], blocks):
        n_own, n_left = min(n_left, len(block)), max(n_left - len(block), 0)
        if n_own and (factor > 1).any():
            own = block[:n_own]
            centre = own.mean(axis=-1, keepdims=True)
            own = centre + (own - centre) * factor[:, None]
            block = np.concatenate([own, block[n_own:]])
        yield block


def spread_at_unseen(outputs, unseen, weights=None):
    """Spread of members that did not see a row over that of all members, at least one, (c,).

    Both are mean standard deviations over rows that two or more members did not see, each without
    the bias that few members have under normality. Means of variances would be those of few rows.

    Parameters
    ----------
    outputs : array of shape (n, c, n_members)
        Of the members, at rows of their fit.
    unseen : bool array of shape (n, n_members)
        True where the member did not see the row.
    weights : array of shape (n,), default=None
        Of the rows.

    Returns
    -------
    array of shape (c,)
        Ones where too few members are known not to have seen rows.
    """
    counts = unseen.sum(axis=1)
    rows = counts >= 2
    if weights is not None:
        rows &= weights > 0
        weights = weights[rows]
    some, counts = outputs[rows], counts[rows]
    factor = np.ones(outputs.shape[1])
    if (counts - 1).sum() < MIN_DEGREES:
        return factor
    fresh = np.sqrt(moments_of_some(some, unseen[rows])[1]) / _std_bias(counts)[:, None]
    fresh = np.average(fresh, axis=0, weights=weights)
    spread = np.average(some.std(axis=-1, ddof=1), axis=0, weights=weights)
    spread /= _std_bias(outputs.shape[-1])
    np.divide(fresh, spread, out=factor, where=spread > 0)
    return np.maximum(factor, 1.0)


def _std_bias(n):
    """Expected standard deviation of ``n`` standard normal draws."""
    return np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))


def unseen_mean(outputs, unseen):
    """Mean (n, c) over members that did not see a row, where they are enough, or over all.

    ``outputs`` are (n, c, n_members), ``unseen`` (n, n_members).
    """
    return moments_of_some(outputs, np.where(_enough(unseen)[:, None], unseen, True))[0]


def watch_matched(blocks, unseen):
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
