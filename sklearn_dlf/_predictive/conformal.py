"""Split conformal prediction: quantiles of y with a guarantee, from held-out rows.

The residual of y at a held-out row, in units of the student's own predictive distribution there, is
its score. If held-out and new rows are exchangeable, the score of a new row has any rank among the
``n`` held-out ones with probability ``1 / (n + 1)`` [Vovk2005]_. So the quantiles of y at a new row
are quantiles of the scores, multiplied by the student's unit at that row: intervals stay wide where
the student is uncertain, and narrow where it is not.

References
----------
.. [Vovk2005] Vovk, Gammerman, Shafer. "Algorithmic Learning in a Random World". Springer 2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.blocks import DRAW_ROWS, row_blocks
from .._utils.warning import warn_user
from .target_distribution import TargetDistribution
from .target_noise import TargetNoise

# The unit of scores is the distance of the student's own quantile at this level from its median:
# about a standard deviation, but finite for any noise of y.
UNIT_LEVEL = 0.84

# Median size of scores: 0.67 where the student is right. From this one on, rows or values are
# probably not those that were meant. A choice.
MAX_SCORE = 3.0

# A rank such as 20 * 0.05 is off by some 1e-15; a wrong rank is off by one.
RANK_TOLERANCE = 1e-9


def center_and_unit(
    X: np.ndarray, members: Any, noise: TargetNoise | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return center and unit (n, n_outputs) of a student's predictive distribution at rows.

    ``members`` are a StudentMembers with moments. Without the noise of y, the unit is their
    standard deviation.
    """
    tiny = np.finfo(np.float64).tiny
    has_law = noise is not None and noise.takes_law and members.law is not None
    if noise is not None and not has_law:  # symmetric: the scores of both sides are kept apart
        ends = TargetDistribution(members, noise.with_skewness(1.0)).quantiles(X, [0.5, UNIT_LEVEL])
        return ends[..., 0], np.maximum(ends[..., 1] - ends[..., 0], tiny)
    center, unit = np.empty((2, len(X), members.n_outputs))
    for rows in row_blocks(len(X), DRAW_ROWS):
        moments = members.moments(X[rows])
        center[rows], unit[rows] = moments.mean, np.sqrt(moments.variance)
    if noise is not None:  # the median may lie far from the mean
        ends = TargetDistribution(members, noise).quantiles(X, [1 - UNIT_LEVEL, UNIT_LEVEL])
        unit = 0.5 * (ends[..., 1] - ends[..., 0])
    return center, np.maximum(unit, tiny)


def conformal_quantiles(
    scores: np.ndarray, center: np.ndarray, unit: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Return quantiles of y (n, n_outputs, n_levels).

    Parameters
    ----------
    scores : array of shape (n_held_out, n_outputs)
        Sorted scores of the held-out rows.
    center, unit : arrays of shape (n, n_outputs)
        Center and unit of the student's predictive distribution at new rows.
    levels : array of shape (n_levels,)
        Levels, strictly between 0 and 1. Below one half, y is less than the quantile with at most
        that probability; otherwise it is at most the quantile with at least that probability.

    Raises
    ------
    ValueError
        If there are too few held-out rows for a level.
    """
    places = (len(scores) + 1) * np.asarray(levels)
    ranks = np.where(
        np.asarray(levels) < 0.5,
        np.floor(places + RANK_TOLERANCE),
        np.ceil(places - RANK_TOLERANCE),
    ).astype(int)
    outside = (ranks < 1) | (ranks > len(scores))
    if outside.any():
        level = np.asarray(levels)[outside][0]
        raise ValueError(
            f"A quantile at level {level:g} needs at least {rows_needed(level):.15g} rows in "
            f"conformalize; got {len(scores)}. Give more rows there, or take levels nearer to one "
            "half."
        )
    return center[..., None] + unit[..., None] * scores[ranks - 1].T


def rows_needed(level: float) -> float:
    """Return the least number of held-out rows for a quantile at a level."""
    return np.ceil(1 / min(level, 1 - level) - RANK_TOLERANCE) - 1


def warn_of_far_scores(scores: np.ndarray) -> None:
    """Warn if scores (n, n_outputs) of the student's whole predictive distribution are far off."""
    if not len(scores):
        return
    size = np.median(np.abs(scores), axis=0)
    if size.max() > MAX_SCORE:
        where = f" of output {size.argmax()}" if len(size) > 1 else ""
        warn_user(
            f"Values of y{where} in conformalize are far from all that the student thought "
            f"possible: half of them are more than {size.max():.2g} standard deviations away, and "
            "intervals become as wide. They hold for rows and values like these only. Are both in "
            "the units of fit, and is each y that of its row?"
        )
