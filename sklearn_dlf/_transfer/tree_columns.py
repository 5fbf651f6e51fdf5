"""Whether rows pass the splits of an ensemble's trees as the rows of its own fit did, by column.

Trees have the number of their own rows that went each way at a split. A column in another unit goes
one way at nearly all splits that the trees have in it, while other columns are as they were.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from .._utils.blocks import spaced_rows
from ..ensembles._fitted_ensemble import without_wrapper
from ..ensembles._member_models import match_columns
from .row_records import MAX_ROWS, as_rows, parts_of, some_members

# Splits that a row passes in a tree, and trees of one boosted model, which get the same rows.
DEPTH, MAX_TREES = 6, 10

# A column is elsewhere if, on average over the trees, so many rows would go to one side of its
# splits in the shares of the trees' own fit, and less than this share of them does. Columns of
# fewer different thresholds, or values in these rows, have no unit, such as marks. All are choices;
# what they find, and falsely, `benchmarks/wrong_rows.py` counts.
EXPECTED, FEW = 12.0, 0.1
LEAST_THRESHOLDS, LEAST_VALUES, LEAST_TREES = 3, 3, 2


class Tree(NamedTuple):
    """A fitted tree: of each node its children (-1 at leaves), split, and number of own rows."""

    left: np.ndarray
    right: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    nan_goes_left: np.ndarray
    n_rows: np.ndarray


class SplitCounts(NamedTuple):
    """How many rows go to the left and to the right at the splits that trees have in a column.

    Attributes
    ----------
    expected, observed : arrays of shape (2,)
        Sums over splits: by the shares of each tree's own fit, and of the rows.
    n_trees : int
        Number of trees that have such splits.
    thresholds : frozenset
        Where they are.
    has_values : bool
        Whether the rows have several values there.
    """

    expected: np.ndarray
    observed: np.ndarray
    n_trees: int
    thresholds: frozenset
    has_values: bool

    def plus(self, other: SplitCounts) -> SplitCounts:
        """Return the sums over both."""
        return SplitCounts(
            self.expected + other.expected,
            self.observed + other.observed,
            self.n_trees + other.n_trees,
            self.thresholds | other.thresholds,
            self.has_values or other.has_values,
        )

    @property
    def least_share(self) -> float:
        """The smaller share of the expected rows that went to one side; one if it tells nothing."""
        n_thresholds = len(self.thresholds)
        if not self.has_values or self.n_trees < LEAST_TREES or n_thresholds < LEAST_THRESHOLDS:
            return 1.0
        is_known = self.expected >= EXPECTED * self.n_trees
        return float(np.min(self.observed[is_known] / self.expected[is_known], initial=1.0))


def find_column_elsewhere(ensemble: Any, X: Any) -> Any:
    """Return the name or number of a column that is elsewhere than in the trees' own fit, or None.

    Parameters
    ----------
    ensemble : fitted ensemble
    X : rows as the ensemble takes them
    """
    counts: dict[Any, SplitCounts] = {}
    try:
        for tree, rows, names in _trees(ensemble, _some_rows(X), None):
            for number, found in _count_rows(tree, rows).items():
                name = names[number]
                counts[name] = found if name not in counts else counts[name].plus(found)
    except Exception:  # of transformers inside, in any way; evaluation raises it again
        return None
    worst = min(counts, key=lambda name: counts[name].least_share, default=None)
    return worst if worst is not None and counts[worst].least_share < FEW else None


def _some_rows(X: Any) -> Any:
    """Return at most `MAX_ROWS` rows, in their container."""
    rows = spaced_rows(len(X), MAX_ROWS)
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _trees(
    model: Any, X: Any, names: Sequence[Any] | None
) -> Iterator[tuple[Tree, np.ndarray, Sequence[Any]]]:
    """Yield the trees of a model, with its rows (n, d) and the names of their columns.

    ``names`` are those of the columns of X, or None for its own.
    """
    model = without_wrapper(model)
    if isinstance(model, list | tuple):
        for one in some_members(model):
            yield from _trees(one, X, names)
        return
    X = match_columns(model, X)
    if names is None or hasattr(X, "columns"):
        names = list(X.columns) if hasattr(X, "columns") else range(np.shape(X)[1])
    if isinstance(model, Pipeline):
        if len(model.steps) == 1:
            yield from _trees(model[-1], X, names)
        elif all(type(step).__module__.startswith("sklearn.") for step in model[:-1]):
            # Other transformers may be slow, or change when they transform.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = model[:-1].transform(X)
            yield from _trees(model[-1], rows, _names_after(model[:-1], rows))
        return
    if hasattr(model, "tree_"):
        if (rows := as_rows(model, X)) is not None:
            yield _sklearn_tree(model.tree_), rows, names
    elif hasattr(model, "_predictors"):
        encoder = getattr(model, "_preprocessor", None)  # of columns of categories, which it moves
        if encoder is not None:
            names = [names[number] for number in _order_after(encoder, len(names))]
            X = encoder.transform(X)
        if (rows := X if encoder is not None else as_rows(model, X)) is not None:
            for iteration in model._predictors[:MAX_TREES]:
                yield from ((_histogram_tree(one.nodes), rows, names) for one in iteration)
    elif isinstance(getattr(model, "estimators_", None), np.ndarray):  # boosting: more of its trees
        for one in model.estimators_[:MAX_TREES, 0]:
            yield from _trees(one, X, names)
    else:
        for one, columns in parts_of(model):
            if columns is None:
                yield from _trees(one, X, names)
            elif (rows := as_rows(model, X)) is not None:
                yield from _trees(one, rows[:, columns], [names[column] for column in columns])


def _names_after(transformer: Any, rows: Any) -> Sequence[Any]:
    """Return the names of transformed columns, or their numbers with what has made them."""
    try:
        return list(transformer.get_feature_names_out())
    except Exception:  # of transformers that have no names, in many ways
        last = type(transformer[-1]).__name__
        return [f"{number} after {last}" for number in range(np.shape(rows)[1])]


def _order_after(encoder: Any, n_columns: int) -> np.ndarray:
    """Return the numbers of the columns in the order of histogram boosting's own encoder."""
    numbers = np.arange(n_columns)
    return np.concatenate([numbers[columns] for _, _, columns in encoder.transformers_])


def _sklearn_tree(tree: Any) -> Tree:
    nan_left = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        np.asarray(nan_left) != 0,
        tree.n_node_samples,
    )


def _histogram_tree(nodes: np.ndarray) -> Tree:
    """Return a tree that ends at splits of categories."""
    is_end = (nodes["is_leaf"] != 0) | (nodes["is_categorical"] != 0)
    left, right = (np.where(is_end, -1, nodes[side].astype(int)) for side in ("left", "right"))
    return Tree(
        left,
        right,
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"] != 0,
        nodes["count"],
    )


def _count_rows(tree: Tree, X: np.ndarray) -> dict[int, SplitCounts]:
    """Return how rows pass the first splits of a tree, by the number of the column.

    Gaps go where the tree sends them. Splits of gaps alone, at infinity, tell nothing of a unit.
    """
    expected: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(2))
    observed: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(2))
    thresholds: dict[int, set] = defaultdict(set)
    rows_at = {0: np.arange(len(X))}
    for _ in range(DEPTH):
        below = {}
        for node, rows in rows_at.items():
            left, right, threshold = tree.left[node], tree.right[node], tree.threshold[node]
            if left == -1 or not len(rows):
                continue
            column = int(tree.column[node])
            values = X[rows, column]
            goes_left = (values <= threshold) | (np.isnan(values) & tree.nan_goes_left[node])
            if np.isfinite(threshold):
                n_left = np.count_nonzero(goes_left)
                expected[column] += len(rows) * tree.n_rows[[left, right]] / tree.n_rows[node]
                observed[column] += [n_left, len(rows) - n_left]
                thresholds[column].add(float(threshold))
            below[left], below[right] = rows[goes_left], rows[~goes_left]
        rows_at = below
    return {
        column: SplitCounts(
            expected[column],
            observed[column],
            1,
            frozenset(thresholds[column]),
            len(np.unique(X[~np.isnan(X[:, column]), column])) >= LEAST_VALUES,
        )
        for column in expected
    }
