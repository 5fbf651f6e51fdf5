"""Warnings of new rows whose y seems to mean something else than that of `fit`.

`update` takes for granted that it means the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.conformal import center_and_unit
from .._predictive.target_noise import TargetNoise
from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user
from .value_update import ValueUpdate

# Fewer rows tell too little; of more rows, so many are enough.
LEAST_ROWS, MOST_ROWS = 5, 200

# Median distance of values from the student's predictions, in units of what it thought possible: it
# is 0.67 where the student is right.
MAX_DISTANCE = 3.0

REMEDY = (
    "update holds the student to what it predicted at the rows of fit. If y means something else "
    "now ({}), call reset_update, and adapt with all rows of the new meaning. If it means the "
    "same, the student was far off here: compare its predictions with y at further rows."
)


def warn_of_other_values(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    noise: TargetNoise,
    members: Any,
    fitted: Any,
    update: ValueUpdate,
) -> None:
    """Warn if values of y are far from all that the student thought possible.

    Parameters
    ----------
    rows : tuple of arrays (n, *row_shape), (n, n_outputs) and (n,)
        Standardised rows, values and weights.
    noise : TargetNoise
        Noise of y around the members.
    members, fitted : StudentMembers
        Members of the student before this update, and as it was fitted.
    update : ValueUpdate
        Tells where features are unlike those of the rows of `fit`.
    """
    X, y, weights = (each[rows[2] > 0] for each in rows)
    if len(X) < LEAST_ROWS:
        return
    X, y = (each[spaced_rows(len(X), MOST_ROWS)] for each in (X, y))
    center, unit = center_and_unit(X, members, noise)
    variance = unit**2 + update.unknown_variance(fitted, X)
    distance = np.median(np.abs(y - center) / np.sqrt(variance), axis=0)
    if distance.max() > MAX_DISTANCE:
        where = f" of output {distance.argmax()}" if len(distance) > 1 else ""
        warn_user(
            f"New values of y{where} are far from all that the student thought possible: half of "
            f"them are more than {distance.max():.2g} standard deviations away. "
            + REMEDY.format("such as other units")
        )
