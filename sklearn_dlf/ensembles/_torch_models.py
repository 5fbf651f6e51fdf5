"""Evaluation of torch modules and skorch nets, in evaluation mode and on their own device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from skorch import NeuralNet
from torch import Tensor, nn

#: Rows of one forward pass. A choice: enough rows to keep the machine busy, and few enough for the
#: memory of wide hidden layers.
_BATCH_SIZE = 8192


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Switch every submodule to evaluation mode, and restore the mode of each afterwards."""
    in_training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        # module.train() would also switch submodules that were in evaluation mode before.
        for part in in_training:
            part.training = True


def _floating_point_parameter(module: nn.Module) -> Tensor:
    """Return the first parameter with a floating-point dtype; an empty tensor if there is none.

    It gives the device and the precision in which the module computes.
    """
    parameters = (p for p in module.parameters() if p.is_floating_point())
    return next(parameters, torch.empty(0))


def evaluate_module(module: nn.Module, X: ArrayLike) -> np.ndarray:
    """Evaluate a torch module at rows, on its device and in its precision."""
    X, like = np.asarray(X), _floating_point_parameter(module)
    outputs = []
    with _evaluation_mode(module):
        for start in range(0, len(X), _BATCH_SIZE):
            output = module(_as_tensor(X[start : start + _BATCH_SIZE]).to(like))
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"{type(module).__name__} returned a {type(output).__name__}, expected one "
                    "tensor: wrap the module in a callable that returns the tensor to distil."
                )
            # NumPy has no bfloat16, so lower precisions become float32. float64 is kept.
            dtype = torch.promote_types(output.dtype, torch.float32)
            outputs.append(output.to("cpu", dtype).numpy())
    return np.concatenate(outputs)


def _as_tensor(X: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory of X, or of a copy if X is read-only or strided.

    Arrays of pandas are read-only, and torch needs memory that it can write to.
    """
    return torch.from_numpy(np.require(X, requirements=["C", "W"]))


def evaluate_net(net: NeuralNet, method: str, X: ArrayLike) -> Any:
    """Call a method of a fitted skorch net at rows in the precision of its module."""
    like = _floating_point_parameter(net.module_)
    X = _as_tensor(np.asarray(X)).to(like.dtype).numpy()
    with _evaluation_mode(net.module_):
        output = getattr(net, method)(X)
    return output.detach().cpu().numpy() if isinstance(output, torch.Tensor) else output
