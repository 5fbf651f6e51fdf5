"""What teachers have in common: a fitted ensemble, and predictions that are given.

Both return the members' outputs in blocks of rows, as float64 arrays of shape
(n_block, n_outputs, n_members).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._predictive.transformed_target import TargetTransformer
from .._rows.chosen import RowOrder
from .design_points import Points
from .row_records import RowFacts

# Members' outputs, and y, beyond this are refused: their differences are kept in float32.
MAX_OUTPUT = 1e38


class Teacher(ABC):
    """What both teachers have in common.

    Attributes
    ----------
    n_members : int
        Number of members.
    can_be_evaluated : bool
        Whether there is an ensemble, and not its predictions alone.
    can_be_evaluated_at_others : bool
        Whether it can be evaluated at other rows than those of `fit`.
    unseen : bool array of shape (n_samples, n_members) or None
        Rows that each member did not see. None if that is not known.
    optimism : float
        Squared error of members at new rows over that at rows that they did not see.
    is_record_checked : bool
        Whether ``unseen`` is known to hold for the rows of `fit`.
    grown_loss : float or None
        Loss of trees in their own fit (`unseen_check.loss_of_grown_trees`).
    row_facts : RowFacts
        Whether the rows of `fit` are like those of the ensemble's own fit.
    from_logits : bool
        Whether probabilities are those of logits, so that their logarithms need no floor.
    has_variance : bool
        Whether members have a variance of y of their own.
    is_fitted_here : bool
        Whether the ensemble was fitted to the rows of `fit`.
    are_functions : bool
        Whether members are draws from a posterior that are functions of any rows.
    is_drawn : bool
        Whether they are draws that are made at all rows in one call.
    are_trees : bool
        Whether all members are known to be trees or forests.
    are_of_y : bool
        Whether members predict y itself, though there is a `transformer`.
    transformer : TargetTransformer or None
        What the ensemble does to y, if its members predict a transformed target.
    is_transformed : bool
        Whether members are evaluated in the space of their transformed target; `choose_space` sets
        it.
    cross_fitted : pair of arrays (n_samples, n_outputs), or None
        Mean and variance of members that were not fitted to the row.
    """

    n_members: int
    can_be_evaluated: bool = False
    can_be_evaluated_at_others: bool = False
    unseen: np.ndarray | None = None
    optimism: float = 1.0
    from_logits: bool = False
    # These two are right for predictions and for an ensemble that was fitted here. `find_teacher`
    # sets them for a fitted ensemble.
    is_record_checked: bool = True
    row_facts: RowFacts = RowFacts(match=True)
    grown_loss: float | None = None
    has_variance: bool = False
    is_fitted_here: bool = False
    is_transformed: bool = False
    are_functions: bool = False
    is_drawn: bool = False
    are_trees: bool = False
    are_of_y: bool = False
    transformer: TargetTransformer | None = None

    @property
    def origin(self) -> str:
        """Where it comes from: "given" fitted, "fitted here", or "predictions" of an array."""
        if not self.can_be_evaluated:
            return "predictions"
        return "fitted here" if self.is_fitted_here else "given"

    @abstractmethod
    def evaluate(self, points: Points | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of the points with the members' outputs there."""

    @abstractmethod
    def evaluate_variance(self, points: Points) -> np.ndarray | None:
        """Variance of y around the members at the design points, if they have one."""

    def declare_unseen(self, unseen: Any, n_samples: int, order: RowOrder | None = None) -> None:
        """Set ``unseen`` from the argument of `fit`, if it is given; raise if it is invalid.

        ``order`` tells which of the rows of `fit` the teacher has, unless these are all of them.
        """
        if unseen is None:
            return
        if self.is_fitted_here:
            raise ValueError(
                "unseen says which rows the members of a fitted ensemble did not see, but the "
                "ensemble was not fitted: fit fits it to all rows. Leave unseen out, and use cv=5."
            )
        mask, n_samples = np.asarray(unseen), n_samples if order is None else order.n_given
        if mask.dtype != bool:
            raise TypeError(
                f"unseen must be True or hold booleans; got {type(unseen).__name__} of dtype "
                f"{mask.dtype}. For row numbers, use np.isin(np.arange(n_samples), numbers)."
            )
        shape = n_samples, self.n_members
        if mask.shape not in ((), shape[:1], shape):
            raise ValueError(
                f"unseen must be True, or have shape ({n_samples},) or {shape}: a value for each "
                f"row of X, and for each member if members differ; got {mask.shape}."
            )
        full = np.broadcast_to(mask[:, None] if mask.ndim == 1 else mask, shape)
        full = full.copy() if order is None else full[order.numbers]
        self.unseen = full if full.any() else None
        self.optimism = 1.0
        self.is_record_checked = True


def check_range(values: np.ndarray, name: str, most: float = MAX_OUTPUT) -> None:
    """Raise if values are too large for float32, or for sums of their squares."""
    largest = max(values.max(), -values.min())
    if largest > most:
        raise ValueError(
            f"{name} must lie within {most:g} of zero, which computations in float32 need; got "
            f"{largest:.3g}. Give members and y in a larger unit."
        )


def were_mostly_seen(unseen: np.ndarray | None) -> bool:
    """Return whether members were fitted to most rows, by a record (n, n_members) of the others."""
    return unseen is not None and bool(unseen.mean() < 0.5)


def with_outputs(outputs: np.ndarray) -> np.ndarray:
    """Return members' outputs with an axis for outputs, (n, n_outputs, n_members)."""
    check_range(outputs, "The members' outputs")
    return outputs[:, None, :] if outputs.ndim == 2 else outputs
