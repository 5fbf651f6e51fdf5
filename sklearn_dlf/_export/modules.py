"""Modules of torch as plain records of numbers and arrays, and back.

A record names the class, and has arrays in place of tensors. So a file needs no tensor of torch,
which pickles hold in a form of torch's own, and which skops cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

# What every module has: hooks and flags of torch's own.
OWN_KEYS = frozenset(nn.Module().__dict__)

# Parts of a module that are records of their own.
PARTS = frozenset({"_parameters", "_buffers", "_modules"})

# Dtypes of tensors that numpy has too.
DTYPES = frozenset(
    {torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16}
    | {torch.int8, torch.uint8, torch.bool}
)


def is_plain(module: nn.Module) -> bool:
    """Return whether a record holds all that there is of a module.

    Those of a user's own may have hooks, tensors that two layers share, or a way of their own to be
    pickled.
    """
    parts = [*module.modules()]
    tensors = [
        tensor
        for part in parts
        for tensor in [*part._parameters.values(), *part._buffers.values()]
        if tensor is not None
    ]
    n_named = sum(1 for part in parts for child in part._modules.values() if child is not None)
    is_tree = n_named == len(parts) - 1 and len({id(tensor) for tensor in tensors}) == len(tensors)
    return is_tree and all(map(_is_simple, parts)) and all(map(_is_dense, tensors))


def _is_simple(part: nn.Module) -> bool:
    """Return whether a module without its children is plain."""
    state = part.__dict__
    untouched = all(not state.get(key) for key in OWN_KEYS - PARTS - {"training"} if key in state)
    holds_tensors = any(
        isinstance(value, torch.Tensor | nn.Module)
        for key, value in state.items()
        if key not in OWN_KEYS
    )
    is_ours = type(part).__module__.startswith("sklearn_dlf.")
    has_default = not any(
        name in vars(cls)
        for cls in type(part).__mro__
        if cls not in (nn.Module, object)
        for name in ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__")
    )
    return untouched and not holds_tensors and (is_ours or _is_of_torch(type(part)) or has_default)


def _is_of_torch(cls: type) -> bool:
    """Return whether a class is one of torch's own layers."""
    return cls.__module__.startswith("torch.nn.modules.")


def _is_dense(tensor: torch.Tensor) -> bool:
    """Return whether numpy can hold a tensor."""
    is_common = type(tensor) in (torch.Tensor, nn.Parameter) and tensor.layout is torch.strided
    return is_common and tensor.dtype in DTYPES


def pack_module(module: nn.Module, pack: Callable[[Any], Any], name: Callable[[type], Any]) -> dict:
    """Return the record of a module that `is_plain`, on the CPU.

    ``pack`` makes records of attributes, ``name`` names a class.
    """
    state = module.__dict__
    attributes = {
        key: pack(value)
        for key, value in state.items()
        if key not in OWN_KEYS and key != "_frozen"  # a copy that predicts is made anew
    }
    return {
        "module": name(type(module)),
        "training": module.training,
        "attributes": attributes,
        "trained": [
            key for key, one in module._parameters.items() if one is not None and one.requires_grad
        ],
        "parameters": {key: _to_array(one) for key, one in module._parameters.items()},
        "buffers": {key: _to_array(one) for key, one in module._buffers.items()},
        "modules": {
            key: None if one is None else pack_module(one, pack, name)
            for key, one in module._modules.items()
        },
    }


def unpack_module(record: dict, unpack: Callable[[Any], Any], find: Callable[[Any], type]) -> Any:
    """Return the module of a record. ``find`` returns the class that it names."""
    cls = find(record["module"])
    if not issubclass(cls, nn.Module):
        raise ValueError(f"The file names {cls.__name__} as a module of torch, and it is none.")
    module = cls.__new__(cls)
    nn.Module.__init__(module)
    for key, value in record["attributes"].items():
        module.__dict__[key] = unpack(value)
    for key, array in record["parameters"].items():
        tensor = _to_tensor(array)
        if tensor is not None:
            tensor = nn.Parameter(tensor, requires_grad=key in record["trained"])
        module.register_parameter(key, tensor)
    for key, array in record["buffers"].items():
        module.register_buffer(key, _to_tensor(array))
    for key, child in record["modules"].items():
        own = None if child is None else unpack_module(child, unpack, find)
        module.register_module(key, own)
    module.training = record["training"]
    return module


def _to_array(tensor: torch.Tensor | None) -> Any:
    """Return a tensor as an array."""
    return None if tensor is None else tensor.detach().cpu().numpy().copy(order="K")


def _to_tensor(array: Any) -> torch.Tensor | None:
    """Return an array as a tensor with memory of its own; files may be mapped into memory."""
    return None if array is None else torch.from_numpy(array.copy(order="K"))
