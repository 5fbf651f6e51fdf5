"""Whether labels are likelier under other names."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from .significance import mean_in_errors

# Probabilities below this count as this: no single row decides.
LEAST_PROBABILITY = 0.01

# The rows whose labels would have other names gain so many nats on average, and so many standard
# errors. There are at least so many of them.
LEAST_GAIN, Z, LEAST_ROWS = 0.15, 5.0, 20


def find_renamed(
    probabilities: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> dict[int, int]:
    """Return which labels are likelier under another name, and this name.

    Names are permuted: the rows of all labels together are likeliest under them.

    Parameters
    ----------
    probabilities : array of shape (n, n_classes)
        Probabilities at rows.
    codes : int array of shape (n,)
        Columns of the labels there.
    weights : array of shape (n,)
        Weights of the rows.

    Returns
    -------
    dict
        Columns of labels and of the names that they should have. Empty if names are right, or if
        the rows do not show that they are not.
    """
    logarithms = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    n_classes = probabilities.shape[1]
    sums = np.zeros((n_classes, n_classes))
    np.add.at(sums, codes, weights[:, None] * logarithms)
    _, names = linear_sum_assignment(-sums)
    moved = np.flatnonzero(names[codes] != codes)
    if len(moved) < LEAST_ROWS:
        return {}
    gains = logarithms[moved, names[codes[moved]]] - logarithms[moved, codes[moved]]
    own = weights[moved]
    if np.average(gains, weights=own) < LEAST_GAIN or mean_in_errors(gains, own) < Z:
        return {}
    return {code: int(names[code]) for code in np.unique(codes[moved]).tolist()}
