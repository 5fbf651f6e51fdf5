"""A map of a student's classes to new labels: what each old class is called now.

``T[c, k]`` is the probability that a row of the old class c has the new label k. A row with
probabilities P of the old classes has the label k with probability ``P T``. The map acts on
probabilities, so that members that disagree before still do so after it.

Mostly every old class has one name now. With some rows of each class, a map of any shares takes the
errors of the student for a change of meaning: one error in five rows of a class is a fifth. So maps
of names are tried beside those of shares. The one under which held-out labels are likeliest is
taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .._utils.warning import warn_user

# Pseudo-counts of each entry of a map, over which cross-validation chooses: the Dirichlet prior.
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

# Probability that a row of an old class has another label than its name, over which
# cross-validation chooses, beside maps of shares.
ERRORS = (0.001, 0.01, 0.03)

# Pseudo-count where none can be chosen, and under which names are found.
MIDDLE_STRENGTH = 0.1

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


def name_classes(probabilities: np.ndarray, labels: np.ndarray, error: float) -> np.ndarray:
    """Return the map (C, K) under which every old class has one name, but for errors.

    ``error`` is the probability of another label than the name, all labels alike. Classes that are
    the likeliest one of no row have the names that no other class has, all alike, or the shares of
    `learn_map` if there are none. The other parameters are those of `learn_map`.
    """
    label_map = learn_map(probabilities, labels, MIDDLE_STRENGTH)
    is_there = np.bincount(probabilities.argmax(axis=1), minlength=len(label_map)) > 0
    names = np.eye(labels.shape[1])[label_map[is_there].argmax(axis=1)]
    label_map[is_there] = names
    is_free = ~names.any(axis=0)
    if is_free.any():
        label_map[~is_there] = is_free / is_free.sum()
    return (1 - error) * label_map + error / labels.shape[1]


def map_learners() -> list[Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return ways to learn a map from probabilities and labels, the simplest first."""
    named = [partial(name_classes, error=error) for error in ERRORS]
    return [*named, *(partial(learn_map, strength=strength) for strength in STRENGTHS)]


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
