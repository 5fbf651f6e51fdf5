"""Correlation of the noise of y over the outputs of a row, from residuals of unseen rows.

Outputs of y that are measured together have errors in common, and so do the means of members that
were trained to them together. The correlation of the residuals, less the part that is due to the
members' spread, is that of the noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from .._predictive.target_noise import TargetNoise
from .._utils.blocks import spaced_rows

# Rows that are enough, and the fewest; most entries of their covariances over outputs: 128 MiB.
MAX_ROWS, MIN_ROWS, MAX_ENTRIES = 2_000, 50, 2**24

# Members that are drawn at each row. Errors of their correlation average out over rows.
N_DRAWS = 64

# A correlation counts from this many standard errors on: by chance, one in 370 does.
ERRORS = 3.0

# Smallest eigenvalue of the correlation matrix: draws need its root.
LEAST_EIGENVALUE = 1e-3


def noise_correlation(members: Any, noise: TargetNoise, rows: Any) -> np.ndarray | None:
    """Return the correlation (n_outputs, n_outputs) of the noise; None if it is independent.

    Residuals become normal scores by their ranks, which outliers and skewness do not move.

    Parameters
    ----------
    members : StudentMembers
        Members of the trained student.
    noise : TargetNoise
        Noise of every output.
    rows : ResidualRows
        Rows of `fit` that members have not seen.
    """
    n_rows, n_outputs = rows.squares.shape
    n_some = min(n_rows, MAX_ROWS, MAX_ENTRIES // n_outputs**2)
    if n_outputs == 1 or n_some < MIN_ROWS or not rows.are_unseen:
        return None
    some = spaced_rows(n_rows, n_some)
    residuals = np.where(rows.is_above, 1, -1)[some] * np.sqrt(rows.squares[some])
    at_rows = rows.X[some], rows.mean[some], rows.spread[some]
    spread = noise.spread_share * rows.spread[some] + rows.excess[some]
    total = noise.scale * noise.typical_unit * noise.factor(*at_rows) + spread
    total = np.maximum(total, np.finfo(np.float64).tiny)
    ranks = rankdata(residuals / np.sqrt(total), axis=0)
    scores = ndtri((ranks - 0.5) / len(some))
    of_members = np.sqrt(spread / total)
    of_noise = np.sqrt(np.maximum(1 - spread / total, 0.0))
    explained = _correlation_of_members(members, rows.rows[some])
    explained *= of_members[:, :, None] * of_members[:, None]
    products = scores[:, :, None] * scores[:, None] - explained
    weight = (of_noise[:, :, None] * of_noise[:, None]).mean(axis=0)
    mean, error = products.mean(axis=0), products.std(axis=0) / np.sqrt(len(some))
    counts = (np.abs(mean) > ERRORS * error) & ~np.eye(n_outputs, dtype=bool) & (weight > 0)
    if not counts.any():
        return None
    found = np.divide(mean, weight, out=np.zeros_like(mean), where=counts)
    return _nearest_correlation(np.clip(found, -1, 1) + np.eye(n_outputs))


def _correlation_of_members(members: Any, X: np.ndarray) -> np.ndarray:
    """Return the correlation (n, n_outputs, n_outputs) of members at rows, by draws."""
    draws = members.draw(X, N_DRAWS, np.random.RandomState(0))
    draws = draws - draws.mean(axis=-1, keepdims=True)
    std = np.sqrt(np.square(draws).sum(axis=-1, keepdims=True))
    unit = np.divide(draws, std, out=np.zeros_like(draws), where=std > 0)
    return unit @ unit.swapaxes(1, 2)


def _nearest_correlation(matrix: np.ndarray) -> np.ndarray:
    """Return a correlation matrix that is positive definite, near a symmetric one."""
    values, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * np.maximum(values, LEAST_EIGENVALUE)) @ vectors.T
    std = np.sqrt(np.diag(matrix))
    return matrix / (std[:, None] * std)
