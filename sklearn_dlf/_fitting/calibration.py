"""A trained student made to say of classes what the ensemble does, by two factors.

One temperature of the members' logits, as classifiers are calibrated by [Guo2017], gives their
averaged probabilities the least cross-entropy with the ensemble's. A small network that serves
design points as far as the ensemble is in doubt may doubt too much among the rows of `fit`.

Spread is fitted in logits. Where members' logits are not Gaussian, or their spread is large where
probabilities hardly change, the information that it carries about the class, in probabilities, is
another. One factor of it makes its mean that of the ensemble's members.

Both are found at rows that are made for it, mostly near those of `fit`, and are no design points:
neither the members nor the student have learnt from them, and members agree too much at rows of
their own fit. Where there are too few such rows, the design points serve. Where the spread that the
ensemble has would flatten the averages of Gaussian members, as that of trees does, the averages
come first.

References
----------
.. [Guo2017] Guo, Pleiss, Sun, Weinberger. "On Calibration of Modern Neural Networks". ICML 2017,
   arXiv:1706.04599.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from .._predictive.averaged_probabilities import average_probabilities
from .._predictive.logits import entropies, probabilities_from_latent

# Rows that means are taken over, at the most.
N_ROWS = 2_000

# Averaged probabilities are lifted to the least that float32 tells from zero, whose logarithm is
# finite.
LEAST_PROBABILITY = np.finfo(np.float32).tiny

# Averaged probabilities may lose this share of their cross-entropy by a larger spread.
MAX_LOSS = 0.01

# Logarithms of both factors lie within these bounds, and are found to the tolerance. As each
# depends a little on the other, they are found by turns so often.
LOG_BOUNDS, TOLERANCE, N_ROUNDS = (np.log(0.5), np.log(2.0)), 0.005, 3


class Said(NamedTuple):
    """What an ensemble says at some rows.

    Attributes
    ----------
    X : float32 array of shape (n, n_features)
        Standardised rows.
    probabilities : array of shape (n, n_classes)
        Average over the members.
    information : float
        Mean mutual information of class and member, in nats.
    weights : array of shape (n,)
        Of the rows.
    """

    X: np.ndarray
    probabilities: np.ndarray
    information: float
    weights: np.ndarray


def said_by_ensemble(X, watcher, contrasts, random_state):
    """What was watched at rows of the calibration, the last of X; at design points if none are."""
    n_design = watcher.n_design
    if len(X) > n_design:
        rows, entropy = np.arange(n_design, len(X)), watcher.entropy
        averaged, weights = watcher.probabilities[rows], np.ones(len(rows))
    else:
        rows = np.flatnonzero(contrasts.weights > 0)
        if len(rows) > N_ROWS:
            rows = random_state.choice(rows, N_ROWS, replace=False)
        members = contrasts.center[:, None] + contrasts.scale[:, None] * contrasts.members(rows)
        members = probabilities_from_latent(members)
        averaged, entropy = members.mean(axis=-1), entropies(members).mean(axis=-1)
        weights = contrasts.weights[rows]
    information = mean_information(averaged, entropy, weights)
    return Said(X[rows], watcher.probabilities[rows], information, weights)


def calibrate(student, said, contrasts):
    """Scale the student's logits, mean and spread alike, and the spread alone.

    Parameters
    ----------
    student : Student
        Trained; its heads are scaled.
    said : Said
        By the ensemble.
    contrasts : Contrasts
        Of the members, whose units are the student's.
    """
    units = contrasts.center, contrasts.scale, contrasts.spread
    sharpness, spread = find_factors(student.evaluate(said.X), units, said)
    student.scale_mean(sharpness, contrasts.center / contrasts.scale)
    student.scale_spread(sharpness * spread)


def find_factors(heads, units, said):
    """Factor of all logits of heads in these units, and that of the spread on top."""
    sharpness, least = find_sharpness(heads, units, 1.0, said)
    for _ in range(N_ROUNDS):
        spread = find_spread(heads, units, sharpness, said)
        sharpness, loss = find_sharpness(heads, units, spread, said)
    most = (1 + MAX_LOSS) * least
    if spread > 1 and loss > most:

        def excess(log_factor):
            return find_sharpness(heads, units, np.exp(log_factor), said)[1] - most

        spread = np.exp(brentq(excess, 0.0, np.log(spread), xtol=TOLERANCE))
        sharpness, _ = find_sharpness(heads, units, spread, said)
    return sharpness, spread


def find_sharpness(heads, units, spread, said):
    """Inverse temperature of least cross-entropy with the ensemble's averaged probabilities.

    And that cross-entropy, the mean over rows in nats.
    """

    def cross_entropy(log_factor):
        averaged, _ = _average(heads, units, np.exp(log_factor), spread)
        logs = np.log(np.maximum(averaged, LEAST_PROBABILITY))
        return -np.average((said.probabilities * logs).sum(axis=1), weights=said.weights)

    options = {"xatol": TOLERANCE}
    least = minimize_scalar(cross_entropy, bounds=LOG_BOUNDS, method="bounded", options=options)
    return np.exp(least.x), least.fun


def find_spread(heads, units, sharpness, said):
    """Factor of the spread that brings mean mutual information nearest to the ensemble's."""
    if said.information <= 0:
        return 1.0

    def excess(log_factor):
        averaged, entropy = _average(heads, units, sharpness, np.exp(log_factor), with_entropy=True)
        return mean_information(averaged, entropy, said.weights) - said.information

    low, high = LOG_BOUNDS
    if excess(high) <= 0:
        return np.exp(high)
    if excess(low) >= 0:
        return np.exp(low)
    return np.exp(brentq(excess, low, high, xtol=TOLERANCE))


def mean_information(averaged, entropy, weights):
    """Mean over rows of the mutual information, from averaged probabilities and mean entropies."""
    return np.average(entropies(averaged) - entropy, weights=weights)


def _average(heads, units, sharpness, spread, with_entropy=False):
    """Averaged probabilities, and entropies if wanted, under scaled logits and spread."""
    center, scale, own_spread = (sharpness * unit for unit in units)
    return average_probabilities(heads, center, scale, spread * own_spread, with_entropy)
