"""What a fitted ensemble has recorded of the rows of its own fit, compared with other rows.

Trees have the number of rows that went each way at a split. Scalers, naive Bayes and histogram
boosting have the location and the scale of each column. Neighbours, support vector machines and
Gaussian processes keep rows. Linear models and networks record nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array

from .._utils.standardise import MIN_VARIANCE, column_std
from ..ensembles._fitted_ensemble import without_wrapper
from ..ensembles._member_models import match_columns

# Rows and members that are compared at most. They are taken at equal distances, without a draw.
MAX_ROWS, MAX_MEMBERS = 2_000, 10

# Splits that a row passes in a tree before its cell is noted: at most eight cells a tree, so that
# 30 rows are enough to tell their shares to a tenth or two.
TREE_DEPTH = 3

# A tree is elsewhere if this share of the rows would have to change their cell to give the shares
# of its own fit, plus what chance adds: about 0.7 over the root of the number of rows, and of those
# of its fit. Held-out rows of the same kind reach 0.15 (0.3 if they are 30); rows in other units
# 0.4 to 0.9, or less if a class is rare: most rows are then in one cell.
MOVED, MOVED_BY_CHANCE = 0.5, 0.7

# A column is elsewhere if its location is this many scales away (the larger of the two scales), or
# if one scale is this many times the other. Few rows of heavy-tailed columns are seldom that far.
FAR, RATIO = 3.0, 10.0

# Rows that have just been scaled (`are_scaled`) are those that the scaler was fitted to. A teacher
# of scaled rows was then fitted to nearly the same rows, and its record is close to theirs.
MOVED_IF_SCALED, FAR_IF_SCALED, RATIO_IF_SCALED = 0.1, 0.5, 2.0

# The share of the columns that has to be elsewhere.
COLUMNS = 0.5

# Rounding of scaled columns: those of float32 are off by about 1e-6.
SCALED_TOLERANCE = 1e-4


class RowFacts(NamedTuple):
    """What is known of the rows that a teacher gets.

    Attributes
    ----------
    match : bool or None
        Whether they are like those of the teacher's own fit; None if it has no record of them.
    are_scaled : bool
        Whether a scaler seems to have been fitted to these very rows.
    expected : float or None
        Share of the loss of a constant that the members should save at least, if these rows are
        their own (`member_skill.least_skill`); None if that is not known.
    """

    match: bool | None = None
    are_scaled: bool = False
    expected: float | None = None


class Limits(NamedTuple):
    """From where a record contradicts the rows."""

    moved: float
    far: float
    ratio: float


def compare_rows(ensemble: Any, X: Any) -> RowFacts:
    """Compare rows with what a fitted ensemble has recorded of its own."""
    rows = as_rows(ensemble, X)
    if rows is None:
        return RowFacts()
    scaled = are_scaled(rows)
    rows = rows[:: max(1, len(rows) // MAX_ROWS)]
    limits = Limits(MOVED, FAR, RATIO)
    if scaled:
        limits = Limits(MOVED_IF_SCALED, FAR_IF_SCALED, RATIO_IF_SCALED)
    with np.errstate(all="ignore"):
        shares = list(_contradictions(ensemble, rows, limits))
    if not shares:
        return RowFacts(None, scaled)
    return RowFacts(bool(np.mean(shares) < 1), scaled)


def are_scaled(X: np.ndarray) -> bool:
    """Return whether the columns of X (n, d) have exactly the moments that a scaler gives them.

    That is mean 0 and standard deviation 1 (or variance 0), the range 0 to 1, or median 0 and
    interquartile range 1. Columns that do not vary are not judged.
    """
    with np.errstate(all="ignore"):
        low, first, middle, third, high = np.nanpercentile(X, [0, 25, 50, 75, 100], axis=0)
        mean, std = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    varies = high > low
    if not varies.any():
        return False
    # The interquartile range of rare events is zero; such columns are not divided.
    spread = third - first
    exact = (
        np.maximum(np.abs(mean), np.abs(std - 1)),
        np.maximum(np.abs(low), np.abs(high - 1)),
        np.maximum(np.abs(middle), np.where(spread > 0, np.abs(spread - 1), 0)),
    )
    return any(bool((error[varies] < SCALED_TOLERANCE).all()) for error in exact)


def as_rows(model: Any, X: Any) -> np.ndarray | None:
    """Return rows (n, d) with the columns of a model as numbers; None if they are no numbers."""
    try:
        X = check_array(match_columns(model, X), dtype=np.float64, ensure_all_finite=False)
        empty = np.isnan(X).all(axis=0)
        return np.where(empty, 0.0, X) if empty.any() else X
    except (TypeError, ValueError):  # text, sparse rows or other columns; evaluation may raise
        return None


def _contradictions(model: Any, X: Any, limits: Limits) -> Iterator[float]:
    """Yield one value for each record of a model: at least one where it contradicts the rows."""
    model = without_wrapper(model)
    if isinstance(model, list | tuple):
        for one in some_members(model):
            yield from _contradictions(one, X, limits)
        return
    rows = as_rows(model, X)
    n_features = getattr(model, "n_features_in_", None)
    if rows is None or (n_features or rows.shape[1]) != rows.shape[1]:
        return
    if hasattr(model, "tree_"):
        n_own = float(model.tree_.n_node_samples[0])
        chance = MOVED_BY_CHANCE * np.sqrt(1 / len(rows) + 1 / n_own)
        yield moved_share(model.tree_, rows) / (limits.moved + chance)
        return
    for functional, location, scale in _column_records(model):
        elsewhere = columns_elsewhere(rows, functional, location, scale, limits.far, limits.ratio)
        if elsewhere is not None:
            yield elsewhere / COLUMNS
            return
    for part, columns in parts_of(model):
        yield from _contradictions(part, rows if columns is None else rows[:, columns], limits)


def some_members(items: Any) -> list:
    """Return at most `MAX_MEMBERS` items at equal distances."""
    return list(items)[:: -(-len(items) // MAX_MEMBERS)] if len(items) else []


def parts_of(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the fitted parts of a model that get its rows, with their columns (None for all)."""
    if isinstance(model, Pipeline):
        steps = [step for _, step in model.steps if step not in ("passthrough", None)]
        yield steps[0], None
    elif isinstance(model, FrozenEstimator):
        yield model.estimator, None
    elif hasattr(model, "estimators_features_"):
        pairs = list(zip(model.estimators_, model.estimators_features_, strict=True))
        yield from some_members(pairs)
    elif hasattr(model, "estimators_"):  # of forests, voting; of boosting, of which the first rows
        members = model.estimators_
        if isinstance(members, np.ndarray):
            members = list(members[0])
        yield from ((member, None) for member in some_members(members))
    else:
        for name in ("best_estimator_", "regressor_", "estimator_", "_X_scaler", "scaler_"):
            if hasattr(model, name):
                yield getattr(model, name), None
                return
        for calibrated in some_members(getattr(model, "calibrated_classifiers_", [])):
            yield calibrated.estimator, None


Functional = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.nanmean(X, axis=0), column_std(X, np.nanstd)


def _ends(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
    return (low + high) / 2, (high - low) / 2


def _quartiles(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, middle, high = np.nanpercentile(X, [25, 50, 75], axis=0)
    return middle, high - low


def _column_records(model: Any) -> Iterator[tuple[Functional, Any, Any]]:
    """Yield location and scale of the columns as recorded, with the functional that has them."""
    get = model.__dict__.get if hasattr(model, "__dict__") else {}.get
    if get("mean_") is not None and get("var_") is not None:  # StandardScaler
        scale = get("scale_")  # the variance may be too small or too large for float64
        is_held = (get("var_") > MIN_VARIANCE) & np.isfinite(get("var_")) | (scale is None)
        scale = 1.0 if scale is None else np.where(scale == 1, 0.0, scale)  # one: constants
        yield _moments, get("mean_"), np.where(is_held, np.sqrt(get("var_")), scale)
    elif get("data_min_") is not None:  # MinMaxScaler
        low, high = get("data_min_"), get("data_max_")
        yield _ends, (low + high) / 2, (high - low) / 2
    elif get("center_") is not None and get("scale_") is not None:  # RobustScaler
        yield _quartiles, get("center_"), get("scale_")
    elif get("theta_") is not None and get("class_prior_") is not None:  # naive Bayes
        share, means = get("class_prior_")[:, None], get("theta_")
        mean = (share * means).sum(axis=0)
        yield _moments, mean, np.sqrt((share * (get("var_") + (means - mean) ** 2)).sum(axis=0))
    for name in ("_fit_X", "X_train_", "support_vectors_"):
        own = get(name)
        if isinstance(own, np.ndarray) and own.ndim == 2 and len(own) > 1:
            yield _moments, *_moments(own)
    mapper = get("_bin_mapper")
    if mapper is not None and get("_preprocessor") is None:  # histogram boosting of numbers
        own = [np.asarray(thresholds) for thresholds in mapper.bin_thresholds_]
        records = np.array(
            [np.percentile(t, [25, 50, 75]) if len(t) > MAX_MEMBERS else [np.nan] * 3 for t in own]
        )
        yield _quartiles, records[:, 1], records[:, 2] - records[:, 0]


def columns_elsewhere(
    X: np.ndarray, functional: Functional, location: Any, scale: Any, far: float, ratio: float
) -> float | None:
    """Return the share of the columns of X (n, d) that are elsewhere; None if none varies."""
    location, scale = np.asarray(location, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    with np.errstate(all="ignore"):
        own_location, own_scale = functional(X)
        larger = np.maximum(scale, own_scale)
        varies = np.isfinite(location) & (scale > 0) & (own_scale > 0)
        distance = np.abs(own_location - location) / larger
        times = larger / np.minimum(scale, own_scale)
    if not varies.any():
        return None
    return float(np.mean(((distance > far) | (times > ratio))[varies]))


def moved_share(tree: Any, X: np.ndarray) -> float:
    """Return the share of rows in other cells of a tree than the rows of its own fit, in [0, 1].

    Cells are the nodes after `TREE_DEPTH` splits, and leaves before them. The share is the total
    variation distance between the two distributions over cells.
    """
    X = X.astype(np.float32)  # as trees compare
    n_rows = len(X)
    own = np.full(n_rows, 0)
    counts = {0: float(tree.n_node_samples[0])}
    nan_left = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    for _ in range(TREE_DEPTH):
        split = tree.children_left[own] != -1
        values = X[np.arange(n_rows), np.where(split, tree.feature[own], 0)]
        left = (values <= tree.threshold[own]) | (np.isnan(values) & (nan_left[own] != 0))
        below = np.where(left, tree.children_left[own], tree.children_right[own])
        own = np.where(split, below, own)
        counts = {
            child: float(tree.n_node_samples[child])
            for node in counts
            for child in (
                [node]
                if tree.children_left[node] == -1
                else [tree.children_left[node], tree.children_right[node]]
            )
        }
    cells = np.array(list(counts))
    expected = np.array(list(counts.values())) / tree.n_node_samples[0]
    observed = np.array([np.mean(own == cell) for cell in cells])
    return float(np.abs(observed - expected).sum() / 2)
