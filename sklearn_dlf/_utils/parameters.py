"""Parameters of estimators: how they are stored, and constraints that scikit-learn lacks."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import Interval, Options
from skorch.callbacks import Callback
from torch import nn


def store_parameters(estimator: Any, arguments: dict[str, Any]) -> None:
    """Store the arguments of an estimator's ``__init__``, each under its own name.

    Call it as ``store_parameters(self, locals())``, first and alone. scikit-learn wants a full
    signature for each set of parameters, and each parameter stored as it is. This function stores
    them, so that no second list of the names is needed.
    """
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


class Count(Interval):
    """An integer of at least one. True and False are refused."""

    def __init__(self) -> None:
        super().__init__(numbers.Integral, 1, None, closed="left")

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether `val` is a positive integer and no bool."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


def check_count(value: Any, name: str) -> int:
    """Return an argument that counts something, or raise if it is no positive integer."""
    return check_integer(value, name, 1)


def check_integer(value: Any, name: str, least: int | None = None) -> int:
    """Return an argument, or raise if it is no integer, or is below the least one."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an instance of int, not bool; got {value}.")
    return int(check_scalar(value, name, numbers.Integral, min_val=least))


def check_path(value: Any, name: str) -> Path:
    """Return an argument as a path, or raise TypeError if it is no string and no path."""
    if not isinstance(value, str | PathLike):
        raise TypeError(f"{name} must be a string or a path; got {value!r}.")
    return Path(value)


def check_levels(levels: ArrayLike, name: str) -> np.ndarray:
    """Return levels of quantiles or intervals (n_levels,), or raise if they are not within 0 and 1.

    One number is a level too.
    """
    try:
        checked = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    except (TypeError, ValueError):  # text, complex numbers, or lists of several lengths
        checked = np.full(1, np.nan)
    if checked.ndim != 1 or not checked.size or not np.all((checked > 0) & (checked < 1)):
        raise ValueError(
            f"{name} must lie strictly between 0 and 1, one or more in one dimension; got "
            f"{levels!r}."
        )
    return checked


class _Constraint(Options):
    """Base of constraints; scikit-learn accepts only subclasses of its own constraints."""

    def __init__(self) -> None:
        super().__init__(object, set())


class LayerSizes(_Constraint):
    """Units of hidden layers: one positive integer, or a sequence of them.

    Iterators are refused: validation would consume them, and no layers would be left.
    """

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether `val` gives the sizes of hidden layers."""
        if Count().is_satisfied_by(val):
            return True
        is_sequence = isinstance(val, Sequence) and not isinstance(val, str)
        is_vector = isinstance(val, np.ndarray) and val.ndim == 1
        return (is_sequence or is_vector) and all(Count().is_satisfied_by(size) for size in val)

    def __str__(self) -> str:
        return "an int in the range [1, inf) or a sequence of such ints"


def layer_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return the units of the hidden layers as a tuple."""
    return tuple(int(size) for size in np.atleast_1d(hidden_layer_sizes))


class Device(_Constraint):
    """A device that torch has on this machine, or its name."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether torch can put a number on the device and read it back."""
        if not isinstance(val, str | torch.device):
            return False
        try:
            torch.zeros((), device=val).item()
        except Exception:  # each missing backend raises an error of its own
            return False
        return True

    def __str__(self) -> str:
        return "a torch.device, or the name of one such as 'cpu' or 'cuda', that torch has here"


class BodyMaker(_Constraint):
    """A callable that makes a body. A module is callable too, but it is refused."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether `val` is a callable and no module."""
        return callable(val) and not isinstance(val, nn.Module)

    def __str__(self) -> str:
        return (
            "a callable that takes the number of features, or the shape of a row, and returns an "
            "nn.Module"
        )


class SkorchCallbacks(_Constraint):
    """A list of callbacks of skorch, each an object, a class, or a pair of a name and one."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether `val` is such a list."""
        if not isinstance(val, list):
            return False
        found = [each[1] if isinstance(each, tuple) and len(each) == 2 else each for each in val]
        return all(
            isinstance(each, Callback) or (isinstance(each, type) and issubclass(each, Callback))
            for each in found
        )

    def __str__(self) -> str:
        return "a list of callbacks of skorch, or of pairs of a name and one"
