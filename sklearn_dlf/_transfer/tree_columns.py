"""Whether rows pass the splits of an ensemble's trees as the rows of its own fit did, by column.

Trees have the number of their own rows that went each way at a split. A column in another unit goes
one way at nearly all splits that the trees have in it, while other columns are as they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._utils.blocks import spaced_rows
from ..ensembles._fitted_ensemble import without_wrapper
from .row_records import MAX_ROWS, as_rows, some_members

# Splits that a row passes in a tree, and trees of one boosted model, which get the same rows.
DEPTH, MAX_TREES = 6, 10

# A column is elsewhere if, on average over the trees, so many rows would go to one side of its
# splits in the shares of the trees' own fit, and less than this share of them does. Columns of
# fewer different thresholds have no unit, such as marks. All are choices; what they find, and
# falsely, `benchmarks/wrong_rows.py` counts.
EXPECTED, FEW = 12.0, 0.1
LEAST_THRESHOLDS, LEAST_TREES = 3, 2


class Tree(NamedTuple):
    """A fitted tree: of each node its children (-1 at leaves), split, and number of own rows."""

    left: np.ndarray
    right: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    nan_goes_left: np.ndarray
    n_rows: np.ndarray


class Passed(NamedTuple):
    """How rows pass the splits of a column: expected and observed numbers to the left and right.

    Sums over trees, of the shares of each tree's own fit and of the rows.
    """

    expected: np.ndarray
    observed: np.ndarray
    n_trees: int
    thresholds: frozenset

    def plus(self, other: Passed) -> Passed:
        """Return the sums over both."""
        return Passed(
            self.expected + other.expected,
            self.observed + other.observed,
            self.n_trees + other.n_trees,
            self.thresholds | other.thresholds,
        )


def find_column_elsewhere(ensemble: Any, X: Any) -> Any:
    """Return the name or number of a column that is elsewhere than in the trees' own fit, or None.

    Parameters
    ----------
    ensemble : fitted ensemble
    X : rows as the ensemble takes them
    """
    passed: dict[Any, Passed] = {}
    try:
        X = _some_rows(X)
        for tree, rows, names in _trees(ensemble, X, None):
            for number, found in _pass_rows(tree, rows).items():
                name = names[number]
                passed[name] = found if name not in passed else passed[name].plus(found)
    except Exception:  # of transformers inside, in any way; evaluation raises it again
        return None
    shares = {name: _least_share(each) for name, each in passed.items()}
    worst = min(shares, key=lambda name: shares[name], default=None)
    return worst if worst is not None and shares[worst] < FEW else None


def _least_share(passed: Passed) -> float:
    """Return the smaller share of the expected rows that went to one side, of many expected."""
    if passed.n_trees < LEAST_TREES or len(passed.thresholds) < LEAST_THRESHOLDS:
        return 1.0
    is_known = passed.expected >= EXPECTED * passed.n_trees
    return float(np.min(passed.observed[is_known] / passed.expected[is_known], initial=1.0))


def _some_rows(X: Any) -> Any:
    """Return at most `MAX_ROWS` rows, in their container."""
    rows = spaced_rows(len(X), MAX_ROWS)
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _trees(model: Any, X: Any, names: Any) -> Iterator[tuple[Tree, np.ndarray, Any]]:
    """Yield the trees of a model, with its rows (n, d) and what columns are called there."""
    model = without_wrapper(model)
    if isinstance(model, list | tuple):
        for one in some_members(model):
            yield from _trees(one, X, names)
        return
    if isinstance(model, Pipeline):
        before = model[:-1]
        if len(before):
            X = before.transform(X)
            names = _names_of(before, X)
        yield from _trees(model[-1], X, names)
        return
    if isinstance(model, FrozenEstimator):
        yield from _trees(model.estimator, X, names)
        return
    rows = as_rows(model, X)
    if names is None:
        names = list(X.columns) if hasattr(X, "columns") else range(np.shape(X)[1])
    if hasattr(model, "tree_"):
        if rows is not None:
            yield _sklearn_tree(model.tree_), rows, names
    elif hasattr(model, "_predictors"):
        if rows is not None and getattr(model, "_preprocessor", None) is None:
            for iteration in model._predictors[:MAX_TREES]:
                yield from ((_histogram_tree(one.nodes), rows, names) for one in iteration)
    elif hasattr(model, "estimators_features_"):
        if rows is not None:
            pairs = zip(model.estimators_, model.estimators_features_, strict=True)
            for one, columns in some_members(list(pairs)):
                yield from _trees(one, rows[:, columns], [names[column] for column in columns])
    elif hasattr(model, "estimators_"):
        members = model.estimators_
        if isinstance(members, np.ndarray):  # trees of boosting; the first ones get rows like y
            members = list(members[:MAX_TREES, 0])
        for one in some_members(members):
            yield from _trees(one, X, names)
    else:
        for name in ("best_estimator_", "regressor_", "estimator_"):
            if hasattr(model, name):
                yield from _trees(getattr(model, name), X, names)
                return


def _names_of(transformer: Any, X: Any) -> Any:
    """Return the names of transformed columns, or None."""
    try:
        return list(transformer.get_feature_names_out())
    except Exception:  # of transformers that have no names, in many ways
        return None


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
    is_leaf = nodes["is_leaf"] != 0
    left, right = (np.where(is_leaf, -1, nodes[side].astype(int)) for side in ("left", "right"))
    return Tree(
        left,
        right,
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"] != 0,
        nodes["count"],
    )


def _pass_rows(tree: Tree, X: np.ndarray) -> dict[int, Passed]:
    """Return how rows pass the first splits of a tree, by the number of the column."""
    expected: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(2))
    observed: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(2))
    thresholds: dict[int, set] = defaultdict(set)
    at = {0: np.arange(len(X))}
    for _ in range(DEPTH):
        below = {}
        for node, rows in at.items():
            left, right = tree.left[node], tree.right[node]
            if left == -1 or not len(rows):
                continue
            column = int(tree.column[node])
            values = X[rows, column]
            goes_left = (values <= tree.threshold[node]) | (
                np.isnan(values) & tree.nan_goes_left[node]
            )
            shares = tree.n_rows[[left, right]] / tree.n_rows[node]
            is_known = ~np.isnan(values)  # gaps tell nothing of the unit
            n_left = np.count_nonzero(goes_left & is_known)
            n_known = np.count_nonzero(is_known)
            expected[column] += n_known * shares
            observed[column] += [n_left, n_known - n_left]
            thresholds[column].add(float(tree.threshold[node]))
            below[left], below[right] = rows[goes_left], rows[~goes_left]
        at = below
    return {
        column: Passed(expected[column], observed[column], 1, frozenset(thresholds[column]))
        for column in expected
    }
