"""What an ensemble tells of the process that its members are draws of.

Factors that are fitted to ``n_members`` members explain those members better than others of the
same kind: the covariance of a sample has far more structure than that of the process. Some members
are held out, the factors are fitted to the others in closed form, and the likelihood of the held
out ones tells which share of each factor's variance they bear out, Eq. (34). What is taken from a
factor goes to the member noise, so that the variance at each row stays. The likelihood is that of
all outputs' own joint densities at some rows, and it also finds the correlation of the noise
between rows (`row_correlation`).

Equation numbers are those of ``docs/equations.md``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import pdist, squareform
from scipy.special import expit

from .._utils.cholesky import inverse_by, lower_factor
from .full import cross_product, spectral_rotation
from .number_of_factors import seen_spectrum
from .row_correlation import RowCorrelation

# Folds of members, and the fewest members of which some can be held out.
N_FOLDS, MIN_MEMBERS = 5, 5

# Rows and outputs at which the likelihood is computed. It takes O(n_rows^3) for each of the
# outputs and folds.
N_ROWS, MAX_OUTPUTS = 128, 3

# Least variance of the noise at a row, in units of the members' variance there. Least variance of
# the members that are not held out, in units of that of all members: trees may all agree there.
LEAST_NOISE, LEAST_SEEN = 1e-4, 0.3

# The length scale starts at this share of the median distance between rows and stays within these
# multiples of that distance.
FIRST_SCALE, SCALE_BOUNDS = 0.25, (0.01, 10.0)

# Bound of the logits of shares; beyond the share that it stands for, a share is zero or one.
MAX_LOGIT = 5.0
MAX_ITER = 30


class Process(NamedTuple):
    """Estimate of the process.

    Attributes
    ----------
    factor_shares : array of shape (q,)
        Share of each factor's variance that held-out members bear out, in the order of the factors'
        variances, largest first.
    row_correlation : RowCorrelation
        Correlation of the member noise between rows.
    gain : float
        Log-likelihood of the held-out members less that under independent rows, in nats per entry.
    """

    factor_shares: np.ndarray
    row_correlation: RowCorrelation
    gain: float


class _Fold(NamedTuple):
    """Loadings (n, q) of seen members, and deviations (n, m) of held-out ones, at one output.

    Both are in units of the root of the seen members' variance at each row. The product of the
    deviations with their transpose is a second moment: they are divided by the root of m.
    """

    loadings: np.ndarray
    deviations: np.ndarray


def estimate_process(
    residuals: np.ndarray, some: np.ndarray, X: np.ndarray, q: int, are_functions: bool = False
) -> Process:
    """Estimate the process from contrasts, by members that are held out.

    Parameters
    ----------
    residuals : array of shape (n_entries, n_members)
        Contrasts at all entries, multiplied by the roots of the rows' weights.
    some : array of shape (n_rows, n_outputs, n_members)
        Contrasts at some of the rows, in the same units, not weighted. The members differ there.
    X : array of shape (n_rows, n_features)
        These rows, standardised.
    q : int
        Number of factors.
    are_functions : bool, default=False
        Whether nothing of the members is drawn row by row, as of draws from a posterior.

    Returns
    -------
    Process
        Factors as they are, and independent noise, if there are too few members or rows.
    """
    n_members = residuals.shape[1]
    if n_members < MIN_MEMBERS or len(X) < 3:
        return Process(np.ones(q), RowCorrelation(), 0.0)
    folds = _make_folds(residuals, some, q)
    distance = squareform(pdist(X))
    unit = np.median(distance[distance > 0]) if distance.any() else 1.0
    start = np.concatenate([[0.0, np.log(FIRST_SCALE * unit)], np.full(q, -1.0)])
    logits = (-MAX_LOGIT, MAX_LOGIT)
    of_share = (MAX_LOGIT, MAX_LOGIT) if are_functions else logits
    start[0] = np.clip(start[0], *of_share)
    bounds = [of_share, tuple(np.log(unit) + np.log(SCALE_BOUNDS)), *[logits] * q]

    def loss(parameters):
        return _negative_log_likelihood(parameters, folds, distance)

    best = minimize(loss, start, jac=True, bounds=bounds, options={"maxiter": MAX_ITER})
    alone = np.mean([0.5 * np.square(fold.deviations).sum() / len(X) for fold in folds])
    gain = float(alone - best.fun)
    if not gain > 0:  # also where it is not a number
        return Process(np.zeros(q), RowCorrelation(), 0.0)
    shares = expit(best.x)
    limit = expit(0.98 * MAX_LOGIT)
    shares = np.where(shares > limit, 1.0, np.where(shares < 1 - limit, 0.0, shares))
    # A factor that no fold has tells nothing of its share, which is that of the factor before it.
    known = np.flatnonzero(np.any([fold.loadings.any(axis=0) for fold in folds], axis=0))
    if len(known):
        shares[2 + known[-1] + 1 :] = shares[2 + known[-1]]
    return Process(shares[2:], RowCorrelation(float(shares[0]), float(np.exp(best.x[1]))), gain)


def _make_folds(residuals, some, q):
    """Return the folds of members, each for some of the outputs."""
    n_entries, n_members = residuals.shape
    n_outputs = some.shape[1]
    gram = cross_product(residuals, residuals)
    variance = np.square(some).sum(axis=-1) / (n_members - 1)
    outputs = np.linspace(0, n_outputs - 1, min(n_outputs, MAX_OUTPUTS)).round().astype(int)
    fold_of = np.arange(n_members) % N_FOLDS
    folds = []
    for fold in range(N_FOLDS):
        seen = fold_of != fold
        n_seen = np.count_nonzero(seen)
        rotation = _seen_rotation(gram, seen, n_entries, q)
        for output in outputs:
            deviations = some[:, output] - some[:, output][:, seen].mean(axis=1, keepdims=True)
            own = np.square(deviations[:, seen]).sum(axis=1) / (n_seen - 1)
            unit = np.sqrt(np.maximum(own, LEAST_SEEN * variance[:, output]))[:, None]
            deviations = deviations / unit
            loadings = deviations[:, seen] @ rotation
            held_out = deviations[:, ~seen] / np.sqrt((1 + 1 / n_seen) * (n_members - n_seen))
            folds.append(_Fold(_limit(loadings), held_out))
    return folds


def _seen_rotation(gram, seen, n_entries, q):
    """Return the matrix (n_seen, q) that turns seen members' deviations into loadings. Eq. (12)."""
    _, values, vectors = seen_spectrum(gram, seen)
    n_seen = len(values)
    n_used = min(q, n_seen - 1)
    noise = values[n_used:].sum() / max(n_entries - n_used, 1)
    rotation = np.zeros((n_seen, q))
    rotation[:, :n_used] = spectral_rotation(values[:n_used], vectors[:, :n_used], noise)
    return rotation


def _limit(loadings):
    """Return loadings that leave some noise at every row."""
    explained = np.square(loadings).sum(axis=1, keepdims=True)
    return loadings * np.sqrt(np.minimum(1.0, (1 - LEAST_NOISE) / np.maximum(explained, 1e-300)))


def _negative_log_likelihood(parameters, folds, distance):
    """Return minus the log-likelihood a row of held-out members, and its slope. Eq. (34)."""
    (share, *factor_shares), log_scale = expit(np.delete(parameters, 1)), parameters[1]
    factor_shares = np.array(factor_shares)
    n_rows = len(distance)
    scaled = np.sqrt(3.0) * distance / np.exp(log_scale)
    decay = np.exp(-scaled)
    smooth = (1 + scaled) * decay
    correlation = share * smooth
    np.fill_diagonal(correlation, 1.0)
    value, by_correlations, by_shares = 0.0, np.zeros(distance.shape), np.zeros(len(factor_shares))
    for loadings, deviations in folds:
        squares = np.square(loadings)
        noise = np.sqrt(1 - squares @ factor_shares)
        covariance = (loadings * factor_shares) @ loadings.T
        covariance += noise[:, None] * correlation * noise
        factor = lower_factor(covariance)
        inverse = inverse_by(factor)
        weighted = inverse @ deviations
        value += np.log(np.diag(factor)).sum() + 0.5 * np.sum(weighted * deviations)
        slope = 0.5 * (inverse - weighted @ weighted.T)  # by the covariance
        by_correlations += noise[:, None] * slope * noise
        by_noise = (slope * correlation) @ noise / noise
        by_shares += np.sum(loadings * (slope @ loadings), axis=0) - squares.T @ by_noise
    np.fill_diagonal(by_correlations, 0.0)
    by_share = np.sum(by_correlations * smooth)
    by_scale = share * np.sum(by_correlations * np.square(scaled) * decay)
    gradient = np.concatenate(
        [
            [share * (1 - share) * by_share, by_scale],
            factor_shares * (1 - factor_shares) * by_shares,
        ]
    )
    return value / (n_rows * len(folds)), gradient / (n_rows * len(folds))
