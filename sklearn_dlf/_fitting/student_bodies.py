"""The untrained body of a student's network: of which kind it is, and how it is made."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from .._network.bodies import make_body
from .._network.encodings import choose_edges
from .._transfer.transfer_set import TransferSet
from .._utils.parameters import layer_sizes
from .._utils.seeding import seeded


def name_body(student: Any, is_encoded: bool) -> str:
    """Return the kind of body of a student, which is an estimator."""
    if callable(student.body):
        return "custom"
    return "piecewise_linear" if is_encoded else "mlp"


def count_body_parameters(student: Any, n_features: int) -> int:
    """Return the number of parameters of a student's body, without an encoding."""
    with seeded(0):
        sizes = layer_sizes(student.hidden_layer_sizes)
        own = student.body if callable(student.body) else None
        body = make_body(own, n_features, sizes, student.activation)
    return sum(parameter.numel() for parameter in body.parameters())


def choose_student_edges(student: Any, transfer_set: TransferSet) -> list[np.ndarray] | None:
    """Return the edges of an encoding of the columns, or None for a body without one."""
    if student.body_ != "piecewise_linear":
        return None
    contrasts = transfer_set.contrasts
    edges = choose_edges(
        transfer_set.design,
        contrasts.mean,
        contrasts.variance,
        contrasts.weights,
        n_units=layer_sizes(student.hidden_layer_sizes)[0],
    )
    return edges if any(len(column) > 1 for column in edges) else None  # all are constant


def make_student_body(student: Any, transfer_set: TransferSet) -> nn.Module:
    """Make an untrained body of the kind ``body_`` of a student."""
    return make_body(
        student.body if student.body_ == "custom" else None,
        transfer_set.X.shape[1],
        layer_sizes(student.hidden_layer_sizes),
        student.activation,
        choose_student_edges(student, transfer_set),
    )
