"""The untrained body of a student's network: of which kind it is, and how it is made."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import nn
from torch.nn.parameter import UninitializedParameter

from .._network.bodies import ignore_columns, make_body, measure_body
from .._network.encodings import choose_edges
from .._network.rows import RowsOrShape, are_points
from .._transfer.transfer_set import TransferSet
from .._utils.parameters import layer_sizes
from .._utils.seeding import seeded

# Of the students whose body has a learning rate of its own.
BODY_LR_CONSTRAINTS: dict[str, Any] = {
    "body_lr": [Interval(numbers.Real, 0, None, closed="left")],
}


def name_body(student: Any, is_encoded: bool) -> str:
    """Return the kind of body of a student, which is an estimator."""
    if callable(student.body):
        return "custom"
    return "piecewise_linear" if is_encoded else "mlp"


def count_body_parameters(student: Any, rows: RowsOrShape) -> int:
    """Return the number of parameters of a student's body that are trained, without an encoding.

    ``rows`` are the number of columns, the shape of a row, or some rows.
    """
    sizes = layer_sizes(student.hidden_layer_sizes)
    if callable(student.body):
        with seeded(0):
            body = make_body(student.body, rows, sizes, student.activation)
            if any(isinstance(each, UninitializedParameter) for each in body.parameters()):
                measure_body(body, rows)  # lazy layers learn their sizes
    else:
        body = make_body(None, rows, sizes, student.activation, generator=torch.Generator("cpu"))
    return sum(parameter.numel() for parameter in body.parameters() if parameter.requires_grad)


def choose_student_edges(student: Any, transfer_set: TransferSet) -> list[np.ndarray] | None:
    """Return the edges of an encoding of the columns, or None for a body without one."""
    if student.body_ != "piecewise_linear":
        return None
    if not are_points(transfer_set.X):
        raise ValueError(
            "An encoding of columns needs rows of real columns, standardised; got raw rows of "
            f"{transfer_set.X.dtype} and shape {transfer_set.X.shape[1:]}. Give a callable `body`."
        )
    contrasts = transfer_set.contrasts
    edges = choose_edges(
        transfer_set.design,
        contrasts.mean,
        contrasts.variance,
        contrasts.weights,
        n_units=layer_sizes(student.hidden_layer_sizes)[0],
    )
    return edges if any(len(column) > 1 for column in edges) else None  # all are constant


def make_student_body(
    student: Any, transfer_set: TransferSet, generator: torch.Generator | None = None
) -> nn.Module:
    """Make an untrained body of the kind ``body_`` of a student; frozen if ``body_lr`` is zero."""
    body = make_body(
        student.body if student.body_ == "custom" else None,
        transfer_set.X,
        layer_sizes(student.hidden_layer_sizes),
        student.activation,
        choose_student_edges(student, transfer_set),
        generator,
    )
    if student.body_ == "mlp":
        ignore_columns(body, np.ptp(transfer_set.X, axis=0) == 0)
    return body if student.body_lr else body.requires_grad_(False)
