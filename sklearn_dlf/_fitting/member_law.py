"""The law of the members at a row, pooled over rows, where it is not Gaussian."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from .._latent.member_law import MemberLaw, log_density
from .._transfer.transfer_set import TransferSet
from .._utils.blocks import spaced_rows

# Most rows, and values of one output, that the law is fitted to, and the least number of rows.
N_ROWS, N_VALUES, MIN_ROWS = 1_000, 20_000, 100

# Most rows at which members are compared jointly.
N_JOINT_ROWS = 250

# The law of an output is taken from this gain on, in nats per value, which must exceed so many
# standard errors over rows that it was not fitted to. All of them together must also gain as much
# in the joint likelihood of the members, per value and in all.
LEAST_GAIN, Z, LEAST_NATS = 0.002, 3.0, 20.0

# Bounds of skewness and of the logarithm of the tail: rare values must not be thrown far.
MAX_SKEWNESS, MAX_LOG_TAIL = 1.0, 0.7

# Members agree at a row if their variance is less than this share of the mean variance.
AGREE = 1e-3

# Skewness and tail of a normal.
NORMAL = (0.0, 1.0)


class _Sample(NamedTuple):
    """Members of the ensemble at some rows, in units of the student's.

    Attributes
    ----------
    rows : array of shape (n,)
        Numbers of the design points.
    values : array of shape (n, n_outputs, n_members)
    known : bool array of the same shape
        Where members differ, and have not seen the row.
    """

    rows: np.ndarray
    values: np.ndarray
    known: np.ndarray


def choose_member_law(members: Any, transfer_set: TransferSet) -> MemberLaw | None:
    """Return the law of the members at a row, or None where a normal is as good.

    Members that have seen a row lie close together there, and the others far off. So they are
    compared at rows that were made, of which no member has seen any, and at rows of `fit` where it
    is known which members have not seen them. The law is learnt at the former, if there are
    enough. It must not make members at the latter less likely; then it is learnt there.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained network, which have moments.
    transfer_set : TransferSet
        What the student has learnt from.
    """
    if members.network.mixing is not None or transfer_set.transformation is not None:
        return None
    n_own, n_design = transfer_set.n_own, len(transfer_set.design)
    unseen = getattr(transfer_set.targets, "unseen", None)
    made = _sample(members, transfer_set, range(n_own, n_design), None)
    own = None if unseen is None else _sample(members, transfer_set, range(n_own), unseen)
    for sample in (made, own):
        if sample is None:
            continue
        law = _fit_laws(sample)
        if law is None or (own is not None and not _is_likelier(law, own)):
            continue
        at = spaced_rows(len(sample.rows), N_JOINT_ROWS)
        X, values = transfer_set.design[sample.rows[at]], sample.values[at]
        least = max(LEAST_GAIN, LEAST_NATS / values.size)
        return law if _joint_gain(members, X, values, law) > least else None
    return None


def _sample(
    members: Any, transfer_set: TransferSet, points: range, unseen: np.ndarray | None
) -> _Sample | None:
    """Return members at some of the design points in a range; None if these are too few."""
    if not points:
        return None
    rows = points.start + spaced_rows(len(points), N_ROWS)
    rows = rows[transfer_set.contrasts.weights[rows] > 0]
    if len(rows) < MIN_ROWS:
        return None
    values, variance = _standardised_members(members, transfer_set, rows)
    known = np.broadcast_to((variance > AGREE * variance.mean(axis=0))[..., None], values.shape)
    return _Sample(rows, values, known if unseen is None else known & unseen[rows][:, None])


def _fit_laws(sample: _Sample) -> MemberLaw | None:
    """Return the law of all outputs, or None if all are normal."""
    _, values, known = sample
    found = [_fit_law(values[:, c], known[:, c]) for c in range(values.shape[1])]
    if not any(found):
        return None
    skewness, tail = np.array([each or NORMAL for each in found]).T
    return MemberLaw(skewness, tail)


def _is_likelier(law: MemberLaw, sample: _Sample) -> bool:
    """Return whether the members of each output are no less likely with a law."""
    for c, (skewness, tail) in enumerate(zip(*law, strict=True)):
        known = sample.known[:, c]
        if (skewness, tail) != NORMAL and known.any():
            values = _standardised(sample.values[:, c], known)[known]
            if _gains(values, skewness, tail).mean() < 0:
                return False
    return True


def _joint_gain(members: Any, X: np.ndarray, values: np.ndarray, law: MemberLaw) -> float:
    """Return by how much standardised members (n, c, n_members) are likelier with a law, jointly.

    In nats per value. Where factors have most of the spread, values at a row may seem to have
    tails that are those of few functions.
    """
    differ = (members.moments(X, exact=True).variance > 0).all(axis=1)
    X, values = X[differ], values[differ]
    process = members.process(X, exact=True)
    spread = np.sqrt(process.variance)
    process = process.with_noise_floor(spread)
    observed = process.mean[..., None] + spread[..., None] * values
    shared = observed, members.row_correlation, members.correlated(X), members.law
    return process.log_likelihood(*shared, law) - process.log_likelihood(*shared)


def _standardised_members(
    members: Any, transfer_set: TransferSet, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ensemble's members (n, c, n_members) in units of the student's, and its variance.

    They are zero where the student's members do not differ.
    """
    contrasts = transfer_set.contrasts
    center, scale, spread = contrasts.units
    moments = members.moments(transfer_set.design[rows], exact=True)
    mean = center + scale * contrasts.mean[rows]
    deviations = spread[:, None] * contrasts.residuals_at(rows)
    deviations += (mean - moments.mean)[..., None]
    std = np.sqrt(moments.variance)[..., None]
    return np.divide(
        deviations, std, out=np.zeros_like(deviations), where=std > 0
    ), moments.variance


def _fit_law(values: np.ndarray, known: np.ndarray) -> tuple[float, float] | None:
    """Return skewness and tail of values (n_rows, n_members) where they are known, or None.

    They are learnt at every other row, and have to be likelier at the others than a normal.
    """
    learnt = _maximise(values[::2], known[::2])
    held_out, counts = known[1::2], known[1::2].sum(axis=1)
    if learnt is None or not counts.any():
        return None
    shown = _standardised(values[1::2], held_out)
    gains = _gains(shown.ravel(), *learnt).reshape(shown.shape)
    of_row = np.where(held_out, gains, 0.0).sum(axis=1)  # members of a row belong together
    gain = of_row.sum() / counts.sum()
    error = np.sqrt(np.square(of_row - gain * counts).sum()) / counts.sum()
    return _maximise(values, known) if gain > max(LEAST_GAIN, Z * error) else None


def _gains(values: np.ndarray, skewness: float, tail: float) -> np.ndarray:
    """Return the log-density of standardised values (k,) under a law, less that of a normal."""
    return log_density(values, skewness, tail) + 0.5 * (np.square(values) + np.log(2 * np.pi))


def _standardised(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return values with mean zero and variance one where known: only their shape is learnt."""
    of_law = values[known]
    return (values - of_law.mean()) / of_law.std()


def _maximise(values: np.ndarray, known: np.ndarray) -> tuple[float, float] | None:
    """Return skewness and tail of the largest likelihood of known values."""
    if np.count_nonzero(known) < MIN_ROWS or not np.ptp(values[known]) > 0:
        return None
    scaled = _standardised(values, known)[known]
    scaled = scaled[:: max(1, len(scaled) // N_VALUES)]
    found = minimize(
        lambda at: -log_density(scaled, at[0], np.exp(at[1])).mean(),
        np.zeros(2),
        method="Nelder-Mead",
        bounds=[(-MAX_SKEWNESS, MAX_SKEWNESS), (-MAX_LOG_TAIL, MAX_LOG_TAIL)],
        options={"xatol": 1e-3, "fatol": 1e-6, "maxiter": 200},
    )
    return float(found.x[0]), float(np.exp(found.x[1]))
