"""Whether a function of the user's that is a teacher returns the same for the same rows.

A student learns one prediction of a member at a row. A network in training mode, whose dropout
draws anew in each call, has many, and looks more uncertain than it is. Modules in lists are put
into evaluation mode; what a function calls cannot be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user
from ..ensembles._fitted_ensemble import without_wrapper
from ..ensembles._member_models import kind_of

# Rows at which functions are called twice.
N_ROWS = 4

# Differences below this share of the size of the outputs may be rounding.
ROUNDING = 1e-3


def warn_if_calls_differ(teacher: Any, ensemble: Any) -> None:
    """Warn if an ensemble of functions, which a teacher evaluates, differs from call to call."""
    if not teacher.can_be_evaluated or not _has_function(ensemble):
        return
    numbers = spaced_rows(_num_samples(teacher.X), N_ROWS)
    n_first = (len(numbers) + 1) // 2  # in other company, in which batches have other moments
    first, second = (
        teacher.predict(_safe_indexing(teacher.X, rows), teacher.is_transformed)[:n_first]
        for rows in (numbers, numbers[:n_first])
    )
    difference = np.abs(first - second).max()
    if difference > ROUNDING * np.abs(first).max():
        warn_user(
            "The ensemble returns something else each time that it is called with the same rows: "
            f"its outputs differ by up to {difference:.2g}. A student takes this for a difference "
            "between members. If networks draw dropout, or normalise by batches, call their eval() "
            "before. If members are drawn, draw them once, and let the function use these."
        )


def _has_function(ensemble: Any) -> bool:
    """Return whether an ensemble is a function of the user's, or has one among its members."""
    models = without_wrapper(ensemble)
    models = models if isinstance(models, list | tuple) else [models]
    return any(
        callable(model) and not hasattr(model, "eval") and kind_of(model) is None
        for model in models
    )
