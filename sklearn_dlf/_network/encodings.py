"""Piecewise-linear encoding of columns: a first layer that bends where trees split.

References
----------
.. [Gorishniy2022] Gorishniy, Rubachev, Babenko. "On embeddings for numerical features in tabular
   deep learning". NeurIPS 2022, arXiv:2203.05556.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from .._utils.blocks import spaced_rows

# Numbers of an encoding and of the weights that read it, the largest part of a student of trees.
# With two hidden layers of 100 units, ten factors and one output, the pickle of a student stays
# below 96 KiB.
ENCODING_NUMBERS = 9_500

# Bins at most for each unit of the first layer. A student with few units stays small.
MAX_BINS_PER_UNIT = 2

# Bins that the columns have on average at least, whatever the size: one alone is a straight line.
MIN_BINS_PER_COLUMN = 2

# Edges are thresholds of a tree that is fitted to at most this many design points, of which each
# leaf has at least some, so that edges are not where single rows happen to lie.
MAX_TREE_ROWS, MIN_LEAF_ROWS = 10_000, 5

# The tree predicts the logarithm of the members' variance, to which this share of its mean is
# added: relative differences of a smaller variance do not matter.
VARIANCE_FLOOR = 1e-3

# Bins are wider than this many roundings of their edges to float32.
N_ROUNDINGS = 8


class PiecewiseLinearEncoding(nn.Module):
    """Bins of columns: each is -1 below its edges, 1 above, linear in between [Gorishniy2022].

    In the reference the bins are within 0 and 1; around zero, layers learn from the first step on.
    A value beyond all edges of its column is encoded as the nearest edge. So whatever reads the
    encoding is constant there, as trees are.

    Parameters
    ----------
    edges : sequence of float arrays
        Increasing edges of the bins of each column: one more than bins, or none.

    Attributes
    ----------
    n_bins : int
        Bins of all columns.
    columns : buffer of shape (n_bins,)
        Column of each bin.
    centre, slope : buffers of shape (n_bins,)
        Each bin is ``(X[:, column] - centre) * slope``, clipped to -1 and 1.
    """

    columns: torch.Tensor
    centre: torch.Tensor
    slope: torch.Tensor

    def __init__(self, edges: Sequence[np.ndarray]):
        super().__init__()
        counts = [max(0, len(column) - 1) for column in edges]
        centre = np.concatenate([(column[1:] + column[:-1]) / 2 for column in edges])
        slope = 2 / np.concatenate([np.diff(column) for column in edges])
        columns = np.repeat(np.arange(len(edges), dtype=np.int32), counts)
        self.n_bins = sum(counts)
        self.register_buffer("columns", torch.as_tensor(columns))
        self.register_buffer("centre", torch.as_tensor(centre, dtype=torch.float32))
        self.register_buffer("slope", torch.as_tensor(slope, dtype=torch.float32))

    def forward(self, X):
        """Encode rows (m, n_features) as bins (m, n_bins), in place where X has no derivative."""
        # The difference comes first: with narrow bins, products would round off what is left of it.
        bins = X.index_select(1, self.columns)
        if X.requires_grad:
            return ((bins - self.centre) * self.slope).clamp(-1, 1)
        return bins.sub_(self.centre).mul_(self.slope).clamp_(-1, 1)


def choose_edges(
    X: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    weights: np.ndarray,
    n_units: int,
) -> list[np.ndarray]:
    """Choose edges of bins: half of them where rows lie, half where the members change most.

    The first are quantiles of each column, or all of its values if these are few: a column of two
    values has one bin. The others are the thresholds of one tree that predicts the members' mean
    and log variance. So there are more bins in columns that matter more.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Standardised design points.
    mean, variance : arrays of shape (n, n_outputs)
        Members' mean in units of its standard deviation over rows, and members' variance in units
        of its mean.
    weights : array of shape (n,)
        Weights of the rows; those of weight zero do not count.
    n_units : int
        Units of the layer that reads the bins.

    Returns
    -------
    list of float64 arrays
        Edges of each column, its least and its largest value included. None if these are the same.
    """
    counted = np.flatnonzero(weights > 0)
    affordable = min(ENCODING_NUMBERS // (n_units + 2), MAX_BINS_PER_UNIT * n_units)
    n_bins = max(affordable, MIN_BINS_PER_COLUMN * X.shape[1])
    values = [np.unique(column) for column in X[counted].astype(np.float64).T]
    edges = _quantile_edges(values, X[counted], n_bins // 2)
    n_left = n_bins - sum(max(0, len(column) - 1) for column in edges)
    some = counted[spaced_rows(len(counted), MAX_TREE_ROWS)]
    tree = _fit_tree(X[some], mean[some], variance[some], weights[some], n_left)
    for column, own in enumerate(edges):
        if len(own) < len(values[column]):  # otherwise bins can take any value at each of them
            own = np.union1d(own, tree.threshold[tree.feature == column])
        edges[column] = _separate(own)
    return edges


def _quantile_edges(values: list[np.ndarray], X: np.ndarray, n_bins: int) -> list[np.ndarray]:
    """Return edges of about ``n_bins`` bins in all, at quantiles of each column of X.

    Columns have the same number of bins, except that those of few ``values`` leave bins to the
    others.
    """
    edges: list[Any] = [None] * len(values)
    for n_done, column in enumerate(np.argsort([len(each) for each in values])):
        share = max(1, n_bins // (len(values) - n_done))
        edges[column] = values[column]
        if len(values[column]) > share + 1:
            quantiles = np.linspace(0, 1, share + 1)
            edges[column] = np.unique(np.quantile(X[:, column], quantiles))
        n_bins -= len(edges[column]) - 1
    return edges


def _fit_tree(
    X: np.ndarray, mean: np.ndarray, variance: np.ndarray, weights: np.ndarray, n_splits: int
) -> Any:
    """Return the nodes of a tree of ``n_splits`` that predicts mean and log variance (n, c)."""
    spread = np.log(variance + VARIANCE_FLOOR)
    unit = np.maximum(spread.std(axis=0), VARIANCE_FLOOR)  # roundings of a constant stay small
    targets = np.concatenate([mean, (spread - spread.mean(axis=0)) / unit], axis=1)
    tree = DecisionTreeRegressor(
        max_leaf_nodes=max(1, n_splits) + 1,
        min_samples_leaf=MIN_LEAF_ROWS,
        random_state=0,  # breaks ties between equal columns
    )
    return tree.fit(X, targets, sample_weight=weights).tree_


def _separate(edges: np.ndarray) -> np.ndarray:
    """Return increasing edges without those too close to the one before; none if one is left."""
    gap = N_ROUNDINGS * np.finfo(np.float32).eps * np.abs(edges[1:])
    edges = edges[np.append(True, np.diff(edges) > gap)]
    return edges if len(edges) > 1 else edges[:0]
