"""Rows on their way into a network: arrays of any shape and dtype, cast a block at a time."""

from __future__ import annotations

import warnings

import numpy as np
import torch

# Integers that a network takes as they are, such as the ids of tokens. Bytes are no such indices:
# they are the values of pixels.
INDICES = {torch.int8, torch.int16, torch.int32, torch.int64}

# Rows of more bytes than this stay in the memory of the host, and an accelerator gets a batch at a
# time.
MAX_DEVICE_BYTES = 2**30

# Where rows are described: by the number of columns, by the shape of one, or by some of them.
RowsOrShape = int | tuple[int, ...] | np.ndarray


def as_tensor(X: np.ndarray) -> torch.Tensor:
    """Return rows as a tensor, which shares their memory where torch can. Nothing writes to it."""
    if min(X.strides, default=0) < 0:
        X = np.ascontiguousarray(X)
    if not X.dtype.isnative:
        X = X.astype(X.dtype.newbyteorder("="))
    if X.flags.writeable:
        return torch.from_numpy(X)
    with warnings.catch_warnings():  # torch warns of read-only memory, such as that of a memmap
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(X)


def as_input(rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return rows as a network takes them, on the device of one of its parameters.

    Bytes and floats get the precision of the parameter. Other integers become int64: they are
    indices, which a float would spoil.
    """
    if rows.dtype in INDICES:
        return rows.to(device=like.device, dtype=torch.int64)
    return rows.to(like)


def place_rows(X: np.ndarray, device: str | torch.device) -> torch.Tensor:
    """Return rows for training: on the device, or on the host if they are large."""
    rows = as_tensor(X)
    return rows.to(device) if X.nbytes <= MAX_DEVICE_BYTES else rows


def are_points(rows: RowsOrShape) -> bool:
    """Return whether rows are points, whose distances mean something: those of a table of floats.

    Distances between images, or between ids of tokens, tell little of how near two rows are.
    """
    is_raw = isinstance(rows, np.ndarray) and rows.dtype.kind != "f"
    return len(row_shape(rows)) == 1 and not is_raw


def row_shape(rows: RowsOrShape) -> tuple[int, ...]:
    """Return the shape of one row, from a number of columns, from the shape, or from rows."""
    if isinstance(rows, np.ndarray):
        return rows.shape[1:]
    return tuple(rows) if isinstance(rows, tuple | list) else (int(rows),)
