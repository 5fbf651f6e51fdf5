"""Calibration of a student of classifiers: shifts and multipliers match it to its ensemble.

A shift of each class's logit brings the mean probability of the class to the ensemble's. A small
network predicts probabilities that are too even. A rare class is improbable at most rows, so that
its mean probability would come out too large.

The first multiplier multiplies all logits: it is the inverse of a temperature, by which classifiers
are calibrated [Guo2017]. It minimises the cross-entropy of the student's averaged probabilities
with the ensemble's. A small network may predict probabilities that are too even near the rows of
`fit`.

The second one multiplies the spread alone. Spread is fitted in logits. Where members' logits are
not Gaussian, or where logits hardly change probabilities, it carries another amount of information
about the class. The multiplier brings the mean mutual information of class and member to the
ensemble's.

All are found at calibration rows, from which neither the members nor the student have learnt:
members agree too much at rows of their own fit. Without calibration rows, the design points are
used. Shifts need many rows, because of rare classes: design points that are not rows of `fit` are
added for them. Gaussian members with the spread of trees may flatten the averaged probabilities.
The averages come first then: the spread grows only as far as they allow.

References
----------
.. [Guo2017] Guo, Pleiss, Sun, Weinberger. "On Calibration of Modern Neural Networks". ICML 2017,
   arXiv:1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import rel_entr

from .._latent.smoothed import LatentLaw
from .._network.heads import Heads, Units
from .._network.students import StudentNetwork
from .._predictive.averaged_probabilities import average_probabilities
from .._predictive.law_probabilities import average_under_law
from .._predictive.logits import entropies, probabilities_from_latent
from .._predictive.members import LatentFactorMembers, split_process
from .._transfer.design_points import MAX_CALIBRATION_ROWS
from .._transfer.transfer_set import TransferSet
from .._utils.blocks import rows_within

# Takes heads, units and whether to average entropies too, as `average_probabilities` does.
Averages = Callable[..., tuple[Any, Any]]

# Averaged probabilities are lifted to the smallest normal number of float32 before their logarithm.
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)

# Largest relative increase of the cross-entropy of averaged probabilities by a larger spread.
MAX_LOSS = 0.01

# Correlations of the noise over classes are dropped if they cost more than this share of the mutual
# information, or add more than this share to the divergence of averages from the ensemble's. The
# multipliers are found in turns, which leaves about 3 % of both.
MAX_LOST, MAX_DIVERGENCE = 0.05, 0.05

# Most design points at which shifts are found besides the calibration rows, and most of their
# bytes: they are copied, and images are large.
MAX_SHIFT_ROWS, MAX_SHIFT_BYTES = 10_000, 2**29

# Shifts are found by at most this many steps of Newton's method, until mean probabilities are
# within this relative difference. A shift and each of its steps are at most these, in nats: a class
# that hardly occurs does not tell how far it has to be shifted.
N_SHIFT_STEPS, SHIFT_TOLERANCE = 20, 0.002
# Two classes have one log-odds, the difference of two logits that are shifted by this.
MAX_SHIFT, MAX_SHIFT_STEP = 1.0, 0.5

# The logarithms of both multipliers lie within these bounds and are found to this tolerance. Each
# depends a little on the other, so they are found in turns, this number of times.
LOG_BOUNDS, TOLERANCE, N_TURNS = (np.log(0.5), np.log(2.0)), 0.005, 3

# A turn looks for the spread's multiplier this far around that of the turn before, in logarithms,
# and farther only if it is not there. Turns differ by less after the first.
NEAR = 0.1


class EnsembleProbabilities(NamedTuple):
    """Probabilities of an ensemble at the rows that a student is calibrated on.

    Attributes
    ----------
    X : float32 array of shape (n, n_features)
        Standardised rows.
    probabilities : array of shape (n, n_classes)
        Averages over the members.
    information : float
        Mean mutual information of class and member, in nats.
    weights : array of shape (n,)
        Weights of the rows.
    further_rows, further_probabilities : arrays of shape (n_further, ...), or None
        Further rows and averages, which are used for mean probabilities only. Their weight is one.
    """

    X: np.ndarray
    probabilities: np.ndarray
    information: float
    weights: np.ndarray
    further_rows: np.ndarray | None = None
    further_probabilities: np.ndarray | None = None


def ensemble_probabilities(
    transfer_set: TransferSet, random_state: np.random.RandomState
) -> EnsembleProbabilities:
    """Return the ensemble's probabilities at calibration rows, or at design points without any."""
    targets, contrasts = transfer_set.targets, transfer_set.contrasts
    if len(transfer_set.X) > targets.n_design:
        rows, entropy = np.arange(targets.n_design, len(transfer_set.X)), targets.entropy
        averaged: np.ndarray = targets.probabilities[rows]
        weights: np.ndarray = np.ones(len(rows))
        further = _further_rows(transfer_set)
        n_most = rows_within(transfer_set.X, MAX_SHIFT_ROWS, MAX_SHIFT_BYTES)
        if len(further) > n_most:
            further = random_state.choice(further, n_most, replace=False)
    else:
        further = np.arange(0)
        rows = np.flatnonzero(contrasts.weights > 0)
        if len(rows) > MAX_CALIBRATION_ROWS:
            rows = random_state.choice(rows, MAX_CALIBRATION_ROWS, replace=False)
        members = probabilities_from_latent(contrasts.latent_members(rows))
        averaged, entropy = members.mean(axis=-1), entropies(members).mean(axis=-1)
        weights = contrasts.weights[rows]
    # Under out_of_bag="match" the targets are averages over members that did not see the row, while
    # the information is that of all members.
    information = mean_information(averaged, entropy, weights)
    return EnsembleProbabilities(
        transfer_set.X[rows],
        targets.probabilities[rows],
        information,
        weights,
        transfer_set.X[further],
        targets.probabilities[further],
    )


def _further_rows(transfer_set: TransferSet) -> np.ndarray:
    """Return the numbers of the design points at which shifts are found besides calibration rows.

    Where half of the rows that were made have values between those of the data, as new rows do, it
    is these, which come last. A student is nearer to trees at the values of the data.
    """
    first, stop = transfer_set.targets.n_own, transfer_set.targets.n_design
    is_between = isinstance(transfer_set.augment, str) and transfer_set.augment.endswith("+local")
    return np.arange((first + stop) // 2 if is_between else first, stop)


def calibrate(
    network: StudentNetwork,
    ensemble: EnsembleProbabilities,
    units: Units,
    law: LatentLaw | None = None,
) -> None:
    """Multiply a trained network's logits and their spread alone, and shift its logits.

    The differences of logits vary more with correlations of the member noise over classes. Where
    logits are not Gaussian, as those of trees, averages are then flatter, or limit the spread more.
    Such correlations are dropped.

    Shifts come last, since multipliers change mean probabilities. They change information little.

    Parameters
    ----------
    network : StudentNetwork
        Trained network, whose heads are changed.
    ensemble : EnsembleProbabilities
        What it is calibrated on.
    units : Units
        Units of the heads.
    law : LatentLaw or None
        Law of the factors; None is the standard normal.
    """
    heads = network.evaluate(ensemble.X)
    average = average_probabilities if law is None else averages_under(law, network, units)
    sharpness, spread = find_multipliers(heads, units, ensemble, average=average)
    if heads.noise_shares is not None:
        independent = heads._replace(noise_shares=None)
        others = find_multipliers(independent, units, ensemble, 1, average)
        information, divergence = fit_to_ensemble(
            heads, units, ensemble, sharpness, spread, average
        )
        own_information, own_divergence = fit_to_ensemble(
            independent, units, ensemble, *others, average
        )
        if (
            information < (1 - MAX_LOST) * own_information
            or divergence > (1 + MAX_DIVERGENCE) * own_divergence
        ):
            network.noise_head = None
            sharpness, spread = find_multipliers(independent, units, ensemble, average=average)
    network.scale_mean(sharpness, units.center / units.scale)
    network.scale_spread(sharpness * spread)
    shift_classes(network, ensemble, units, average)


def averages_under(law: LatentLaw, network: StudentNetwork, units: Units) -> Averages:
    """Return what averages probabilities as `average_probabilities` does, under a law."""
    shares = LatentFactorMembers(network, units).factor_shares

    def average(heads, units, with_entropy=False):
        def process(rows, exact):
            return split_process(heads.at(rows), units, shares)

        return average_under_law(process, np.arange(len(heads.mean)), law, with_entropy)

    return average


def shift_classes(
    network: StudentNetwork,
    ensemble: EnsembleProbabilities,
    units: Units,
    average: Averages = average_probabilities,
) -> None:
    """Shift a network's mean logits so that mean probabilities of classes are the ensemble's."""
    X, probabilities, weights = ensemble.X, ensemble.probabilities, ensemble.weights
    if ensemble.further_rows is not None and ensemble.further_probabilities is not None:
        X = np.concatenate([X, ensemble.further_rows])
        probabilities = np.concatenate([probabilities, ensemble.further_probabilities])
        weights = np.concatenate([weights, np.ones(len(ensemble.further_rows))])
    wanted = np.average(probabilities, axis=0, weights=weights)
    shift = find_shift(network.evaluate(X), units, wanted, weights, average)
    network.shift_mean(shift / units.scale)


def find_shift(
    heads: Heads,
    units: Units,
    wanted: np.ndarray,
    weights: np.ndarray,
    average: Averages = average_probabilities,
) -> np.ndarray:
    """Return shifts (c,) of latent outputs under which mean probabilities are those wanted.

    Parameters
    ----------
    heads, units
        As for `average_probabilities`, for n rows.
    wanted : array of shape (K,)
        Mean probabilities of the classes.
    weights : array of shape (n,)
        Weights of the rows.
    average : callable
        Averages probabilities as `average_probabilities` does.
    """
    n_outputs = len(units.center)
    logits, stretch, last = np.zeros(len(wanted)), 1.0, np.inf
    for _ in range(N_SHIFT_STEPS):
        shift = logits[1:] - logits[:1] if n_outputs == 1 else logits
        shifted = Units(units.center + shift, units.scale, units.spread)
        averaged, _ = average(heads, shifted)
        excess = np.average(averaged, axis=0, weights=weights) - wanted
        if (np.abs(excess) <= SHIFT_TOLERANCE * wanted).all():
            break
        # The members' own probabilities are less even than their average, so that this derivative
        # is too large and steps are too short. They are stretched while they lead nearer slowly.
        size = np.abs(excess / (wanted + np.finfo(float).tiny)).max()
        stretch = 1.0 if size > last else min(stretch * (1.5 if size > last / 2 else 1.0), 8.0)
        last = size
        products = (averaged * weights[:, None]).T @ averaged / weights.sum()
        slope = np.diag(excess + wanted) - products
        step = stretch * np.linalg.lstsq(slope, -excess, rcond=None)[0]
        logits = logits + np.clip(step - step.mean(), -MAX_SHIFT_STEP, MAX_SHIFT_STEP)
        logits = np.clip(logits - logits.mean(), -MAX_SHIFT, MAX_SHIFT)
    return logits[1:] - logits[:1] if n_outputs == 1 else logits


def find_multipliers(
    heads: Heads,
    units: Units,
    ensemble: EnsembleProbabilities,
    n_turns: int = N_TURNS,
    average: Averages = average_probabilities,
) -> tuple[float, float]:
    """Return the multiplier of all logits, and that of the spread on top of it."""
    sharpness, least = find_sharpness(heads, units, 1.0, ensemble, average)
    spread, near = 1.0, None
    for _ in range(n_turns):
        spread = near = find_spread(heads, units, sharpness, ensemble, near, average)
        sharpness, loss = find_sharpness(heads, units, spread, ensemble, average)
    most = (1 + MAX_LOSS) * least
    if spread > 1 and loss > most:

        def excess(logarithm):
            return find_sharpness(heads, units, np.exp(logarithm), ensemble, average)[1] - most

        spread = np.exp(brentq(excess, 0.0, np.log(spread), xtol=TOLERANCE))
        sharpness, _ = find_sharpness(heads, units, spread, ensemble, average)
    return sharpness, spread


def fit_to_ensemble(
    heads: Heads,
    units: Units,
    ensemble: EnsembleProbabilities,
    sharpness: float,
    spread: float,
    average: Averages = average_probabilities,
) -> tuple[float, float]:
    """Return mean information under multipliers, and the averages' divergence from the ensemble.

    The information is at most the ensemble's. Both are in nats.
    """
    averaged, entropy = average(heads, scaled(units, sharpness, spread), True)
    information = mean_information(averaged, entropy, ensemble.weights)
    wanted = ensemble.probabilities
    divergences = rel_entr(wanted, np.maximum(averaged, LEAST_PROBABILITY)).sum(axis=1)
    divergence = np.average(divergences, weights=ensemble.weights)
    return min(information, ensemble.information), divergence


def find_sharpness(
    heads: Heads,
    units: Units,
    spread: float,
    ensemble: EnsembleProbabilities,
    average: Averages = average_probabilities,
) -> tuple[float, float]:
    """Return the inverse temperature of least cross-entropy with the ensemble's averages.

    Also return that cross-entropy, the mean over rows in nats.
    """

    def cross_entropy(logarithm):
        averaged, _ = average(heads, scaled(units, np.exp(logarithm), spread))
        logs = np.log(np.maximum(averaged, LEAST_PROBABILITY))
        return -np.average((ensemble.probabilities * logs).sum(axis=1), weights=ensemble.weights)

    options = {"xatol": TOLERANCE}
    least = minimize_scalar(cross_entropy, bounds=LOG_BOUNDS, method="bounded", options=options)
    return np.exp(least.x), least.fun


def find_spread(
    heads: Heads,
    units: Units,
    sharpness: float,
    ensemble: EnsembleProbabilities,
    near: float | None = None,
    average: Averages = average_probabilities,
) -> float:
    """Return the multiplier of the spread under which mutual information is the ensemble's.

    It is looked for ``near`` a number first.
    """
    if ensemble.information <= 0:
        return 1.0

    def excess(logarithm):
        averaged, entropy = average(heads, scaled(units, sharpness, np.exp(logarithm)), True)
        return mean_information(averaged, entropy, ensemble.weights) - ensemble.information

    low, high = LOG_BOUNDS
    if near is not None:
        ends = np.clip(np.log(near) + np.array([-NEAR, NEAR]), low, high)
        if excess(ends[0]) < 0 < excess(ends[1]):
            return np.exp(brentq(excess, *ends, xtol=TOLERANCE))
    if excess(high) <= 0:
        return np.exp(high)
    if excess(low) >= 0:
        return np.exp(low)
    return np.exp(brentq(excess, low, high, xtol=TOLERANCE))


def mean_information(averaged: np.ndarray, entropy: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean mutual information, from averaged probabilities and mean entropies."""
    return np.average(entropies(averaged) - entropy, weights=weights)


def scaled(units: Units, sharpness: float, spread: float) -> Units:
    """Return units under which logits are multiplied by a number, and their spread by another."""
    center, scale, own_spread = (sharpness * unit for unit in units)
    return Units(center, scale, spread * own_spread)
