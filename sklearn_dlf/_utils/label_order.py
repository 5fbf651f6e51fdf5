"""Whether labels are likelier under other names."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from .blocks import spaced_rows
from .significance import effective_number, mean_in_errors

# Probabilities below this count as this: no single row decides.
LEAST_PROBABILITY = 0.01

# The rows whose labels would have other names gain so many nats on average, and so many standard
# errors. There are at least so many of them, and of each label.
LEAST_GAIN, Z, LEAST_ROWS, LEAST_OF_LABEL = 0.15, 5.0, 20, 5

# More rows are not needed; they are taken at equal distances.
MAX_ROWS = 5_000

# Rounds in which probabilities are multiplied until their means are the frequencies of labels.
N_ROUNDS = 30


def with_frequencies(
    probabilities: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return probabilities (n, n_classes) times a ratio of each class, with labels' frequencies.

    So a class that is more or less frequent than it was is no evidence against them.
    """
    frequencies = np.bincount(codes, weights, minlength=probabilities.shape[1]) / weights.sum()
    result = np.maximum(probabilities, np.finfo(np.float64).tiny)
    for _ in range(N_ROUNDS):
        mean = np.average(result, axis=0, weights=weights)
        result = result * (np.maximum(frequencies, np.finfo(np.float64).tiny) / mean)
        result /= result.sum(axis=1, keepdims=True)
    return result


def find_renamed(
    probabilities: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> dict[int, int]:
    """Return which labels are likelier under another name, and this name.

    Names are permuted: the rows of all labels together are likeliest under them. Names are taken
    from every second row, and tested at the others. Other frequencies of labels are no evidence, so
    that swapped names of a common and a rare label are not found.

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
    rows = np.flatnonzero(weights > 0)
    if len(rows) > MAX_ROWS:
        rows = rows[spaced_rows(len(rows), MAX_ROWS)]
    probabilities, codes, weights = (each[rows] for each in (probabilities, codes, weights))
    if len(codes) < LEAST_ROWS:
        return {}
    fair = with_frequencies(probabilities, codes, weights)
    logarithms = np.log(np.maximum(fair, LEAST_PROBABILITY))
    is_even = np.arange(len(codes)) % 2 == 0
    gains = np.zeros(len(codes))
    for learnt, tested in ((is_even, ~is_even), (~is_even, is_even)):
        names = _best_names(logarithms[learnt], codes[learnt], weights[learnt])
        own = logarithms[tested, codes[tested]]
        gains[tested] = logarithms[tested, names[codes[tested]]] - own
    names = _best_names(logarithms, codes, weights)
    moved = names[codes] != codes
    if not moved.any() or effective_number(weights[moved]) < LEAST_ROWS:
        return {}
    gain, in_errors = gains[moved], mean_in_errors(gains[moved], weights[moved])
    if np.average(gain, weights=weights[moved]) < LEAST_GAIN or in_errors < Z:
        return {}
    return {code: int(names[code]) for code in np.unique(codes[moved]).tolist()}


def _best_names(logarithms: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the names (n_classes,) under which labels are likeliest; rare labels keep theirs."""
    names = np.arange(logarithms.shape[1])
    common = np.flatnonzero(np.bincount(codes, minlength=len(names)) >= LEAST_OF_LABEL)
    if len(common) < 2:
        return names
    sums = np.stack([weights[codes == code] @ logarithms[codes == code] for code in common])
    _, best = linear_sum_assignment(-sums[:, common])
    names[common] = common[best]
    return names
