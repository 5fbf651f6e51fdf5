"""How the variance of y around a member depends on the row: functions ``g`` of one output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.neural_network import MLPRegressor

from .._utils.blocks import row_blocks

# Pieces of the function of each column.
N_PIECES = 5

# Rows that are encoded at a time: few enough for the cache of a processor.
ENCODED_ROWS = 2**9


class PiecewiseLinear(NamedTuple):
    """Encoding of columns by which a linear function of it is piecewise linear in each column.

    A column has a number for each piece: zero below it, one above it, and linear on it
    [Gorishniy2022]_. So the function is constant beyond the range of the data.

    Attributes
    ----------
    columns : array of shape (n_pieces,)
        Column of each piece.
    low, width : arrays of shape (n_pieces,)
        Lower end and width of each piece.
    center : array of shape (n_pieces,)
        Mean of each number, which is subtracted.

    References
    ----------
    .. [Gorishniy2022] Gorishniy, Rubachev, Babenko. "On Embeddings for Numerical Features in
       Tabular Deep Learning". NeurIPS 2022, arXiv:2203.05556.
    """

    columns: np.ndarray
    low: np.ndarray
    width: np.ndarray
    center: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the encoding (n, n_pieces) of values (n, n_columns)."""
        position = values[:, self.columns]
        position -= self.low
        position /= self.width
        return np.clip(position, 0.0, 1.0, out=position) - self.center


def make_piecewise_linear(values: np.ndarray) -> PiecewiseLinear:
    """Return an encoding of columns (n, n_columns) between equally spaced quantiles."""
    levels = np.linspace(0, 1, N_PIECES + 1)
    columns, low, width = [], [], []
    for column, knots in enumerate(np.quantile(values, levels, axis=0).T):
        knots = np.unique(knots)
        columns += [column] * (len(knots) - 1)
        low += list(knots[:-1])
        width += list(np.diff(knots))
    parts = np.array(columns, dtype=int), np.array(low), np.array(width)
    encoding = PiecewiseLinear(*parts, center=np.zeros(len(columns)))
    return encoding._replace(center=encoding(values).mean(axis=0))


class VarianceFunction(NamedTuple):
    """Logarithm of ``g`` of one output: linear in an encoding of columns.

    The columns are those of the standardised row, the members' mean and the logarithm of their
    variance. Where ``g`` was learnt, the variance of the few members that had not seen a row was
    shrunk to its median. The variance at new rows is shrunk as much. Otherwise most of it would lie
    beyond the range that was learnt.

    Attributes
    ----------
    encoding : PiecewiseLinear
        Encoding of the columns.
    coefficients : array of shape (n_pieces,)
        Coefficients of the encoding.
    own_share : float
        Share of the members' variance at the row in the shrunk variance.
    typical_variance : float
        What the variance is shrunk to, in squared units of y.
    """

    encoding: PiecewiseLinear
    coefficients: np.ndarray
    own_share: float = 1.0
    typical_variance: float = 0.0

    def __call__(self, X: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return ``g`` (n,) at rows with this mean and variance (n,) of the members."""
        logarithms, variance = np.empty(len(X)), self.shrink(variance)
        for rows in row_blocks(len(X), ENCODED_ROWS):
            columns = noise_columns(X[rows], mean[rows], variance[rows])
            logarithms[rows] = self.encoding(columns) @ self.coefficients
        return np.exp(logarithms)

    def shrink(self, variance: np.ndarray) -> np.ndarray:
        """Return the members' variance (n,), shrunk as where ``g`` was learnt."""
        return self.own_share * variance + (1 - self.own_share) * self.typical_variance


class NetworkVariance(NamedTuple):
    """``g`` of one output, learnt by a network from the members' own variances.

    Attributes
    ----------
    network : MLPRegressor
        Predicts the standardised logarithm of ``g`` at standardised rows.
    center, unit : float
        Mean and standard deviation of the logarithm.
    lowest, highest : float
        Range of the logarithm that was learnt. Values beyond it are clipped, since an exponential
        must not be extrapolated.
    """

    network: MLPRegressor
    center: float
    unit: float
    lowest: float
    highest: float

    def __call__(self, X: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return ``g`` (n,) at rows."""
        logarithm = self.center + self.unit * self.network.predict(X)
        return np.exp(np.clip(logarithm, self.lowest, self.highest))


def noise_columns(X: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return what the noise of one output may depend on, (n, n_features + 2)."""
    least = np.finfo(np.float64).tiny
    return np.column_stack([X, mean, np.log(np.maximum(variance, least))])


Factor = VarianceFunction | NetworkVariance
