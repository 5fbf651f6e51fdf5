"""A teacher of which only the members' predictions at the rows of `fit` are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._rows.chosen import RowOrder, rows_at
from .._utils.blocks import row_blocks
from .._utils.numbers import as_frame, in_memory, is_dask, numeric_array
from .._utils.warning import warn_user
from .design_points import Points
from .teacher import Teacher, with_outputs

# Rows of given predictions at a time. Smaller blocks cost nothing here.
GIVEN_ROWS = 2**12

# So few members of so many outputs are more likely to be outputs of members, in the wrong order.
FEW_MEMBERS, MANY_OUTPUTS = 5, 20


class PredictionsTeacher(Teacher):
    """Predictions of the members at the rows of `fit`.

    Parameters
    ----------
    predictions : array-like (n, n_members) or (n, n_outputs, n_members), or list of arrays
        Members last, or one array (n,) or (n, n_outputs) a member.
    n_samples : int
        Rows of X that the student has.
    order : RowOrder or None
        Which of the rows of `fit` these are, unless they are all of them. Others are not read.
    """

    classes = None  # only the number of outputs is known
    cross_fitted = None

    def __init__(self, predictions: Any, n_samples: int, order: RowOrder | None = None):
        n_given = n_samples if order is None else order.n_given
        if isinstance(predictions, list | tuple):
            predictions = _stack_members(predictions, n_given)
        predictions = as_frame(predictions)
        if is_dask(predictions) and not isinstance(predictions.shape[0], int):
            predictions = in_memory(predictions)  # their number is not known before
        if not is_dask(predictions):
            predictions = _as_numbers(predictions, "predictions")
        _check_shape(predictions.shape, n_given)
        if order is not None:
            predictions = rows_at(predictions, order.numbers)
        self.predictions = _as_numbers(in_memory(predictions), "predictions")
        self.n_samples = n_samples
        self._check_finite()
        self.n_members = self.predictions.shape[-1]

    def evaluate(self, points: Points | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of rows with the members' outputs there."""
        for rows in row_blocks(self.n_samples, GIVEN_ROWS):
            yield rows, with_outputs(self.predictions[rows].astype(np.float64))

    def evaluate_variance(self, points: Points) -> None:
        """Return None: predictions have no variance."""

    def warn_of_swapped_axes(self) -> None:
        """Warn if there are far more outputs than members, and very few of these."""
        shape = self.predictions.shape
        if len(shape) == 3 and shape[2] < FEW_MEMBERS and shape[1] >= MANY_OUTPUTS:
            warn_user(
                f"predictions have shape {shape}, which is read as (n_samples, n_outputs, "
                f"n_members): {shape[1]} outputs of {shape[2]} members. If they are {shape[1]} "
                f"members of {shape[2]} outputs, use np.swapaxes(predictions, 1, 2)."
            )

    def _check_finite(self) -> None:
        """Raise if not all predictions are finite."""
        n_bad = sum(
            np.count_nonzero(~np.isfinite(self.predictions[rows]))
            for rows in row_blocks(self.n_samples, GIVEN_ROWS)
        )
        if n_bad:
            raise ValueError(
                f"predictions must be finite; {n_bad} of {self.predictions.size} values are "
                "missing, NaN or infinite."
            )


def _check_shape(shape: tuple[int, ...], n_samples: int) -> None:
    """Raise if predictions at ``n_samples`` rows cannot have this shape, with the likely reason."""
    expected = f"({n_samples}, n_members) or ({n_samples}, n_outputs, n_members)"
    if len(shape) not in (2, 3) or shape[0] != n_samples:
        hint = ""
        if len(shape) in (2, 3) and n_samples in shape[1:]:
            hint = " Members seem to come first: use np.moveaxis(predictions, 0, -1)."
        raise ValueError(
            f"predictions must have shape {expected}, with one row for each row of X and the "
            f"members last; got {shape}.{hint}"
        )
    if shape[-1] < 2:
        raise ValueError(
            f"predictions must hold at least 2 members along the last axis; got shape {shape}."
        )


def _stack_members(members: list | tuple, n_samples: int) -> np.ndarray:
    """Stack a list with one array a member into one array, members last."""
    members = [_as_numbers(m, f"predictions of member {i}") for i, m in enumerate(members)]
    shapes = {member.shape for member in members}
    if len(members) < 2:
        raise ValueError(f"predictions must hold at least 2 members; got a list of {len(members)}.")
    if len(shapes) > 1 or not members[0].shape or members[0].shape[0] != n_samples:
        hint = ""
        if members[0].ndim == 1 and len(members) == n_samples:
            hint = " For rows of members, pass an array of shape (n_samples, n_members)."
        elif len(shapes) == 1 and members[0].shape and members[0].shape[0] > n_samples:
            hint = " Searches cut arrays with the rows, but not lists: pass an array, members last."
        raise ValueError(
            "A list of predictions must hold one array a member, each of shape "
            f"({n_samples},) or ({n_samples}, n_outputs), with one row for each row of X; got "
            f"{len(members)} arrays of shapes {sorted(shapes)}.{hint}"
        )
    return np.stack(members, axis=-1)


def _as_numbers(values: Any, name: str) -> np.ndarray:
    """Return numbers as an array; those that NumPy holds in up to 64 bits are not copied."""
    is_plain = type(values) in (np.ndarray, np.memmap) and values.dtype.kind in "biuf"
    if is_plain and values.dtype.itemsize <= 8:
        return values
    if _are_labels(values):
        raise TypeError(
            f"{name} must be numbers; got labels. A student of classifiers learns from the "
            "members' probabilities, (n_samples, n_classes, n_members): "
            "np.stack([model.predict_proba(X) for model in models], axis=-1)."
        )
    return numeric_array(values, name)


def _are_labels(values: Any) -> bool:
    """Return whether an array holds strings."""
    if not isinstance(values, np.ndarray) or not values.size:
        return False
    return values.dtype.kind in "UST" or (
        values.dtype.kind == "O" and isinstance(values.flat[0], str)
    )
