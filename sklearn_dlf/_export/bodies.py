"""Bodies of the user's own in files of arrays: only what training has changed.

A body is made anew by its callable when the file is read. Tensors that it has then are not in the
file. Of a frozen base with adapters these are all but the adapters, and of a network that was drawn
at random they are none.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .._network.bodies import make_body
from .._utils.seeding import seeded

# Features of the same body are as close as this, in units of the largest.
CLOSE = 1e-3


class TrainedBody(NamedTuple):
    """What a file holds of a body.

    Attributes
    ----------
    made_by : object
        The callable, if it is of this package; otherwise its name.
    shape : tuple of int
        Shape of a row.
    tensors : dict of str to array
        Parameters and buffers that the callable does not return.
    base_key : str
        Key of those that it does, by their values.
    probe, features : arrays or None
        Rows that were made up, and what the trained body returns there. None where that is not the
        same each time, and in files that were written before they were kept.
    """

    made_by: Any
    shape: tuple[int, ...]
    tensors: dict[str, np.ndarray]
    base_key: str
    probe: np.ndarray | None = None
    features: np.ndarray | None = None


def without_body(student: Any) -> tuple[Any, TrainedBody]:
    """Return a shallow copy of a fitted student whose network has no body, and the body."""
    network, shape = student.student_, _row_shape(student)
    with seeded(0):  # a callable draws from torch's own generator
        base = make_body(student.body, shape, (), "relu")
    own, given = network.body.state_dict(), base.state_dict()
    if type(network.body) is not type(base) or own.keys() != given.keys():
        raise ValueError(
            f"A file of arrays holds one body as `body` returns it; got a {type(network.body)}. "
            "Write the student by pickle or joblib."
        )
    changed = {name: _to_array(own[name]) for name in own if not _is_same(own[name], given[name])}
    body = student.body
    if not type(body).__module__.startswith("sklearn_dlf."):
        body = getattr(body, "__qualname__", type(body).__qualname__)
    key = _base_key({name: given[name] for name in given if name not in changed})
    bare, lean = object.__new__(type(network)), object.__new__(type(student))
    bare.__dict__.update(network.__getstate__())
    bare.__dict__["_modules"] = {**network._modules, "body": nn.Identity()}
    lean.__dict__.update(student.__dict__, student_=bare, body=None)
    return lean, TrainedBody(body, shape, changed, key, *_probe(network, shape))


def with_body(student: Any, kept: TrainedBody, body: Any = None) -> Any:
    """Give a student that `without_body` returned its body again.

    Raises
    ------
    ValueError
        If the callable is missing, or returns another base.
    """
    made_by = kept.made_by if body is None else body
    if not callable(made_by):
        raise ValueError(
            f"This student has a body of your own, made by {made_by!r}: load_student(path, "
            f"body={made_by}) needs the callable."
        )

    def refused(why: Any) -> ValueError:
        return ValueError(
            f"The body that {made_by!r} returns is not the one that the student was trained on: "
            f"{why}. Give the same one, as made by {kept.made_by!r}."
        )

    with seeded(0):
        base = make_body(made_by, kept.shape, (), "relu")
    given = base.state_dict()
    others = {name: given[name] for name in given if name not in kept.tensors}
    if not kept.tensors.keys() <= given.keys() or _base_key(others) != kept.base_key:
        raise refused("tensors that the file does not hold have other names, shapes or values")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in kept.tensors.items()}
    try:
        base.load_state_dict({**others, **tensors})
    except RuntimeError as error:
        raise refused(error) from error
    student.student_.body = base.eval().requires_grad_(False)
    probe = kept.probe
    if probe is not None and not _are_close(_features(student.student_, probe), kept.features):
        raise refused("with the same tensors it returns other features")
    student.body = made_by
    return student


def _probe(network: Any, shape: tuple[int, ...]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return made-up rows, and the features of the body there; None if they change."""
    numbers = np.arange(2 * int(np.prod(shape))).reshape(2, *shape)
    for probe in (np.sin(numbers).astype(np.float32), numbers % 2):  # ids of tokens are integers
        features = _features(network, probe)
        if _are_close(_features(network, probe), features):
            return probe, features
    return None, None


@torch.no_grad()
def _features(network: Any, probe: np.ndarray) -> np.ndarray | None:
    """Return the features of the body at made-up rows; None if it cannot read them."""
    rows = torch.from_numpy(probe).to(network.input_like().device)
    try:
        features = network.body(rows)
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None
    found = _to_array(features)
    return found if np.isfinite(found).all() else None


def _are_close(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Return whether features are the same, but for rounding."""
    if one is None or other is None or one.shape != other.shape:
        return False
    return bool(np.abs(one - other).max() <= CLOSE * max(np.abs(other).max(), 1e-30))


def _row_shape(student: Any) -> tuple[int, ...]:
    """Return the shape of the rows that the body of a student takes."""
    reader = student._reader
    return reader.raw_shape or (reader.scaler.n_features_in_,)


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are equal; those of lazy layers have no values yet."""
    if is_lazy(other) or one.shape != other.shape:
        return False
    return torch.equal(one.cpu(), other.cpu())


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array, in float32 where numpy lacks its type."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _base_key(tensors: dict[str, torch.Tensor]) -> str:
    """Return a key of tensors by their names and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(_to_array(tensors[name]))
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
