"""Cholesky factors of small matrices, and what is solved and inverted by them.

LAPACK is called directly: for matrices of some hundred rows, the checks of scipy take as long as
the work, and fits and streams of rows factorise hundreds and thousands.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dtrtrs


def lower_factor(matrix: np.ndarray) -> np.ndarray:
    """Return the lower Cholesky factor of a positive definite matrix, or raise LinAlgError."""
    factor, info = dpotrf(matrix, lower=1, clean=1)
    if info:
        raise np.linalg.LinAlgError(
            f"The leading minor of order {info} is not positive definite; expected all to be."
        )
    return factor


def solve_lower(factor: np.ndarray, right: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Solve ``factor x = right``, or with the transposed factor, for a lower triangular one."""
    return dtrtrs(factor, right, lower=1, trans=int(transposed))[0]


def inverse_by(factor: np.ndarray) -> np.ndarray:
    """Return the inverse of the matrix that has a lower Cholesky factor, exactly symmetric."""
    lower = np.tril(dpotri(factor, lower=1)[0])
    return lower + np.tril(lower, -1).T
