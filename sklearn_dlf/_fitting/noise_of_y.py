"""The end of a regressor's fit: the noise of y, from members' own variances or from residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.target_distribution import TargetDistribution
from .._predictive.target_noise import TargetNoise
from .._transfer.residuals import MemberResiduals
from .._transfer.transfer_set import TransferSet
from .member_variances import distil_target_noise
from .support import warn_if_sign_is_lost
from .target_noise import fit_target_noise


def learn_noise_of_y(
    members: Any,
    transfer_set: TransferSet,
    score: float | None,
    kind: str,
    random_state: np.random.RandomState,
) -> TargetNoise | None:
    """Return the noise of y around a student's members; None without y and members' variances.

    Warn if intervals at the rows of `fit` leave the sign that y and the members have. A student of
    transformed values has the support of its transformation.

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
    if transfer_set.variances is not None:
        noise = distil_target_noise(members, transfer_set, random_state)
    elif residuals is not None:
        noise = fit_target_noise(members, transfer_set, kind=kind, random_state=random_state)
    else:
        return None
    if members.law is not None and residuals is not None:
        noise.takes_law = _law_is_likely(members, noise, residuals, transfer_set)
    if score is not None and score >= 0 and not transfer_set.is_transformed:
        warn_if_sign_is_lost(members, noise, transfer_set)
    return noise


def _law_is_likely(
    members: Any, noise: TargetNoise, residuals: MemberResiduals, transfer_set: TransferSet
) -> bool:
    """Return whether y is at least as likely around members with their law as around Gaussian ones.

    The noise was fitted as around Gaussian members. Where y follows the mean of groups of members,
    and none of them, their law would have peaks beside y.
    """
    rows = residuals.is_unseen & (residuals.weights > 0)
    if not rows.any():
        return True
    X = transfer_set.X[: len(rows)][rows]
    y = residuals.y[rows] - residuals.unseen_mean[rows] + members.moments(X).mean
    weights = residuals.weights[rows]
    with_law, gaussian = (
        np.average(TargetDistribution(each, noise).log_density(X, y).sum(axis=1), weights=weights)
        for each in (members, members.as_gaussian())
    )
    return bool(with_law >= gaussian)
