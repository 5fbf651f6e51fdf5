"""Coordinates of all that new labelled rows can change: linear heads on the body's features.

With the features ``h(x)`` and a one behind them, a student's mean and loadings are linear in
``(h, 1)``. So every change that a posterior makes, of the factors, of an affine function of the
mean, or of a further head, is a change of the coefficients of ``(h, 1)``. Some columns of the rows
stand between both, as further features: indicators, of which a body that has seen few rows of a
group has no linear function. Coefficients are in units of the members' outputs, float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from .._network.heads import Units
from .._predictive.few_rows import few_rows_of
from .._predictive.members import split_process
from .posterior import NO_COLUMNS, Normal

# Most coefficients of a head on all features, outputs times features. Matrices of this many rows
# and columns are factorised in an update, and kept: 2 MB. With more of them only the factors and an
# affine function of each mean can change.
MAX_COEFFICIENTS = 500


class FittedHeads(NamedTuple):
    """Coefficients of a fitted student's heads, for p features; the last is constant.

    Attributes
    ----------
    mean : array of shape (c, p)
        Mean of the members; without the center of the units.
    loadings : array of shape (c, p, k)
        Loadings of all factors, without a mixing: with one there are ``k = c q`` of them. Only the
        share of each factor that is common to all rows is in them.
    """

    mean: np.ndarray
    loadings: np.ndarray


def read_heads(network: Any, units: Units, columns: np.ndarray = NO_COLUMNS) -> FittedHeads:
    """Return the coefficients of a trained network's heads; those of columns are zero."""
    weight = network.heads.weight.detach().cpu().numpy().astype(np.float64)
    bias = network.heads.bias.detach().cpu().numpy().astype(np.float64)
    both = torch.from_numpy(np.concatenate([weight, bias[:, None]], axis=1).T)
    heads = network.layout.split(both)
    mean, loadings = heads.mean.numpy().T, heads.loadings.numpy()  # (c, p), (p, c or 1, q)
    shares = network.factor_shares.cpu().numpy().astype(np.float64)
    loadings = loadings * np.sqrt(shares)
    if network.mixing is None:
        dense = loadings.transpose(1, 0, 2)
    else:  # mixing Z loadings, with the entries of Z in the order of its rows
        mixing = network.mixing.cpu().numpy().astype(np.float64)
        dense = np.einsum("kl,pq->kplq", mixing, loadings[:, 0])
        dense = dense.reshape(*dense.shape[:2], -1)
    before_one = np.full(len(columns), mean.shape[1] - 1)
    mean, dense = (np.insert(each, before_one, 0.0, axis=1) for each in (mean, dense))
    scale, spread = (np.asarray(unit, dtype=np.float64) for unit in units[1:])
    return FittedHeads(scale[:, None] * mean, spread[:, None, None] * dense)


def features_of(network: Any, X: np.ndarray, columns: np.ndarray = NO_COLUMNS) -> np.ndarray:
    """Return features (n, p) at rows, float64 where the body predicts in it.

    Behind those of the body are the ``columns`` of the rows, and a one.

    They do not depend on the rows they are evaluated with, so that neither does a posterior.
    """
    frozen = network.frozen(exact=True)
    return all_features(frozen, frozen.evaluate_body(X), X, columns)


def features_and_local(
    members: Any, X: np.ndarray, columns: np.ndarray = NO_COLUMNS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of rows, as `features_of` does, and the local part's covariance.

    The covariance (n, c, c) is that of what members have at each row alone.
    """
    frozen = members.network.frozen(exact=True)
    is_simple = members.n_outputs == 1 and frozen.is_double
    few = few_rows_of(frozen, members.units) if is_simple else None
    if few is not None:
        features, heads = few.features_and_columns(X)
        local = np.square(members.units.spread) * few.local_variance(heads)
        return all_features(frozen, features, X, columns), local[..., None]
    features, heads = frozen.evaluate_with_body(X)
    process = split_process(heads, members.units, members.factor_shares)
    return all_features(frozen, features, X, columns), process.local_covariance


def all_features(
    frozen: Any, features: np.ndarray, X: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return the features of a frozen body as they were trained, columns, and a one."""
    n_body = features.shape[1]
    result = np.ones((len(features), n_body + len(columns) + 1))
    np.divide(features, getattr(frozen.body, "scale", 1.0), out=result[:, :n_body])
    if len(columns):
        result[:, n_body:-1] = X[:, columns]
    return result


class Coordinates(NamedTuple):
    """Vectors of k numbers that stand for changes of the coefficients.

    Attributes
    ----------
    heads : FittedHeads
        Heads that are changed.
    basis : array of shape (c, p, k) or None
        Coefficients that each number stands for. None if the numbers are the coefficients of all
        outputs, one output after the other.
    root_share : array of shape (c,) or None
        Share of the members' standard deviation that counts for y. The loadings are so much of the
        members'. None for all of it.
    """

    heads: FittedHeads
    basis: np.ndarray | None
    root_share: np.ndarray | None = None

    @property
    def n_outputs(self) -> int:
        """Outputs."""
        return len(self.heads.mean)

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return self.heads.mean.size if self.basis is None else self.basis.shape[-1]

    def coefficients(self, vectors: np.ndarray) -> np.ndarray:
        """Return the coefficients (c, p, ...) of vectors (k, ...)."""
        if self.basis is None:
            return vectors.reshape(*self.heads.mean.shape, *vectors.shape[1:])
        return np.tensordot(self.basis, vectors, axes=1)

    def design(self, features: np.ndarray) -> np.ndarray:
        """Return the matrices (n, c, k) that turn vectors into changes of the outputs."""
        if self.basis is not None:
            return np.einsum("np,cpk->nck", features, self.basis, optimize=True)
        n_outputs, p = self.heads.mean.shape
        design = np.zeros((len(features), n_outputs, n_outputs, p))
        for output in range(n_outputs):
            design[:, output, output] = features
        return design.reshape(len(features), n_outputs, -1)

    def information(self, features: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Return ``sum_i D_i' R_i D_i`` (k, k), for precisions R (n, c, c) and `design` D."""
        if self.basis is not None:
            design = self.design(features)
            flat = design.reshape(-1, design.shape[-1])
            weighted = (precision @ design).reshape(flat.shape)
            return 0.5 * (flat.T @ weighted + weighted.T @ flat)
        n_outputs, p = self.heads.mean.shape
        blocks = np.empty((n_outputs, p, n_outputs, p))
        for one in range(n_outputs):
            for other in range(one + 1):
                block = (features * precision[:, one, other, None]).T @ features
                if one == other:  # exactly symmetric, so that half of the matrix says all
                    block = 0.5 * (block + block.T)
                blocks[one, :, other], blocks[other, :, one] = block, block.T
        return blocks.reshape(self.size, self.size)

    def gradient(self, features: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return ``sum_i D_i' g_i`` (k,) for slopes g (n, c)."""
        by_coefficient = slopes.T @ features
        if self.basis is None:
            return by_coefficient.ravel()
        return np.tensordot(by_coefficient, self.basis, axes=2)

    def factor_root(self) -> np.ndarray:
        """Vectors (k, n_factors) that the factors add: a root of their prior covariance."""
        n_factors = self.heads.loadings.shape[-1]
        if self.basis is None:
            return self.heads.loadings.reshape(-1, n_factors)
        return np.eye(self.size, n_factors)

    def factors_behind(self, start: int = 0) -> slice:
        """Which coefficients of a root are factors whose posterior is needed; they start there.

        None are if all of the members' variance counts for y: changes of the outputs tell all.
        """
        is_all = self.root_share is None or bool(np.all(self.root_share == 1))
        return slice(start, start if is_all else start + self.heads.loadings.shape[-1])

    def returned_factors(self) -> np.ndarray | None:
        """Return `factor_root` if the posterior of the factors is needed, or None."""
        behind = self.factors_behind()
        return self.factor_root() if behind.stop > behind.start else None

    def change_of_mean(self, normal: Normal) -> np.ndarray:
        """Return the coefficients (c, p) that a posterior adds to those of the mean."""
        return self.coefficients(normal.mean[: self.size])

    def change(self, normal: Normal) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return what a posterior changes: coefficients of the mean (c, p), and two roots.

        The roots (c, p, r) are those of the members' coefficients, and of the part that counts for
        y. In the former, the members' own factors count fully, and what the mean misses as it is.
        The latter is None if all counts.
        """
        counted = self.coefficients(normal.root[: self.size])
        mean = self.change_of_mean(normal)
        if len(normal.root) == self.size:
            return mean, counted, None
        assert self.root_share is not None
        further = (1 / self.root_share - 1)[:, None, None] * self.heads.loadings
        return mean, counted + further @ normal.root[self.size :], counted

    def affine(self) -> np.ndarray:
        """Vectors (c, 2, k) that add a one and the mean to each output."""
        n_outputs, p = self.heads.mean.shape
        vectors = np.zeros((n_outputs, 2, self.size))
        for output in range(n_outputs):
            if self.basis is None:
                vectors[output, 0, (output + 1) * p - 1] = 1.0
                vectors[output, 1, output * p : (output + 1) * p] = self.heads.mean[output]
            else:
                first = self.heads.loadings.shape[-1] + 2 * output
                vectors[output, :, first : first + 2] = np.eye(2)
        return vectors

    def affine_root(self, shift: np.ndarray, stretch: float) -> np.ndarray:
        """Return a root (k, 2 c) of the covariance of shifts and multiples of the outputs.

        Their standard deviations are ``shift`` (c,), in units of the outputs, and ``stretch``.
        """
        vectors = self.affine()
        vectors[:, 0] *= shift[:, None]
        vectors[:, 1] *= stretch
        return vectors.reshape(-1, self.size).T


def choose_coordinates(heads: FittedHeads) -> Coordinates:
    """Return all coefficients as coordinates, or factors and affine functions if there are many."""
    n_outputs, p = heads.mean.shape
    if heads.mean.size <= MAX_COEFFICIENTS:
        return Coordinates(heads, None)
    affine = np.zeros((n_outputs, p, 2 * n_outputs))
    for output in range(n_outputs):
        affine[output, -1, 2 * output] = 1.0
        affine[output, :, 2 * output + 1] = heads.mean[output]
    return Coordinates(heads, np.concatenate([heads.loadings, affine], axis=-1))


def scale_loadings(
    coordinates: Coordinates, root_share: np.ndarray, slope: np.ndarray | float = 1.0
) -> Coordinates:
    """Return coordinates whose loadings are those that count for y, times a slope (c,)."""
    heads = coordinates.heads
    multiples = (slope * root_share)[:, None, None]
    scaled = heads._replace(loadings=multiples * heads.loadings)
    if coordinates.basis is None:
        return Coordinates(scaled, None, root_share)
    basis = coordinates.basis.copy()
    basis[..., : heads.loadings.shape[-1]] *= multiples
    return Coordinates(scaled, basis, root_share)
