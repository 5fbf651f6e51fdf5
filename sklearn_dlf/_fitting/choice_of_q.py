"""The number of factors of a student: the user's, as far as members tell, or the likeliest."""

from __future__ import annotations

import numpy as np

from .._latent.number_of_factors import factor_scores, shares_of_factors
from .._transfer.transfer_set import TransferSet
from .._utils.blocks import spaced_rows
from .._utils.warning import warn_user

# Smallest noise variance of ``q="auto"``, in units of the members' mean variance. The student's own
# error is larger, and of factors that vary by less it would learn nothing.
OWN_ERROR = 1e-4

# With the default q there is a warning if q factors leave more than the first share of the variance
# of draws from a posterior. It names the number of factors that leave less than the second. Both
# are computed at so many rows.
MOST_BEYOND, LEAST_BEYOND, N_COMPARED = 0.05, 0.01, 1_000


def choose_q(
    q: int | str, default: int, transfer_set: TransferSet, is_separable: bool
) -> tuple[int, np.ndarray | None]:
    """Return the number of factors, and the scores of all numbers if it is found by them.

    Parameters
    ----------
    q : int or "auto"
        The user's choice.
    default : int
        What it is if the user has not chosen.
    transfer_set : TransferSet
        What the student learns from.
    is_separable : bool
        Whether outputs share their loadings.
    """
    contrasts = transfer_set.contrasts
    n_samples, n_outputs, n_members = contrasts.shape
    if isinstance(q, str):  # "auto"
        scores = factor_scores(contrasts.residuals, noise_floor=OWN_ERROR)
        return (max(1, int(np.argmax(scores))) if len(scores) else 1), scores
    if is_separable:  # each output of a member is a function of its own
        most = max(1, min(n_outputs * (n_members - 1), n_samples) - 1)
    else:
        most = min(n_members, n_samples * n_outputs) - 1
    if q > most and q != default:
        warn_user(
            f"q={q} factors are more than {n_members} members at {n_samples} design "
            f"points can tell apart; q_={most} is used. Give more members, or a smaller q."
        )
    if q == default and q <= most and transfer_set.are_draws and not is_separable:
        _warn_of_few_factors(transfer_set, q)
    return min(q, most), None


def _warn_of_few_factors(transfer_set: TransferSet, q: int) -> None:
    """Warn if draws from a posterior need many more factors than q.

    Of other members there are few, and what further factors would hold of them is noise.
    """
    contrasts = transfer_set.contrasts
    rows = spaced_rows(contrasts.shape[0], N_COMPARED)
    residuals = contrasts.residuals.reshape(contrasts.shape)[rows]
    shares = shares_of_factors(residuals.reshape(-1, contrasts.shape[2]))
    if len(shares) <= q or shares[q - 1] >= 1 - MOST_BEYOND:
        return
    enough = 1 + int(np.searchsorted(shares, 1 - LEAST_BEYOND))
    warn_user(
        f"q={q} factors hold {shares[q - 1]:.0%} of the variance in which the draws of the "
        "posterior differ, and the rest counts as noise of the rows. The spread at a row is right, "
        "but how rows vary together is not, such as differences of two rows and effects of a "
        f"column. {enough} factors hold {shares[enough - 1]:.0%}: give a larger q, or q='auto'."
    )
