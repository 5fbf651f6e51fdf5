"""What `fit` keeps so that later rows do not overwrite what it has learnt.

The discrepancy is a further head on the body's features. Near the rows of `fit` it is known to be
about zero, as far as the noise there tells: that is the Gram matrix of the features over these
rows, in place of the rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular

from .._latent.member_process import MemberProcess
from .._network.base import PREDICT_ROWS
from .._predictive.target_noise import TargetNoise
from .._utils.blocks import row_blocks, spaced_rows
from .coordinates import (
    MAX_COEFFICIENTS,
    Coordinates,
    FittedHeads,
    choose_coordinates,
    features_of,
)
from .laplace import flattening
from .posterior import NO_COLUMNS

# Numerically zero, relative to the largest eigenvalue of a Gram matrix kept in float32.
LEAST_EIGENVALUE = 1e-7

# Least information that a row of `fit` has of the latent outputs; a label tells at most a quarter.
# Where classes are certain, labels tell next to nothing, but the ensemble has told its logits.
LEAST_INFORMATION = 0.05

# Columns of two values that are features too, at most; the Gram matrix grows with them.
MAX_INDICATORS = 20


class Memory(NamedTuple):
    """Gram matrix of the features over the rows of `fit`, weighted by what each row tells.

    Attributes
    ----------
    gram : float32 array of shape (p * (p + 1) / 2,), or array of shape (c, 2, 2)
        Sum over rows of the products of features: the lower triangle, row by row. If there are too
        many coefficients, it is that of a one and the mean, for each output.
    square : float
        Mean over rows of the squared length of the body's features and the one.
    noise_variance : array of shape (c,)
        Variance that a row of weight one has around the factors, in squared units of the outputs.
    columns : int array of shape (n_columns,)
        Columns of the rows that are features too; see `indicators`.
    """

    gram: np.ndarray
    square: float
    noise_variance: np.ndarray
    columns: np.ndarray = NO_COLUMNS

    def emptied(self) -> Memory:
        """Return the memory of no rows."""
        return self._replace(gram=np.zeros_like(self.gram))

    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (p,) and eigenvectors (p, p) of the Gram matrix, none negative."""
        p = int(np.sqrt(2 * len(self.gram)))
        lower = np.zeros((p, p))
        lower[np.tril_indices(p)] = self.gram
        values, vectors = eigh(lower, lower=True)
        return np.where(values > LEAST_EIGENVALUE * values[-1], values, 0.0), vectors


def learn_memory(
    members: Any,
    heads: FittedHeads,
    X: np.ndarray,
    weights: np.ndarray,
    covariance_of_rows: Any,
) -> Memory:
    """Return the memory of the rows of `fit`.

    Parameters
    ----------
    members : LatentFactorMembers
        Members of the trained student.
    heads : FittedHeads
        Its heads.
    X : array of shape (n, *row_shape)
        Rows of `fit`, standardised.
    weights : array of shape (n,)
        Their weights.
    covariance_of_rows : callable
        Takes rows, and returns the covariance (n, c, c) around the factors that an observation has.
    """
    is_full = choose_coordinates(heads).basis is None
    n_outputs, p = heads.mean.shape
    columns = indicators(X, MAX_COEFFICIENTS // n_outputs - p) if is_full else NO_COLUMNS
    affine = np.stack([np.broadcast_to(np.eye(p)[-1], heads.mean.shape), heads.mean], axis=1)
    blocks = [*row_blocks(len(X), PREDICT_ROWS)]
    variance = np.concatenate(
        [np.diagonal(covariance_of_rows(X[rows]), axis1=1, axis2=2) for rows in blocks]
    )
    noise_variance = weights.sum() / (weights @ (1 / variance))
    tells = weights[:, None] * noise_variance / variance  # the weight itself, on average
    size = p + len(columns)
    gram = np.zeros((size, size) if is_full else (n_outputs, 2, 2))
    is_of_body = np.arange(size) < p - 1
    is_of_body[-1] = True  # the one
    square = 0.0
    for rows in blocks:
        features = features_of(members.network, X[rows], columns)
        square += weights[rows] @ np.square(features[:, is_of_body]).sum(axis=1)
        if is_full:
            gram += (features * tells[rows].mean(axis=1)[:, None]).T @ features
        else:
            at_rows = np.einsum("np,cjp->cnj", features, affine)
            gram += np.einsum("cni,nc,cnj->cij", at_rows, tells[rows], at_rows)
    if is_full:
        gram = gram[np.tril_indices(size)].astype(np.float32)
    return Memory(gram, float(square / weights.sum()), noise_variance, columns)


def indicators(X: np.ndarray, n_most: int) -> np.ndarray:
    """Return the numbers of columns of rows (n, d) that have two values, those of few rows first.

    There are at most ``n_most`` of them, and `MAX_INDICATORS`.
    """
    n_most = min(n_most, MAX_INDICATORS)
    if X.ndim != 2 or n_most < 1 or not len(X):
        return NO_COLUMNS
    some = X[spaced_rows(len(X), 1000)]
    shares = {}
    for column in np.flatnonzero(_two_values(some).all(axis=0)):
        values = X[:, column]
        share = np.mean(values == values.max())
        if share < 1 and _two_values(values).all():
            shares[column] = min(share, 1 - share)
    return np.sort(np.array(sorted(shares, key=shares.__getitem__)[:n_most], dtype=np.intp))


def _two_values(values: np.ndarray) -> np.ndarray:
    """Whether values (n, ...) are the smallest or the largest of their column."""
    return (values == values.min(axis=0)) | (values == values.max(axis=0))


def value_covariance(
    members: Any, noise: TargetNoise, X: np.ndarray, process: MemberProcess | None = None
) -> np.ndarray:
    """Covariance (n, c, c) of y around the factors at rows: local part, misfit and noise of y.

    The noise counts with its mean, or with its scale where its tails are so heavy that the mean is
    far larger. The members' part is the share that counts for y. ``process`` is theirs at the rows,
    if it is known.
    """
    process = members.process(X, exact=True) if process is None else process
    share = np.sqrt(noise.spread_share)
    covariance = share[:, None] * share * process.local_covariance
    variance = np.diagonal(process.output_covariance, axis1=1, axis2=2)
    points = members.points(X) if noise.depends_on_row else X
    factor = noise.factor(points, process.mean, variance)
    own = factor * noise.scale * noise.typical_unit + noise.misfit(variance)
    own += noise.tail_share * variance
    outputs = np.arange(own.shape[1])
    covariance[:, outputs, outputs] += np.maximum(own, np.finfo(np.float64).tiny)
    return covariance


def latent_covariance(members: Any, X: np.ndarray) -> np.ndarray:
    """Covariance (n, c, c) that a row of `fit` stands for: the inverse of its Fisher information.

    A label tells the more of the latent outputs, the less certain its class is, and the less they
    vary from member to member at the row alone (`flattening`).
    """
    probabilities = members.probabilities(X)[0]
    process = members.process(X)
    share = flattening(process.mean, process.local_covariance)[:, None]
    information = np.square(share) * np.maximum(
        probabilities * (1 - probabilities), LEAST_INFORMATION
    )
    return np.eye(members.n_outputs) / information[:, -members.n_outputs :, None]


def remember(coordinates: Coordinates, memory: Memory, root: np.ndarray) -> np.ndarray:
    """Return a root (k, n) of a prior covariance, given what the rows of `fit` tell.

    Parameters
    ----------
    coordinates : Coordinates
        All coefficients.
    memory : Memory
        What is known at the rows of `fit`.
    root : array of shape (k, n)
        Root of the covariance without that knowledge.
    """
    values, vectors = memory.spectrum()
    n_outputs = coordinates.n_outputs
    known = np.zeros((n_outputs, len(values), n_outputs, len(values)))
    for output, noise in enumerate(memory.noise_variance):
        known[output, :, output] = (vectors * (values / noise)) @ vectors.T
    precision = np.eye(root.shape[1]) + root.T @ known.reshape(len(root), -1) @ root
    own = cholesky(precision, lower=True)
    return solve_triangular(own, root.T, lower=True).T


def discrepancy_root(coordinates: Coordinates, memory: Memory, std: np.ndarray) -> np.ndarray:
    """Vectors (k, n) of the prior of a discrepancy, a root of its covariance.

    Parameters
    ----------
    coordinates : Coordinates
        Of the vectors.
    memory : Memory
        What is known at the rows of `fit`.
    std : array of shape (c,)
        Standard deviation of the discrepancy at a typical row, without that knowledge.
    """
    n_outputs = coordinates.n_outputs
    roots = []
    if coordinates.basis is None:
        values, vectors = memory.spectrum()
        for output in range(n_outputs):
            alone = memory.square / std[output] ** 2
            known = values / memory.noise_variance[output]
            block = np.zeros((n_outputs, *vectors.shape))
            block[output] = vectors / np.sqrt(alone + known)
            roots.append(block.reshape(coordinates.size, -1))
        return np.concatenate(roots, axis=1)
    for output, vectors in enumerate(coordinates.affine()):
        # A one and the mean of a typical row both have the standard deviation.
        sums = np.diag(memory.gram[output])
        alone = np.diag([1.0, sums[1] / sums[0] if sums[1] > 0 else 1.0]) / std[output] ** 2
        values, turn = eigh(memory.gram[output] / memory.noise_variance[output] + alone)
        roots.append(vectors.T @ (turn / np.sqrt(values)))
    return np.concatenate(roots, axis=1)


def typical_unknown(coordinates: Coordinates, memory: Memory, std: np.ndarray) -> np.ndarray:
    """Mean variance (c,) of a discrepancy over the rows of `fit`; see `discrepancy_root`."""
    if not memory.gram.any():
        return np.zeros(coordinates.n_outputs)
    if coordinates.basis is None:
        values, _ = memory.spectrum()
        alone = memory.square / np.square(std)[:, None]
        known = values / memory.noise_variance[:, None]
        return (values / (alone + known)).sum(axis=1) / memory.gram[-1]
    typical = []
    for output, gram in enumerate(memory.gram.astype(np.float64)):
        sums = np.diag(gram)
        alone = np.diag([1.0, sums[1] / sums[0] if sums[1] > 0 else 1.0]) / std[output] ** 2
        precision = gram / memory.noise_variance[output] + alone
        typical.append(np.trace(np.linalg.solve(precision, gram)) / sums[0])
    return np.array(typical)
