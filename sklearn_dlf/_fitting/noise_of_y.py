"""The end of a regressor's fit: the noise of y, from members' own variances or from residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.target_distribution import TargetDistribution
from .._predictive.target_noise import TargetNoise
from .._transfer.residuals import MemberResiduals
from .._transfer.transfer_set import TransferSet
from .._utils.seeding import MAX_SEED
from .member_variances import distil_target_noise, warn_of_other_variance
from .support import warn_if_draws_lose_sign, warn_if_intervals_lose_sign
from .target_noise import fit_target_noise

# Gain of log-density of y, in nats a row, for which members are taken with their law. Groups of
# members gain half a nat and more. Of a forest on Power it was 0.06 at rows that each tree was
# not, but others were fitted to, and nothing at new rows.
LEAST_GAIN = 0.1


def learn_noise_of_y(
    members: Any,
    transfer_set: TransferSet,
    score: float | None,
    kind: str,
    random_state: np.random.RandomState,
) -> TargetNoise | None:
    """Return the noise of y around a student's members; None without y and members' variances.

    Warn if intervals or draws at the rows of `fit` leave the sign that y and the members have. A
    student of transformed values has the support of its transformation.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained network, which have moments.
    transfer_set : TransferSet
        What the student has learnt from.
    score : float or None
        R^2 of the teacher's mean. Below zero, another warning was given.
    kind : {"auto", "input", "constant"}
        Whether the noise depends on the row.
    random_state : RandomState instance
        Source of the random choices.
    """
    residuals = transfer_set.targets
    noise: TargetNoise | None = None
    if transfer_set.variances is not None:
        noise = distil_target_noise(members, transfer_set, random_state)
        if residuals is not None and not residuals.is_unseen.any():  # else they correct the level
            warn_of_other_variance(transfer_set)
    elif residuals is not None:
        noise = _fit_to_residuals(members, residuals, transfer_set, kind, random_state)
    if transfer_set.is_transformed or (score is not None and score < 0):
        return noise
    is_told = False
    if noise is not None and score is not None:
        is_told = warn_if_intervals_lose_sign(members, noise, transfer_set)
    if not is_told:
        warn_if_draws_lose_sign(members, transfer_set)
    return noise


def _fit_to_residuals(
    members: Any,
    residuals: MemberResiduals,
    transfer_set: TransferSet,
    kind: str,
    random_state: np.random.RandomState,
) -> TargetNoise:
    """Return the noise around members, with their law if y is likelier with it.

    It has to be so by `LEAST_GAIN` and by a standard error: members of bagging lie nearer to values
    of y that they have seen, and quantiles of mixtures over members take far longer. Where y
    follows the mean of groups of members, and none of them, their law would have peaks beside y.
    Components of a law tell more than a variance does, so that it has no tails there.
    """
    seed = random_state.randint(MAX_SEED)

    def fit(has_tails):
        return fit_target_noise(
            members,
            transfer_set,
            kind=kind,
            random_state=np.random.RandomState(seed),
            spread_has_tails=has_tails,
        )

    gaussian = fit(True)
    if members.law is None:
        return gaussian
    with_law = fit(False).with_skewness(1.0)  # the law may be skewed itself
    gaussian.takes_law = False
    rows = residuals.shown
    X = transfer_set.X[: len(rows)][rows]
    y = residuals.y[rows] - residuals.unseen_mean[rows] + members.moments(X).mean
    likelihoods = [
        TargetDistribution(members, noise).log_density(X, y).sum(axis=1)
        for noise in (with_law, gaussian)
    ]
    gains, weights = likelihoods[0] - likelihoods[1], residuals.weights[rows]
    gain = np.average(gains, weights=weights)
    error = np.sqrt(np.average(np.square(gains - gain), weights=weights) / len(gains))
    return with_law if gain > max(LEAST_GAIN, error) else gaussian
