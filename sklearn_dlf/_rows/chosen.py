"""Which of the rows of `fit` are used, and in which order."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils.random import sample_without_replacement

from .._utils.numbers import in_memory, is_dask
from .._utils.standardise import MIN_SHARE
from .containers import as_container, is_frame, take
from .labels import has_label

# Of the chosen rows, at least this share are rows that tell of the noise of y, if there are as
# many. A choice.
TELLING_SHARE = 0.5


class RowOrder(NamedTuple):
    """The rows of `fit` that are used, in the order in which they are.

    Attributes
    ----------
    numbers : int array of shape (n_samples,)
        Numbers that the rows had in `fit`. Those with a value of y come first.
    n_given : int
        Rows of `fit`.
    labelled : int array or None
        Numbers of all rows of `fit` with a value of y; None if all have one, or if none has.
    """

    numbers: np.ndarray
    n_given: int
    labelled: np.ndarray | None = None


def choose_rows(
    X: Any,
    y: Any,
    sample_weight: Any,
    unseen: Any,
    subsample: int | None,
    random_state: np.random.RandomState,
    are_labels: bool = False,
) -> np.ndarray | None:
    """Return the numbers of the rows that are used, sorted; None for all.

    Rows of weight zero are left out, also without ``subsample``. All others are equally likely,
    except that rows with a value of y that some member did not see are at least a half of the
    chosen ones, or all that there are: they tell of the noise of y. ``random_state`` is left as it
    is, so that a student of the chosen rows is the one that a fit to these rows alone would give.

    Parameters
    ----------
    X, y, sample_weight, unseen
        As in `fit` of the estimators.
    subsample : int or None
        Number of rows to choose; None for all.
    random_state : RandomState instance
        Source of the choice.
    are_labels : bool
        Whether y has labels.

    Raises
    ------
    ValueError
        If rows are chosen, and y or the weights have another number of rows than X.
    """
    n_rows = None if subsample is None else _count_rows(X)
    if subsample is None or n_rows is None or n_rows <= subsample:
        return _rows_with_weight(X, y, sample_weight, are_labels)
    given = [each for each in (y, sample_weight) if np.ndim(each) > 0]
    for each in given:
        if len(each) != n_rows:
            check_consistent_length(range(n_rows), each)
    rng = copy.deepcopy(random_state)
    usable = np.ones(n_rows, dtype=bool)
    if np.ndim(sample_weight) == 1:
        usable = np.asarray(sample_weight) > 0
        if not usable.any() or not (np.asarray(sample_weight) >= 0).all():
            return None  # `fit` refuses such weights
    # a y that is no list of values is refused by `fit`
    telling = has_label(y) if np.ndim(y) > 0 else np.zeros(n_rows, dtype=bool)
    if (telling & usable).any():
        telling &= usable
    usable |= telling
    if np.shape(unseen)[:1] == (n_rows,):
        both = telling & np.asarray(unseen).astype(bool, copy=False).reshape(n_rows, -1).any(axis=1)
        telling = both if both.any() else telling
    share = telling.sum() / usable.sum()
    first = _draw(telling, round(subsample * max(share, TELLING_SHARE)), rng)
    others = _draw(usable & ~telling, subsample - len(first), rng)
    return np.sort(np.concatenate([first, others]))


def _rows_with_weight(X: Any, y: Any, sample_weight: Any, are_labels: bool) -> np.ndarray | None:
    """Return the numbers of the rows whose weight is not zero, nor negligible; None for all.

    Of a label whose rows have no weight, and of a y that no row with a weight has, rows are kept:
    labels stay known, and `fit` says what is wrong with y. Weights that `fit` refuses change
    nothing.
    """
    if sample_weight is None or is_dask(sample_weight):
        return None
    try:
        weights, labels = np.asarray(sample_weight), np.asarray(y)
    except ValueError:  # ragged lists, which `fit` refuses
        return None
    if weights.ndim != 1 or weights.dtype.kind not in "biuf" or len(weights) != _count_rows(X):
        return None
    used = weights > MIN_SHARE * weights.max(initial=0)
    if (
        used.all()
        or np.count_nonzero(used) < 2
        or not (np.isfinite(weights) & (weights >= 0)).all()
    ):
        return None
    if labels.ndim:
        if len(labels) != len(weights):
            return None
        known = has_label(labels)
        if not are_labels:
            used = used if known[used].any() else np.ones_like(used)
        elif labels.ndim == 1:
            lost = set(labels[known].tolist()) - set(labels[known & used].tolist())
            used |= np.array([label in lost for label in labels.tolist()], dtype=bool)
    return None if used.all() else np.flatnonzero(used)


def order_rows(
    chosen: np.ndarray | None, n_given: int, by_labels: tuple[np.ndarray, int] | None
) -> tuple[RowOrder, int]:
    """Return the rows that are used, those with a value of y first, and how many these are.

    Parameters
    ----------
    chosen : int array of shape (n_samples,) or None
        Sorted numbers of the rows that are used; None for all.
    n_given : int
        Rows of `fit`.
    by_labels : pair of int array of shape (n_given,) and int, or None
        As `labels.order_by_labels` returns it.
    """
    if by_labels is None:
        numbers = np.arange(n_given) if chosen is None else chosen
        return RowOrder(numbers, n_given), len(numbers)
    order, n_labelled = by_labels
    used = np.full(len(order), True) if chosen is None else np.isin(order, chosen)
    n_used = int(used[:n_labelled].sum())
    return RowOrder(order[used], n_given, order[:n_labelled]), n_used


def _draw(usable: np.ndarray, n_rows: int, rng: np.random.RandomState) -> np.ndarray:
    """Return the sorted numbers of rows drawn among usable ones (n,), of all if they are few."""
    numbers = np.flatnonzero(usable)
    if len(numbers) <= n_rows:
        return numbers
    return numbers[np.sort(sample_without_replacement(len(numbers), n_rows, random_state=rng))]


def _count_rows(X: Any) -> int | None:
    """Return the number of rows; None if it is not known before they are computed or checked."""
    shape = getattr(X, "shape", None)
    if is_dask(X) and is_frame(X):
        return len(X)
    if shape is None:
        return len(X) if hasattr(X, "__len__") else None
    is_known = isinstance(shape, tuple) and len(shape) and isinstance(shape[0], int | np.integer)
    return int(shape[0]) if is_known else None


def rows_at(values: Any, numbers: np.ndarray) -> Any:
    """Return rows by their numbers, in memory; None for None.

    Of a collection of dask, and of an array on disk, no other rows are kept in memory.
    """
    if values is None:
        return None
    if not is_dask(values):
        container = as_container(values)
        if isinstance(container, np.ndarray) and not container.ndim:
            raise ValueError(f"Expected one value a row; got the single value {container!r}.")
        return take(container, numbers)
    order = np.argsort(numbers, kind="stable")
    found = _rows_of_partitions if is_frame(values) else _rows_of_array
    return take(found(values, numbers[order]), np.argsort(order))


def _rows_of_array(array: Any, numbers: np.ndarray) -> np.ndarray:
    """Return rows of an array of dask by their sorted numbers."""
    return in_memory(array[numbers])


def _rows_of_partitions(frame: Any, numbers: np.ndarray) -> Any:
    """Return rows of a frame of dask by their sorted numbers, from one partition after another."""
    import pandas as pd

    found, start = [], 0
    for place in range(frame.npartitions):
        part = frame.partitions[place].compute()
        stop = start + len(part)
        own = numbers[slice(*np.searchsorted(numbers, [start, stop]))] - start
        found.append(_safe_indexing(part, own))
        start = stop
    return pd.concat(found)
