"""The last step of a fit: what members that are held out say of factors and noise.

The student's marginal distribution at each row stays as it is. What changes is how the rows belong
together: which share of each factor is common to all rows, and how near rows are correlated.

A likelihood of some rows does not see what all rows have a little of. Over thousands of rows that
sums up: it is most of the spread of a sum. So the mean over rows is compared with the members', and
the correlation of the noise is changed where they differ by more than such a sample of members may.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import pdist
from scipy.stats import chi2
from sklearn.neighbors import NearestNeighbors

from .._latent.deviations import dense_loadings
from .._latent.full import cross_product
from .._latent.process import MIN_MEMBERS, N_ROWS, Process, estimate_process
from .._latent.row_correlation import RowCorrelation
from .._network.heads import Units
from .._network.students import StudentNetwork
from .._predictive.members import LatentFactorMembers
from .._transfer.contrasts import Contrasts
from .._transfer.transfer_set import TransferSet

# Members are compared at rows where their variance is at least this share of its mean. Where all
# but one or two trees agree, a correlation is not known.
LEAST_VARIANCE = 1e-3

# Number of the rows at which members are compared that are nearest neighbours of others, and number
# of the rows from which all are chosen, at most. Pairs tell how near rows vary together, and little
# of far ones.
N_NEIGHBORS, MAX_CANDIDATES = N_ROWS // 4, 2**14

# Most rows whose mean is compared, and least if they are made. The variance of the mean over
# members has a chi-squared distribution; it counts as different beyond these tails.
N_MEAN_ROWS, MIN_MEAN_ROWS, SAMPLE_TAIL = 1_000, 100, 0.01

# The same of draws from a posterior: one standard error. They have seen no rows.
DRAWS_TAIL = 0.16

# Members that were trained agree on the mean over the rows that they have seen, and nearly so over
# rows that were made of these: its variance there was 0.4 to 0.6 of that over new rows, for
# networks, a forest and bagged boosting on Friedman 1. So it may be as much smaller than found.
SEEN_SHARE = 0.4


def learn_process(
    network: StudentNetwork, transfer_set: TransferSet, random_state: np.random.RandomState
) -> Process:
    """Estimate the process, and set it in a trained network.

    The factors are turned into the directions of largest variance, one after the other.

    Parameters
    ----------
    network : StudentNetwork
        Trained network, whose loadings are turned.
    transfer_set : TransferSet
        What it has learnt from. Members may have seen the rows of `fit`, unless they are draws.
    random_state : RandomState instance
        Source of the rows at which members are compared.
    """
    X, contrasts, n_own = transfer_set.design, transfer_set.contrasts, transfer_set.n_own
    outputs = contrasts.units.spread > 0  # where all members agree, there is nothing to correlate
    points = network.evaluate_points(X)
    rows = _choose_rows(points, contrasts, outputs, random_state, n_own)
    some, near = contrasts.residuals_at(rows)[:, outputs], points[rows].astype(np.float64)
    are_functions = transfer_set.are_draws
    process = estimate_process(contrasts.residuals, some, near, network.q, are_functions)
    loadings = network.evaluate(X).loadings
    root = np.sqrt(contrasts.weights)[:, None, None]
    loadings = (loadings * root).reshape(-1, network.q)
    variance, directions = eigh(cross_product(loadings, loadings))
    variance, directions = variance[::-1].copy(), directions[:, ::-1].copy()
    network.transform_loadings(directions)
    if network.mixing is not None:
        # The closed form is that of full loadings. Its mean share holds for separable factors too.
        weights = np.maximum(variance, 0.0) + np.finfo(np.float64).tiny
        share = np.average(process.factor_shares, weights=weights)
        process = process._replace(factor_shares=np.full(network.q, share))
    network.set_process(process)
    process = match_mean_over_rows(network, process, transfer_set, random_state)
    network.set_process(process)
    return process


def match_mean_over_rows(
    network: StudentNetwork,
    process: Process,
    transfer_set: TransferSet,
    random_state: np.random.RandomState,
) -> Process:
    """Return a process whose mean over rows varies over members as theirs does.

    The parameters are those of `learn_process`, of a network whose process is set.
    """
    X, contrasts = transfer_set.design, transfer_set.contrasts
    n_own, are_draws = transfer_set.n_own, transfer_set.are_draws
    rows = _made_if_enough(np.flatnonzero(contrasts.weights > 0), n_own, MIN_MEAN_ROWS)
    if len(rows) > N_MEAN_ROWS:
        rows = random_state.choice(rows, N_MEAN_ROWS, replace=False)
    outputs = contrasts.units.spread > 0
    n_members = contrasts.shape[2]
    if not outputs.any() or n_members < MIN_MEMBERS:
        return process
    means = contrasts.residuals_at(rows)[:, outputs].mean(axis=0)
    wanted = np.square(means).sum() / (n_members - 1)
    ones = np.ones(contrasts.shape[1])
    members = LatentFactorMembers(network, Units(0 * ones, ones, ones))
    at = members.process(X[rows])
    loadings = dense_loadings(at.loadings, at.mixing)[:, outputs]
    of_factors = np.square(loadings.mean(axis=0)).sum()
    std, correlation = np.sqrt(at.local_variance[:, outputs]), process.row_correlation
    points = members.correlated(X[rows])
    among = correlation.among(points)
    found = of_factors + np.einsum("ic,ij,jc->", std, among, std, optimize=True) / len(rows) ** 2
    tail = DRAWS_TAIL if are_draws else SAMPLE_TAIL
    low, high = found * chi2.ppf([tail, 1 - tail], n_members - 1) / (n_members - 1)
    if are_draws:
        is_too_large = wanted < low
    else:
        is_too_large = wanted < SEEN_SHARE * low and _is_smooth(correlation, points)
    if wanted > high or is_too_large:
        correlation = correlation.with_mean_variance(
            wanted - of_factors, std, points, are_functions=are_draws
        )
        return process._replace(row_correlation=correlation)
    return process


def _is_smooth(correlation: RowCorrelation, points: np.ndarray) -> bool:
    """Return whether a correlation reaches over all rows.

    That of the noise does so where factors carry all that members differ in, and what a student
    leaves to the noise is its own error.
    """
    if correlation.share == 0 or len(points) < 2:
        return False
    return bool(correlation.length_scale > np.median(pdist(points)))


def _choose_rows(
    X: np.ndarray,
    contrasts: Contrasts,
    outputs: np.ndarray,
    random_state: np.random.RandomState,
    n_own: int,
) -> np.ndarray:
    """Return some rows at which members differ, some of them with their nearest neighbours.

    They are chosen from about as many rows as `fit` has, so that neighbours are as near as those of
    data. Made rows are far more, and lie far nearer.
    """
    if not outputs.any():
        return np.arange(0)
    variance = contrasts.variance[:, outputs]
    differ = variance.min(axis=1) > LEAST_VARIANCE * variance.mean()
    rows = _made_if_enough(np.flatnonzero(differ & (contrasts.weights > 0)), n_own, N_ROWS)
    n_candidates = min(max(n_own, N_ROWS), MAX_CANDIDATES)
    if len(rows) > n_candidates:
        rows = random_state.choice(rows, n_candidates, replace=False)
    if len(rows) <= N_ROWS:
        return np.sort(rows)
    first = random_state.choice(rows, N_ROWS - N_NEIGHBORS, replace=False)
    others = np.setdiff1d(rows, first)
    search = NearestNeighbors(n_neighbors=1).fit(X[others])
    nearest = search.kneighbors(X[first[:N_NEIGHBORS]], return_distance=False)[:, 0]
    return np.union1d(first, others[nearest])


def _made_if_enough(rows: np.ndarray, n_own: int, least: int) -> np.ndarray:
    """Return those of some rows that were made, if they are enough: members have seen the others.

    ``n_own`` is the number of rows of `fit`, the first ones.
    """
    made = rows[rows >= n_own]
    return made if len(made) >= least else rows
