"""Whether the record of rows that members did not see can be that of the rows of `fit`.

The record holds for the rows of the ensemble's own fit, in their order. Members fit rows that they
have seen better than others, if they overfit at all. The record is refuted if seen rows are not
fitted better, and one of two things is true:

- Trees have the loss at the rows that they were grown on, and the loss at seen rows is far above.
- The members' losses at a row agree with the record of some other row: rows are in another order.

Teachers that do not overfit fulfil neither, and are left alone.

Without a record, the probabilities of classifiers show whether members were fitted to the rows. At
new rows the loss of labels is about the entropy of the averaged probabilities, or somewhat less if
these are not sure enough. At rows that networks were fitted to it is far less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import entr
from sklearn.pipeline import Pipeline

from .._utils.significance import mean_in_errors
from .._utils.warning import warn_user
from ..ensembles._fitted_ensemble import without_wrapper
from ..ensembles._member_models import wrapped_model
from ..exceptions import SeenRowsWarning

# The difference between unseen and seen rows counts from this many standard errors on. A record
# that is wrong is believed by chance in one of 25 fits, as two statistics are tried. One that is
# right is refuted only if the other conditions fail too.
Z = 2.0

# Rows whose loss is compared with that of grown trees: one in a thousand by chance.
Z_GROWN = 3.0

# Trees contradict the record if the loss at seen rows is this many times what they had in their
# own fit, and above it by this share of the loss of a constant. Weights of rows, and rows that a
# bootstrap sample holds twice, make less of a difference.
TIMES, SHARE = 2.0, 0.05

# Rows have moved if their losses agree better with records of other rows than they do after the
# members were put into other orders, by this many standard deviations over the orders.
Z_MOVED, N_ORDERS = 6.0, 20

# Shares of the entropy by which the loss of labels has to be below it, of ensembles that can be
# evaluated and of arrays, and by how many standard errors. It was below by .47 to .79 at rows that
# networks and forests of three sets were fitted to, and by at most .32 at new rows of networks. Of
# forests, it was below by up to .60 at new rows too, at which arrays are often given.
SURE_SHARE, SURE_SHARE_OF_ARRAYS, Z_SURE = 0.45, 0.7, 5.0

# Members agree at a row if their losses differ by less than this share of the largest.
AGREE = 1e-12

# Most rows whose losses are compared, most rows that are looked for, and records among which.
MAX_ROWS, MAX_SOUGHT, MAX_RECORDS = 5_000, 200, 20_000


def check_record(
    outputs: np.ndarray, y: np.ndarray, unseen: np.ndarray, grown_loss: float | None
) -> bool:
    """Return whether the record can be that of these rows; warn if it cannot.

    Parameters
    ----------
    outputs : array of shape (n, c, n_members)
        Members' outputs at rows of `fit`: values or probabilities.
    y : array of shape (n, c)
        Values, or labels as zeros and ones.
    unseen : bool array of shape (n, n_members)
        Rows that each member did not see, as recorded.
    grown_loss : float or None
        Mean squared error of trees at the rows that they were grown on, summed over outputs
        (`loss_of_grown_trees`). None for other members.
    """
    loss, unseen_there = _losses(outputs, y, unseen)
    constant = y.var(axis=0).sum()
    if constant == 0 or not (loss > 0).any() or seen_is_better(loss, unseen_there):
        return True
    if not (
        _is_above_grown(loss, ~unseen_there, grown_loss, constant)
        or has_moved(_some_sought(loss), ~unseen)
    ):
        return True
    warn_user(
        "The rows of fit seem not to be those of the ensemble's own fit, or not in their order: it "
        "has a record of which rows its members did not see, but its members fit the others no "
        "better. The record is not used, so that the student's spread and noise of y may be too "
        "small. Give the rows and y of the ensemble's fit in their order, or set out_of_bag=None "
        "and give rows that no member has seen."
    )
    return False


def warn_if_misplaced(outputs: np.ndarray, y: np.ndarray, unseen: np.ndarray) -> None:
    """Warn if members contradict the `unseen` of the user.

    They fit rows better that they have not seen, or seen ones no better while their losses agree
    with `unseen` of other rows. Parameters are those of `check_record`.
    """
    loss, unseen_there = _losses(outputs, y, unseen)
    differences = _differences(*_of_both(loss, unseen_there))
    if len(differences) > 1 and mean_in_errors(differences) < -Z_GROWN:
        what = "better than those that they have"
    elif not seen_is_better(loss, unseen_there) and has_moved(_some_sought(loss), ~unseen):
        what = "as well as those that they have, and their losses agree with `unseen` of other rows"
    else:
        return
    warn_user(
        f"By `unseen`, the members fit rows that they have not seen {what}. True marks the rows "
        "that a member was not fitted to: is `unseen` inverted, or are its rows or members in "
        "another order?"
    )


def warn_if_fitted_to(probabilities: np.ndarray, codes: np.ndarray, can_be_evaluated: bool) -> None:
    """Warn if members of classifiers seem to have been fitted to all rows that there are.

    Parameters
    ----------
    probabilities : array of shape (n, n_classes)
        Averages over the members.
    codes : int array of shape (n,)
        Columns of the labels.
    can_be_evaluated : bool
        Whether the teacher can be evaluated at further rows.
    """
    own = np.maximum(probabilities[np.arange(len(codes)), codes], np.finfo(np.float32).tiny)
    entropy = entr(probabilities).sum(axis=1)
    gain = entropy + np.log(own)
    share = SURE_SHARE if can_be_evaluated else SURE_SHARE_OF_ARRAYS
    if gain.mean() <= share * entropy.mean() or mean_in_errors(gain) <= Z_SURE:
        return
    ways = (
        "let augment make rows, or give others by X_unlabeled"
        if can_be_evaluated
        else "give predictions at rows that they were not fitted to"
    )
    warn_user(
        "The student learns at the rows of fit alone, and the members seem to have been fitted to "
        "them: their probabilities are right there more often than they say themselves. Members "
        "agree more at such rows than at new ones, so that the student's mutual information may be "
        f"far too small at these: {ways}.",
        SeenRowsWarning,
    )


def _losses(
    outputs: np.ndarray, y: np.ndarray, unseen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses (m, n_members) at some of the rows, and who has not seen them."""
    step = max(1, len(y) // MAX_ROWS)
    return ((outputs[::step] - y[::step, :, None]) ** 2).sum(axis=1), unseen[::step]


def _some_sought(loss: np.ndarray) -> np.ndarray:
    """Return losses of as many rows as are looked for."""
    return loss[:: max(1, len(loss) // MAX_SOUGHT)]


def _of_both(loss: np.ndarray, unseen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that some members have seen, and others have not."""
    both = unseen.any(axis=1) & ~unseen.all(axis=1)
    return loss[both], unseen[both]


def _differences(loss: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Return the mean loss of members that have not seen a row, less that of the others."""
    of_unseen = (loss * unseen).sum(axis=1) / unseen.sum(axis=1)
    return of_unseen - (loss * ~unseen).sum(axis=1) / (~unseen).sum(axis=1)


def seen_is_better(loss: np.ndarray, unseen: np.ndarray) -> bool:
    """Return whether members fit rows (n, n_members) better that they have seen, significantly."""
    loss, unseen = _of_both(loss, unseen)
    if len(loss) < 2:
        return True  # too few rows to tell
    difference = _differences(loss, unseen)
    # Correlations count each row the same, so that outliers of y do not hide the difference.
    agreement = (_standardise_members(-loss) * _standardise_members(~unseen)).sum(axis=1)
    return max(mean_in_errors(difference), mean_in_errors(agreement)) > Z


def _is_above_grown(
    loss: np.ndarray, seen: np.ndarray, grown_loss: float | None, constant: float
) -> bool:
    """Return whether the loss at seen rows is far above that at the rows trees were grown on."""
    if grown_loss is None:
        return False
    rows = seen.any(axis=1)
    mean = (loss * seen).sum(axis=1)[rows] / seen.sum(axis=1)[rows]
    most = max(TIMES * grown_loss, grown_loss + SHARE * constant)
    return len(mean) > 1 and mean_in_errors(mean - most) > Z_GROWN


def has_moved(loss: np.ndarray, seen: np.ndarray) -> bool:
    """Return whether losses (m, n_members) agree with records (n, n_members) of other rows.

    The largest correlation with any record is averaged over rows, and compared with what it is
    after the members of the losses were put into other orders, the same at all rows.
    """
    fit = _standardise_members(-loss)
    record = _standardise_members(seen[:MAX_RECORDS])
    if len(fit) < 2 or not record.any():
        return False
    # Multiples of the golden ratio, modulo one, scatter evenly: orders without a draw.
    turns = np.outer(np.arange(1, N_ORDERS + 1), np.arange(1, loss.shape[1] + 1)) * 0.618034 % 1
    by_chance = [(fit[:, order] @ record.T).max(axis=1).mean() for order in turns.argsort(axis=1)]
    best = (fit @ record.T).max(axis=1).mean()
    return bool(best > np.mean(by_chance) + Z_MOVED * np.std(by_chance, ddof=1))


def _standardise_members(values: np.ndarray) -> np.ndarray:
    """Return rows (n, n_members) with mean zero and length one; zeros where members agree."""
    values = values.astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    differ = length > AGREE * np.abs(values).max(axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=differ)
    return unit.astype(np.float32)


def loss_of_grown_trees(ensemble: Any) -> float | None:
    """Return the mean squared error of trees at the rows of their own fit, or None.

    It is summed over outputs; that of classifiers is of probabilities. It is None of ensembles that
    do not consist of trees, and of trees that were grown by another criterion than squared errors.
    """
    ensemble = _inside(ensemble)
    members = getattr(ensemble, "estimators_", None)
    if not isinstance(members, list):
        return None
    members = [m.steps[-1][1] if isinstance(m, Pipeline) else m for m in members]
    losses = [_grown_loss(member) for member in members]
    known = [loss for loss in losses if loss is not None]
    return float(np.mean(known)) if known and len(known) == len(losses) else None


def _inside(ensemble: Any) -> Any:
    """Return the ensemble, or the model, inside of pipelines, searches and other wrappers."""
    while True:
        ensemble = without_wrapper(ensemble)
        inner = wrapped_model(ensemble)
        if inner is None:
            return ensemble
        ensemble = inner


def consists_of_trees(ensemble: Any) -> bool:
    """Return whether all members are trees, or forests, whose own probabilities are their outputs.

    Trees that vote do not count.
    """
    ensemble = _inside(ensemble)
    if hasattr(ensemble, "tree_"):
        return True
    is_list = isinstance(ensemble, list | tuple)
    members = ensemble if is_list else getattr(ensemble, "estimators_", None)
    if not isinstance(members, list | tuple) or getattr(ensemble, "voting", "soft") != "soft":
        return False
    return all(consists_of_trees(member) for member in members)


def _grown_loss(member: Any) -> float | None:
    """Return the squared error of a tree over its leaves, weighted as in its fit."""
    tree = getattr(member, "tree_", None)
    if tree is None:
        return None
    leaves = tree.children_left == -1
    weights = tree.weighted_n_node_samples[leaves]
    if hasattr(member, "classes_"):
        shares = tree.value[leaves, 0, :]
        shares = shares / shares.sum(axis=1, keepdims=True)
        losses = 1 - (shares**2).sum(axis=1)
    elif member.criterion in ("squared_error", "friedman_mse"):
        losses = tree.impurity[leaves] * member.n_outputs_
    else:
        return None
    return float(np.average(losses, weights=weights))
