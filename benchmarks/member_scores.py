"""Scores of a student's members beside those of its ensemble, and the best that could be reached.

``members`` (n, n_members) are the ensemble's at test rows; mean and std (n,) are the student's.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from sklearn_dlf.metrics import member_fidelity

# Random halvings of the members over which a correlation is averaged; a choice.
N_HALVINGS = 20

# Smallest spread for a density, as a share of the members' root mean square one; a choice.
MIN_SPREAD = 1e-3

# A student's spread explodes at a row if it is this many times the largest one of the ensemble.
EXPLODES = 5.0


def compare_moments(members, mean, std):
    """Return scores of a student's mean and spread, with the ceiling of the spread's correlation.

    The mean's error is in units of the standard deviation over rows of the ensemble's mean. The
    ratio of spreads is that of root mean squares. NLLs are those of members, in nats.
    """
    spread = spread_of(members)
    fidelity = member_fidelity(members, mean, std)
    of_two = reliability(members, spread_of)
    ceiling = np.sqrt(of_two)
    member_nll = members_nll(members, mean, std)
    return {
        "mean_error": fidelity.mean_error,
        "std_ratio": float(np.sqrt(np.mean(std**2) / np.mean(spread**2))),
        "std_corr": fidelity.std_correlation,
        "std_reliability": of_two,
        "std_ceiling": float(ceiling),
        "std_corr_share": float(fidelity.std_correlation / ceiling),
        "std_rank_corr": float(spearmanr(std, spread).statistic),
        "n_exploding": float(np.count_nonzero(std > EXPLODES * spread.max())),
        "member_nll": member_nll,
        "member_nll_gap": member_nll
        - members_nll(members, members.mean(axis=1), members.std(axis=1)),
    }


def reliability(members, statistic, seed=0):
    """Return the correlation of a statistic of two ensembles of this size.

    ``statistic`` takes members, which are the last axis, and returns an array; NaN are left out.
    The correlation is that of two halves of the members, by the formula of Spearman and Brown. Its
    root is the correlation with the statistic of infinitely many members.
    """
    rng, n_members = np.random.RandomState(seed), members.shape[-1]
    correlations = []
    for _ in range(N_HALVINGS):
        halves = np.array_split(rng.permutation(n_members), 2)
        left, right = (statistic(members[..., half]) for half in halves)
        known = np.isfinite(left) & np.isfinite(right)
        correlations.append(np.corrcoef(left[known], right[known])[0, 1])
    half = max(float(np.mean(correlations)), 0.0)
    return 2 * half / (1 + half)


def spread_of(members):
    """Return the members' standard deviation at each row."""
    return members.std(axis=-1, ddof=1)


def members_nll(members, mean, std):
    """Return the mean negative log density of the members under a normal at each row, in nats.

    With mean and std (ddof=0) of the members themselves it is the lowest that a normal reaches.
    """
    std = np.maximum(std, MIN_SPREAD * np.sqrt(members.var(axis=1).mean()))[:, None]
    squares = ((members - mean[:, None]) / std) ** 2
    return float(np.mean(np.log(std) + 0.5 * squares + 0.5 * np.log(2 * np.pi)))


def member_law_gain(student, members, mean, std):
    """Return by how much members are likelier at a row under the student's law than as normals.

    It is in nats per value, and zero for a student whose members are normal.
    """
    law = getattr(student, "member_law_", None)
    if law is None:
        return 0.0
    unit = (members - mean[:, None]) / std[:, None]
    normal, log_slope = law.to_normal(unit[:, None])
    return float(np.mean(log_slope - 0.5 * normal**2) + 0.5 * np.mean(unit**2))


def joint_energy_distance(members, draws):
    """Return the energy distance of members and draws, each a vector over all rows.

    The unit is the members' root mean square spread; distances are root mean squares over rows.
    Members that the student has copied have distance zero.
    """
    unit = np.sqrt(members.var(axis=1, ddof=1).sum())
    left, right = members.T / unit, draws.T / unit
    within = cdist(left, left).mean() + cdist(right, right).mean()
    return float(2 * cdist(left, right).mean() - within)
