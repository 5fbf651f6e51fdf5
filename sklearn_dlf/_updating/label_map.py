"""A map of a student's classes to new labels: what each old class is called now.

``T[c, k]`` is the probability that a row of the old class c has the new label k. A row with
probabilities P of the old classes has the label k with probability ``P T``. The map acts on
probabilities, so that members that disagree before still do so after it.
"""

from __future__ import annotations

import numpy as np

from .._utils.warning import warn_user

# Pseudo-counts of each entry of a map, over which cross-validation chooses: the Dirichlet prior.
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

# A label of fewer rows gives a warning, which names so many of them.
LEAST_ROWS, MAX_SHOWN = 10, 5

# EM ends when no entry changes by more, or after so many steps.
TOLERANCE, MAX_STEPS = 1e-6, 500


def learn_map(probabilities: np.ndarray, labels: np.ndarray, strength: float) -> np.ndarray:
    """Return the most probable map (C, K), by EM.

    The logarithm of the posterior is concave, so that there is one maximum.

    Parameters
    ----------
    probabilities : array of shape (n, C)
        Probabilities of the old classes.
    labels : array of shape (n, K)
        One in the column of the new label, times the weight of the row, and zero elsewhere.
    strength : float
        Pseudo-count of each entry, positive.
    """
    shape = probabilities.shape[1], labels.shape[1]
    label_map = np.full(shape, 1 / shape[1])
    for _ in range(MAX_STEPS):
        # E-step: how many rows of each label were of each old class; M-step: their shares.
        mapped = np.maximum(probabilities @ label_map, np.finfo(np.float64).tiny)
        counts = label_map * (probabilities.T @ (labels / mapped)) + strength
        renewed = counts / counts.sum(axis=1, keepdims=True)
        change = np.abs(renewed - label_map).max()
        label_map = renewed
        if change < TOLERANCE:
            break
    return label_map


def warn_of_few_labels(labels: np.ndarray, names: np.ndarray) -> None:
    """Warn if a label has few rows (n, K), which hardly determine its part of the map.

    A weight is a number of equal rows, which tell less than as many different ones.
    """
    counts = np.count_nonzero(labels, axis=0)
    few = np.flatnonzero(counts < LEAST_ROWS)
    if not len(few):
        return
    shown = ", ".join(f"{names[k]!s} has {counts[k]}" for k in few[:MAX_SHOWN])
    warn_user(
        f"What labels mean now was learnt from few rows of some: {shown}. Their probabilities may "
        "be far off, by more than predict_uncertainty and drawn members say: these take the map "
        "of classes to labels for certain. Give at least ten rows of each label. If you know which "
        "class has which name, give y the names of fit, and call update, or "
        "adapt(labels='kept')."
    )


def keep_map(labels: np.ndarray, columns: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Return the map (C, K) under which old classes keep their names.

    Parameters
    ----------
    labels : array of shape (n, K)
        As for `learn_map`.
    columns : int array of shape (C,)
        Column of each old class. Other columns are new classes, of which every old class gives
        the share that they have among the rows.
    strength : float
        Pseudo-count of each class in these shares.
    """
    n_labels = labels.shape[1]
    is_new = np.ones(n_labels, dtype=bool)
    is_new[columns] = False
    label_map = np.zeros((len(columns), n_labels))
    label_map[np.arange(len(columns)), columns] = 1.0
    if is_new.any():
        counts = labels.sum(axis=0) + strength
        shares = np.where(is_new, counts / counts.sum(), 0.0)
        label_map = (1 - shares.sum()) * label_map + shares
    return label_map
