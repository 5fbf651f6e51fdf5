"""How many factors: likelihood of held-out members under the spectral solution, for every q.

Members are held out in folds. The others give a spectral solution (probabilistic PCA) for each
number of factors, and with it a density of the held-out ones. All is in closed form and needs only
the members' Gram matrix: O(n_members^2 n_entries) once, O(n_members^3) a fold for all q together.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from .full import LOG_2PI, cross_product

# Folds of members. Half as many cost some power: fewer members to learn the last factors from.
N_FOLDS = 10

TINY = np.finfo(np.float64).tiny


def factor_scores(residuals, noise_floor=0.0):
    """Held-out log-likelihood of the members for q = 0, 1, ..., in nats per entry, (n_q,).

    Each fold holds every ``N_FOLDS``-th member out, so that kinds of members that follow each
    other are in all folds, and nothing is drawn. Empty where there are too few members to hold
    some out. ``noise_floor`` is the smallest noise variance.
    """
    n_entries, n_members = residuals.shape
    fold_of = np.arange(n_members) % N_FOLDS
    n_seen = n_members - np.bincount(fold_of).max()
    # With as many factors as contrasts there would be nothing left to tell the noise from.
    n_q = max(min(n_seen - 1, n_entries), 0)
    if n_q == 0:
        return np.empty(0)
    gram = cross_product(residuals, residuals)
    total = sum(
        held_out_log_likelihood(gram, fold_of == fold, n_entries, n_q, noise_floor).sum(axis=0)
        for fold in np.unique(fold_of)
    )
    return total / (n_entries * n_members)


def held_out_log_likelihood(gram, held_out, n_entries, n_q, noise_floor=0.0):
    """Log density of each held-out member for each q below ``n_q``, in nats, (n_held_out, n_q).

    ``gram`` (n_members, n_members) is that of the members around any mean, ``held_out``
    (n_members,) says which of them the solution has not seen. A held-out member deviates from the
    mean of ``n`` others by ``1 + 1 / n`` times a member's variance: the density is that of the
    deviation over the root of this. The noise variance has the degrees of freedom that q factors
    leave; its maximum likelihood estimate is too small by the share ``q / (n - 1)``, which would
    speak against every further factor.
    """
    seen = ~held_out
    n_seen = np.count_nonzero(seen)
    centring = np.eye(len(gram)) - seen / n_seen
    gram = centring @ gram @ centring.T
    values, vectors = eigh(gram[np.ix_(seen, seen)] / (n_seen - 1))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    q = np.arange(n_q)
    leading, vectors = values[: n_q - 1], vectors[:, : n_q - 1]
    degrees = (n_entries - q) * (1 - q / (n_seen - 1))
    noise = np.maximum((values.sum() - _cumulate(leading)) / degrees, max(noise_floor, TINY))
    factor = np.maximum(leading, noise[1:])  # one below the noise explains nothing

    # Unit directions are R v / sqrt((n - 1) l): what of the held-out lies along each, and around.
    norm = np.sqrt((n_seen - 1) * np.maximum(leading, TINY))
    along = (gram[np.ix_(held_out, seen)] @ (vectors / norm)) ** 2
    around = np.diag(gram)[held_out, None] - _cumulate(along)
    deviation = 1 + 1 / n_seen
    log_det = _cumulate(np.log(factor)) + (n_entries - q) * np.log(noise)
    quadratic = (_cumulate(along / factor) + around / noise) / deviation
    return -0.5 * (n_entries * LOG_2PI + log_det + quadratic)


def _cumulate(terms):
    """Sums of the first 0, 1, ... terms along the last axis."""
    return np.insert(np.cumsum(terms, axis=-1), 0, 0.0, axis=-1)
