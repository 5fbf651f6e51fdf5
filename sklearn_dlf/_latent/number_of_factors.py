"""Scores for ``q="auto"``: log-likelihood of held-out members for every number of factors.

Members are held out in folds. The other members give a spectral solution (probabilistic PCA) for
each number of factors, and this solution gives the density of the held-out members. All of this has
a closed form that needs the members' Gram matrix only: O(n_members^2 n_entries) operations once,
and O(n_members^3) for each fold and all numbers of factors together.

Equation numbers are those of ``docs/equations.md``.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from .full import LOG_2PI, cross_product

# Number of folds of members. Half as many folds find fewer of the last factors, because fewer
# members are left to learn them from.
N_FOLDS = 10

# Smallest positive normal float64. It replaces a zero in denominators and logarithms.
TINY = np.finfo(np.float64).tiny


def factor_scores(residuals: np.ndarray, noise_floor: float = 0.0) -> np.ndarray:
    """Held-out log-likelihood of the members for q = 0, 1, ..., in nats per entry, (n_q,).

    Each fold holds out every ``N_FOLDS``-th member. Kinds of members that follow each other are
    thus in all folds, and no random numbers are drawn. The result is empty if there are too few
    members to hold some out. ``noise_floor`` is the smallest noise variance. Directions in which
    all members together vary by less are not counted: of members without noise, they are rounding.
    """
    n_entries, n_members = residuals.shape
    fold_of = np.arange(n_members) % N_FOLDS
    n_seen = n_members - np.bincount(fold_of).max()
    # With as many factors as contrasts, nothing would be left to estimate the noise from.
    n_q = max(min(n_seen - 1, n_entries), 0)
    if n_q == 0:
        return np.empty(0)
    gram = cross_product(residuals, residuals)
    values = seen_spectrum(gram, np.ones(n_members, dtype=bool))[1]
    n_q = min(n_q, 1 + np.count_nonzero(values > noise_floor))
    total = sum(
        held_out_log_likelihood(gram, fold_of == fold, n_entries, n_q, noise_floor).sum(axis=0)
        for fold in np.unique(fold_of)
    )
    return total / (n_entries * n_members)


def shares_of_factors(residuals: np.ndarray) -> np.ndarray:
    """Share of the members' variance that q = 1, 2, ... factors hold at most, (n_members - 1,)."""
    gram = cross_product(residuals, residuals)
    values = seen_spectrum(gram, np.ones(len(gram), dtype=bool))[1]
    return np.cumsum(values[:-1]) / max(values.sum(), TINY)


def held_out_log_likelihood(
    gram: np.ndarray, held_out: np.ndarray, n_entries: int, n_q: int, noise_floor: float = 0.0
) -> np.ndarray:
    """Log density of each held-out member for each q below ``n_q``, in nats, (n_held_out, n_q).

    Eqs. (14) and (15). ``gram`` (n_members, n_members) is the Gram matrix of the members around any
    mean. ``held_out`` (n_members,) is true for the members that the solution is not fitted to. A
    held-out member deviates from the mean of ``n`` others with ``1 + 1 / n`` times a member's
    variance: the density is that of the deviation divided by the root of this factor. The noise
    variance has the degrees of freedom that q factors leave. Its maximum likelihood estimate is too
    small by the share ``q / (n - 1)``, which would count against every further factor.
    """
    seen = ~held_out
    n_seen = np.count_nonzero(seen)
    gram, values, vectors = seen_spectrum(gram, seen)

    q = np.arange(n_q)
    leading, vectors = values[: n_q - 1], vectors[:, : n_q - 1]
    degrees = (n_entries - q) * (1 - q / (n_seen - 1))
    noise = np.maximum(  # Eq. (14)
        (values.sum() - _cumulate(leading)) / degrees, max(noise_floor, TINY)
    )
    # t_k of Eq. (15): a factor below the noise, that of as many factors, explains nothing.
    factor = np.maximum(leading, noise[1:])

    # R u / sqrt((n - 1) l) has unit length, as in Eq. (12). ``along`` is the squared length of the
    # held-out deviation in each of these directions (b_k of Eq. 15), ``around`` the rest of it.
    norm = np.sqrt((n_seen - 1) * np.maximum(leading, TINY))
    along = (gram[np.ix_(held_out, seen)] @ (vectors / norm)) ** 2
    around = np.diag(gram)[held_out, None] - _cumulate(along)
    deviation = 1 + 1 / n_seen
    log_det = _cumulate(np.log(factor)) + (n_entries - q) * np.log(noise)
    quadratic = (_cumulate(along / factor) + around / noise) / deviation
    return -0.5 * (n_entries * LOG_2PI + log_det + quadratic)


def seen_spectrum(gram: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the Gram matrix around the mean of seen members, and the spectrum of these.

    The eigenvalues are those of their covariance over entries, largest first, with the eigenvectors
    of their own Gram matrix (n_seen, n_seen).
    """
    n_seen = np.count_nonzero(seen)
    centring = np.eye(len(gram)) - seen / n_seen
    gram = centring @ gram @ centring.T
    values, vectors = eigh(gram[np.ix_(seen, seen)] / (n_seen - 1))
    return gram, np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def _cumulate(terms: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ... terms along the last axis."""
    return np.insert(np.cumsum(terms, axis=-1), 0, 0.0, axis=-1)
