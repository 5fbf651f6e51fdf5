"""Warnings that a teacher's predictions do not follow y at the rows of `fit`.

Predictions that are right in the mean have a covariance with y that is their own variance. Their
correlation with y is therefore their standard deviation over that of y. Predictions in another
order than y vary as much and have none, and neither have outputs that were swapped. A teacher that
has learnt noise has none at new rows either. Two things distinguish it: its members disagree about
as much as their mean varies, and y cannot be predicted from these rows.

Correlations of values and of ranks are both used. A teacher that has one of them is right, so that
outliers, ties and badly calibrated probabilities do no harm. `benchmarks/unrelated.py` measures
false alarms and what is found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from .._network.rows import are_points
from .._utils.blocks import spaced_rows
from .._utils.significance import effective_number, mean_in_errors
from .._utils.standardise import column_std
from .._utils.warning import warn_user
from .member_skill import linear_predictions
from .row_checks import name_output

# Fewer rows give no verdict, and neither do fewer rows that differ from the most frequent value of
# y. More rows than the third are not needed; they are taken at equal distances. Of more classes
# than the last, the commonest are looked at.
MIN_ROWS, MIN_DIFFERENT, MAX_ROWS, MAX_CLASSES = 20, 10, 5_000, 50

# A correlation counts as none below so many standard errors, or below this share of the expected
# one. It has to be below the expected one by so many standard errors.
Z_NONE, NONE, Z_EXPECTED = 2.0, 0.25, 3.0

# A teacher whose predictions have at least this share of the variance of y has not just learnt
# noise. Bagged 1-nearest neighbours and networks that have learnt noise have about a half. Chance
# adds about one over the root of the number of rows. Half of it is enough at rows that members were
# fitted to, where noise that was learnt follows y.
MUCH_SHARE = 0.6

# The first share is enough if y can be predicted from the rows: by a linear model of other rows
# whose correlation with y is at least the second, and so many standard errors above that of the
# teacher. The model needs so many rows for each column.
LEAST_SHARE, PREDICTABLE, Z_PREDICTABLE, ROWS_PER_COLUMN = 0.1, 0.35, 3.5, 2

# Outputs are in another order if the correlations of those that it moves are larger by this on
# average, and by so many standard errors.
MUCH, Z_MUCH = 0.15, 4.0

# Predictions in units of y count up to this, so that their squares are floats.
MOST = 1e100

# Labels that are all the same contradict a teacher that gives this label less than the first
# probability at more than the second share of the rows; class weights seldom do. Values that are
# all the same contradict one with more than this share of the rows on each side.
IMPROBABLE, SHARE = 0.25, 0.2

# Rows with a constant y that are enough for a verdict. Predictions that vary less are rounding
# errors, in units of y that has a size of about one.
MIN_CONSTANT, TINY = 30, 1e-12

REMEDY = (
    "Are the rows of X, y and predictions in the same order? Are the outputs, or the classes? If "
    "so, the ensemble has learnt nothing that holds at these rows."
)


def warn_if_values_unrelated(
    X: np.ndarray,
    y: np.ndarray,
    mean: np.ndarray,
    member_variance: np.ndarray,
    weights: np.ndarray,
    were_seen: bool,
) -> bool:
    """Warn if a teacher's mean does not follow one of the outputs of y; return whether it warns.

    Parameters
    ----------
    X : array of shape (n, d)
        Standardised rows.
    y, mean : arrays of shape (n, n_outputs)
        Values, and the members' mean.
    member_variance : array of shape (n_outputs,)
        Variance of the members around their mean, averaged over rows.
    weights : array of shape (n,)
        Weights of the rows.
    were_seen : bool
        Whether the members were fitted to these rows, by their own record.
    """
    X, y, mean, weights = _some(weights, X, y, mean, weights)
    n_outputs = y.shape[1]
    if len(y) < MIN_ROWS:
        return False
    for output, variance in enumerate(member_variance):
        name = f"y{name_output(output, n_outputs)}"
        values, predictions, variance = _in_units_of_y(y[:, [output]], mean[:, [output]], variance)
        total = _variance(predictions, weights) + variance
        if not values.any():
            if _lie_around(predictions, total):
                warn_user(
                    f"{name} has the same value at all rows, and the ensemble's predictions lie on "
                    f"both sides of it and differ much between rows. {REMEDY}"
                )
                return True
            continue
        most_frequent = np.unique(values, return_counts=True)[1].max()
        n_different = len(values) - most_frequent
        found = find_unrelated(X, values, predictions, weights, total, were_seen, n_different)
        if found is not None:
            warn_user(_message(name, found, were_seen))
            return True
    moved = find_moved_outputs(y, mean, weights)
    if len(moved):
        warn_user(
            f"Outputs {moved.tolist()} of 0 to {n_outputs - 1} seem to be in another order in the "
            "ensemble's predictions than in y: others have larger correlations with them. Give the "
            "columns of y in the order of the ensemble's outputs."
        )
    return len(moved) > 0


def warn_if_labels_unrelated(
    X: np.ndarray,
    codes: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    were_seen: bool,
) -> None:
    """Warn if a teacher's mean probabilities do not follow the labels.

    Parameters
    ----------
    X, codes, probabilities, weights
        As of `check_labels`.
    were_seen : bool
        As of `warn_if_values_unrelated`.
    """
    X, codes, probabilities, weights = _some(weights, X, codes, probabilities, weights)
    if len(codes) < MIN_ROWS:
        return
    counts = np.bincount(codes, minlength=probabilities.shape[1])
    n_different = len(codes) - counts.max()
    if n_different == 0:
        improbable = np.mean(probabilities[:, codes[0]] < IMPROBABLE)
        if len(codes) >= MIN_CONSTANT and improbable > SHARE:
            warn_user(
                "y has one and the same label at all rows, whose probability is below "
                f"{IMPROBABLE:.0%} for the ensemble at {improbable:.0%} of them. {REMEDY}"
            )
        return
    columns = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    probabilities, onehot = probabilities[:, columns], (codes[:, None] == columns).astype(float)
    average = np.average(probabilities, axis=0, weights=weights)
    total = float((average * (1 - average)).sum())
    found = find_unrelated(X, onehot, probabilities, weights, total, were_seen, n_different)
    if found is not None:
        warn_user(_message("y", found, were_seen))


class Association(NamedTuple):
    """How predictions go with y.

    Attributes
    ----------
    correlation : float
        Their correlation, pooled over columns.
    error : float
        Its standard error if predictions and y have nothing to do with each other.
    expected : float
        The correlation of predictions that are right in the mean and vary as these do.
    """

    correlation: float
    error: float
    expected: float

    @property
    def is_missing(self) -> bool:
        """Whether there is none, where it is expected."""
        return bool(
            self.correlation < max(Z_NONE * self.error, NONE * self.expected)
            and self.correlation < self.expected - Z_EXPECTED * self.error
        )


def find_unrelated(
    X: np.ndarray,
    y: np.ndarray,
    predictions: np.ndarray,
    weights: np.ndarray,
    total: float,
    were_seen: bool,
    n_different: int,
) -> Association | None:
    """Return the association if predictions (n, c) do not follow y (n, c) though they should.

    `total` is the variance that the teacher knows of, of which that of its predictions over rows is
    a part: with the disagreement of members, or what labels have by the mean probabilities.
    `n_different` is the number of rows without the most frequent value of y.
    """
    n_effective = effective_number(weights)
    if n_effective < MIN_ROWS or n_different < MIN_DIFFERENT:
        return None
    of_y, own = (_variance(each, weights) for each in (y, predictions))
    share = min(own / of_y, own / total) if own > 0 else 0.0
    if share < LEAST_SHARE:
        return None
    expected = np.sqrt(own / of_y)
    found = associate(y, predictions, weights, expected)
    if not found.is_missing:
        return None
    y_ranks, ranks = rankdata(y, axis=0), rankdata(predictions, axis=0)
    if not associate(y_ranks, ranks, weights, expected).is_missing:
        return None
    much = MUCH_SHARE / 2 if were_seen else MUCH_SHARE
    if share > much + 1 / np.sqrt(n_effective) or _is_predictable(X, y, weights, found):
        return found
    return None


def find_moved_outputs(y: np.ndarray, mean: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the outputs that are in another order in a teacher's mean (n, c) than in y (n, c)."""
    y, mean = (_standardise(rankdata(each, axis=0), weights) for each in (y, mean))
    correlations = (y * weights[:, None]).T @ mean / weights.sum()
    outputs, order = linear_sum_assignment(-correlations)
    moved = np.flatnonzero(outputs != order)
    if len(moved) == 0:
        return moved
    # Of each row; the mean over rows is the gain of the correlations.
    gains = (y[:, moved] * (mean[:, order[moved]] - mean[:, moved])).mean(axis=1)
    is_much = len(y) >= MIN_ROWS and np.average(gains, weights=weights) > MUCH
    return moved if is_much and mean_in_errors(gains, weights) > Z_MUCH else moved[:0]


def associate(
    y: np.ndarray, predictions: np.ndarray, weights: np.ndarray, expected: float
) -> Association:
    """Measure how predictions (n, c) go with y (n, c); no order of the rows exceeds `expected`."""
    of_y, own = (_covariance(each, each, weights) for each in (y, predictions))
    size = np.sqrt(of_y.trace() * own.trace())
    if not size > 0:
        return Association(0.0, 1.0, 0.0)
    sorted_y, sorted_predictions = np.sort(y, axis=0), np.sort(predictions, axis=0)
    best = _covariance(sorted_y, sorted_predictions, np.ones(len(y))).trace() / size
    # The variance over all orders of the rows; one over n - 1 of a single column.
    share = np.sum(of_y * own) / size**2
    return Association(
        float(_covariance(y, predictions, weights).trace() / size),
        float(np.sqrt(share / (effective_number(weights) - 1))),
        float(min(expected, best, 1.0)),
    )


def _variance(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the sum of the variances of columns (n, c)."""
    centred = values - np.average(values, axis=0, weights=weights)
    return float(np.average((centred**2).sum(axis=1), weights=weights))


def _covariance(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the covariances (c, c) of columns (n, c)."""
    centred = (each - np.average(each, axis=0, weights=weights) for each in (first, second))
    left, right = centred
    return (left * weights[:, None]).T @ right / weights.sum()


def _standardise(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return columns (n, c) with mean zero and variance one; zeros where they are constant."""
    centred = values - np.average(values, axis=0, weights=weights)
    std = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    return np.divide(centred, std, out=np.zeros_like(centred), where=std > 0)


def _is_predictable(X: np.ndarray, y: np.ndarray, weights: np.ndarray, found: Association) -> bool:
    """Return whether a linear model of the rows predicts y, other than the teacher."""
    if not are_points(X) or len(X) < ROWS_PER_COLUMN * X.shape[1]:
        return False
    linear = associate(y, linear_predictions(X, y), weights, 1.0)
    least = max(PREDICTABLE, max(found.correlation, 0.0) + Z_PREDICTABLE * linear.error)
    return linear.correlation > least


def _some(weights: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    """Return the rows of arrays (n, ...) that have weight, at most `MAX_ROWS` of them."""
    rows = np.flatnonzero(weights > 0)
    if len(rows) > MAX_ROWS:
        rows = rows[spaced_rows(len(rows), MAX_ROWS)]
    return [each[rows] for each in arrays]


def _in_units_of_y(
    y: np.ndarray, mean: np.ndarray, variance: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return centred values (n, 1), predictions and members' variance in standard deviations of y.

    A constant y has its own units.
    """
    # The mean of equal numbers may differ from them by rounding.
    is_constant = bool((y == y[0]).all())
    centre = y[0, 0] if is_constant else y.mean()
    std = 1.0 if is_constant else column_std(y - centre).item()
    with np.errstate(over="ignore"):
        predictions = np.clip((mean - centre) / std, -MOST, MOST)
        return (y - centre) / std, predictions, float(min(variance / std / std, MOST**2))


def _lie_around(predictions: np.ndarray, total: float) -> bool:
    """Return whether predictions (n, 1) of y that is zero at all rows vary around it."""
    sides = min(np.mean(predictions > 0), np.mean(predictions < 0))
    varies = predictions.var() > max(MUCH_SHARE * total, TINY)
    return bool(len(predictions) >= MIN_CONSTANT and sides > SHARE and varies)


def _message(name: str, found: Association, were_seen: bool) -> str:
    record = "By its record, which is of as many rows, the ensemble was fitted to these. "
    return (
        f"The ensemble's predictions do not follow {name}: their correlation is "
        f"{found.correlation:.2f}, where {found.expected:.2f} is expected of predictions that vary "
        f"so much between rows. {record if were_seen else ''}{REMEDY}"
    )
