"""Constraints of parameters that scikit-learn has none for, and of a user's body."""

from __future__ import annotations

import numbers
from collections.abc import Iterable

import torch
from sklearn.utils._param_validation import Interval, Options
from torch import nn


class Count(Interval):
    """An integer of at least one; True and False are none."""

    def __init__(self):
        super().__init__(numbers.Integral, 1, None, closed="left")

    def is_satisfied_by(self, val):
        """Whether it is one."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


class _Constraint(Options):
    """A constraint of our own; scikit-learn takes none that does not derive from one of its own."""

    def __init__(self):
        super().__init__(object, set())


class Counts(_Constraint):
    """Integers of at least one, in any sequence."""

    def is_satisfied_by(self, val):
        """Whether all of them are."""
        return isinstance(val, Iterable) and all(Count().is_satisfied_by(size) for size in val)

    def __str__(self):
        return "a sequence of ints in the range [1, inf)"


class Device(_Constraint):
    """A device, or its name, that torch has here."""

    def is_satisfied_by(self, val):
        """Whether torch can put a number there and read it."""
        if not isinstance(val, str | torch.device):
            return False
        try:
            torch.zeros((), device=val).item()
        except Exception:  # each backend that is missing says so by an error of its own
            return False
        return True

    def __str__(self):
        return "a torch.device, or the name of one such as 'cpu' or 'cuda', that torch has here"


class BodyMaker(_Constraint):
    """A callable that makes a body; a module is callable, but makes none."""

    def is_satisfied_by(self, val):
        """Whether it may be one."""
        return callable(val) and not isinstance(val, nn.Module)

    def __str__(self):
        return "a callable that takes the number of features and returns an nn.Module"


def check_body(body):
    """Body of the user's own in float32, if it is a module."""
    if not isinstance(body, nn.Module):
        raise ValueError(
            "The callable `body` must return an nn.Module that maps (n_rows, n_features) to "
            f"(n_rows, n_body_features); got {type(body).__name__}."
        )
    return body.float()
