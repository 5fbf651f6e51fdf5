"""Equal rows of a matrix."""

from __future__ import annotations

import numpy as np


def join_equal_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each different row (n_rows, m) is first, in the order of its values.

    And for each row, which of the different ones it is.
    """
    _, first, number = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, number.ravel()  # numpy 2.0 returned a column
