"""Torch modules and skorch nets, asked in evaluation mode where they are."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch

#: Rows of one forward pass: enough to fill the machine, few enough for wide hidden layers.
_BATCH_SIZE = 8192


@contextmanager
def _evaluating(module):
    """Switch every submodule to evaluation, and each back to the mode it was in."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in training:  # not .train(): that would wake frozen submodules too
            part.training = True


def _floating_point_parameter(module):
    """First parameter that says where and in which precision a module computes, or a default."""
    parameters = (p for p in module.parameters() if p.is_floating_point())
    return next(parameters, torch.empty(0))


def ask_module(module, X) -> np.ndarray:
    """Pass rows through a torch module, on its device and in its precision."""
    X, like = np.asarray(X), _floating_point_parameter(module)
    outputs = []
    with _evaluating(module):
        for start in range(0, len(X), _BATCH_SIZE):
            output = module(_as_tensor(X[start : start + _BATCH_SIZE]).to(like))
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"{type(module).__name__} returned a {type(output).__name__}, expected one "
                    "tensor: wrap the module in a callable that picks what is to be distilled."
                )
            # NumPy has no bfloat16; float64 stays as it is.
            dtype = torch.promote_types(output.dtype, torch.float32)
            outputs.append(output.to("cpu", dtype).numpy())
    return np.concatenate(outputs)


def _as_tensor(X):
    """Share the memory of an array that torch can write to; copy others, such as pandas'."""
    return torch.from_numpy(np.require(X, requirements=["C", "W"]))


def ask_net(net, method, X) -> np.ndarray:
    """Call a method of a fitted skorch net on rows in the precision of its module."""
    like = _floating_point_parameter(net.module_)
    X = _as_tensor(np.asarray(X)).to(like.dtype).numpy()
    with _evaluating(net.module_):
        output = getattr(net, method)(X)
    return output.detach().cpu().numpy() if isinstance(output, torch.Tensor) else output
