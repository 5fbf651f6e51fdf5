"""Warnings for targets with a support, such as prices and counts, that intervals or draws leave."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._predictive.target_distribution import TargetDistribution
from .._predictive.target_noise import TargetNoise
from .._transfer.residuals import MemberResiduals
from .._transfer.transfer_set import TransferSet
from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user

# Intervals are predicted at no more rows than this. The share of rows has a standard error of less
# than 2 % then.
N_ROWS = 512

# With fewer rows than this it is not known that y keeps its sign.
MIN_ROWS = 100

# A positive y with constant noise has 90 % intervals that reach below zero at a few rows, where its
# mean is low; diabetes progression is one. At this share of rows, zero is a bound for much of y.
LEVEL, MAX_SHARE = 0.9, 0.2

# A y that is zero at more than this share of the rows of `fit` recurs there in every space, so that
# no transformation is advised. A choice: a third of zeros is more than most counts have.
MANY_ZEROS = 1 / 3

# Members that are drawn at a row, and the largest share of draws of the other sign. Draws count
# beyond a tenth of the mean size of the members: nearer to zero they do little harm.
N_DRAWS, LEAST_SIZE, MAX_DRAWS = 64, 0.1, 0.02

# Outputs of members are kept in float32: they may leave their sign by this share of the largest.
ROUNDING = 1e-6

# The way out, by what the teacher is.
FITTED_WAY = (
    "FittedEnsemble(models, transformer=FunctionTransformer(np.log1p, np.expm1)), where models is "
    "the fitted ensemble or a list of fitted models"
)
UNFITTED_WAY = "TransformedTargetRegressor(ensemble, func=np.log1p, inverse_func=np.expm1)"
WAYS: dict[str, str] = {
    "given": f"let the student learn transformed values: give {FITTED_WAY}; or fit it anew inside "
    f"{UNFITTED_WAY}. Do not transform y outside of the student.",
    "fitted here": f"give a teacher of transformed values: {UNFITTED_WAY}, or {FITTED_WAY}. Do not "
    "transform y outside of the student.",
    "predictions": "transform both, fit(X, np.log1p(y), predictions=np.log1p(predictions)), and "
    "what the student predicts of y back by np.expm1, clipped at zero. If you have the models, "
    f"give {FITTED_WAY}.",
}
MOSTLY_ZERO = (
    "cut the intervals off at zero, which takes no coverage away. y is zero at {:.0%} of the rows, "
    "and a logarithm or a root does not help there: means and totals get worse. Two students, of "
    "whether y is zero and of how large it is elsewhere, describe it well: see 'A y that is mostly "
    "zero' in docs/workflow.md. Otherwise, ignore this warning."
)
OTHER_FUNCTIONS = (
    "In place of np.log1p and np.expm1, take np.sqrt and np.square, or np.log and np.exp if y is "
    "never zero. See 'Prices, counts and rates' in docs/workflow.md. Otherwise, ignore this "
    "warning."
)


def kept_sign(residuals: MemberResiduals) -> np.ndarray:
    """Return the sign that y and all members have at the rows of `fit`, (n_outputs,); 0 for both.

    Values of zero have either sign. Outputs whose y is zero everywhere count as both.
    """
    low = np.minimum(residuals.y.min(axis=0), residuals.lowest)
    high = np.maximum(residuals.y.max(axis=0), residuals.highest)
    is_constant = np.ptp(residuals.y, axis=0) == 0
    return np.where(is_constant, 0, _sign_of(low, high))


def warn_if_intervals_lose_sign(
    members: Any, noise: TargetNoise, transfer_set: TransferSet
) -> bool:
    """Warn if y and the ensemble's members are of one sign and the student's intervals are not.

    Return whether they were warned of.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained network, in units of y.
    noise : TargetNoise
        Noise of y around them.
    transfer_set : TransferSet
        What the student has learnt from; its targets are residuals of y.
    """
    sign, n_own = kept_sign(transfer_set.targets), len(transfer_set.targets.y)
    if not sign.any() or n_own < MIN_ROWS:
        return False
    rows = spaced_rows(n_own, N_ROWS)
    tail = 0.5 * (1 - LEVEL)
    distribution = TargetDistribution(members, noise)
    ends = distribution.quantiles(transfer_set.X[rows], [tail, 1 - tail])
    lost = np.where(sign > 0, ends[..., 0] < 0, (sign < 0) & (ends[..., 1] > 0)).mean(axis=0)
    worst = int(np.argmax(lost))
    if lost[worst] <= MAX_SHARE:
        return False
    values, side = ("negative", "below") if sign[worst] > 0 else ("positive", "above")
    share = np.mean(transfer_set.targets.y[:, worst] == 0)
    way = f"{WAYS[transfer_set.origin]} {OTHER_FUNCTIONS}"
    if share > MANY_ZEROS:
        way = MOSTLY_ZERO.format(share)
    warn_user(
        f"No value of y and of the members is {values} at the rows of fit, but the student's 90 % "
        f"intervals reach {side} zero at {lost[worst]:.0%} of rows. If y cannot be {values}, "
        f"{way}"
    )
    return True


def warn_if_draws_lose_sign(members: Any, transfer_set: TransferSet) -> None:
    """Warn if the ensemble's members are of one sign and draws of the student's are not.

    Members of a student are nearly normal at a row, and skewed ones of a posterior are not.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained network, in units of their outputs.
    transfer_set : TransferSet
        What the student has learnt from.
    """
    if transfer_set.n_own < MIN_ROWS:
        return
    rows = spaced_rows(transfer_set.n_own, N_ROWS)
    outputs = transfer_set.contrasts.latent_members(rows)
    sign = _common_sign(outputs, transfer_set.targets)
    if not sign.any():
        return
    least = LEAST_SIZE * np.abs(outputs).mean(axis=(0, 2))
    draw = members.start_draws(N_DRAWS, np.random.RandomState(0))
    lost = np.where(sign != 0, -sign * draw(transfer_set.X[rows]).swapaxes(1, 2) > least, False)
    share = lost.mean(axis=(0, 1))
    worst = int(np.argmax(share))
    if share[worst] <= MAX_DRAWS:
        return
    values = "negative" if sign[worst] > 0 else "positive"
    warn_user(
        f"No member is {values} at the rows of fit, but {share[worst]:.0%} of the members that the "
        "student draws there are: they are nearly normal at a row, and those of the ensemble are "
        "skewed. If they cannot be, learn the logarithm: FittedEnsemble(members, transformer="
        "FunctionTransformer(np.log, np.exp)), or np.log1p and np.expm1 if there are zeros. See "
        "'Values of one sign' in docs/posteriors.md. Mean and standard deviation are right in any "
        "case."
    )


def _common_sign(outputs: np.ndarray, residuals: MemberResiduals | None) -> np.ndarray:
    """Sign of all members (n_outputs,); 0 for both.

    It is that at all rows of `fit` if it is known. There, ``outputs`` (n, n_outputs, n_members) may
    have been widened beyond the members' own.
    """
    if residuals is not None:
        low, high, rounding = residuals.lowest, residuals.highest, 0.0
    else:
        low, high = outputs.min(axis=(0, 2)), outputs.max(axis=(0, 2))
        rounding = ROUNDING * np.maximum(high, -low)
    return np.where(low >= high, 0, _sign_of(low + rounding, high - rounding))


def _sign_of(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Sign of all values between ends (n_outputs,); 0 for both."""
    return (low >= 0).astype(int) - (high <= 0).astype(int)
