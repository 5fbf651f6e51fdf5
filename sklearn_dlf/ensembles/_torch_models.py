"""Evaluation of torch modules and skorch nets, in evaluation mode and on their own device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from skorch import NeuralNet
from torch import Tensor, nn

from .._utils.numbers import numeric_array

#: Rows and bytes of one forward pass, at most. A choice: enough rows to keep the machine busy, and
#: few enough for the memory of hidden layers: of wide tables 8,192 rows, of images fewer.
_BATCH_ROWS, _BATCH_BYTES = 8192, 2**25

#: Layers that look integers up. Scripted modules tell their type by name only.
_LOOK_UPS = nn.Embedding.__name__, nn.EmbeddingBag.__name__


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
    """Evaluate a torch module at rows, on its device and in its precision (see `_batches`)."""
    like = _floating_point_parameter(module)
    outputs = []
    with _evaluation_mode(module):
        for batch in _batches(module, X):
            output = module(batch.to(like.device))
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"{type(module).__name__} returned a {type(output).__name__}, expected one "
                    "tensor: wrap the module in a callable that returns the tensor to distil."
                )
            # NumPy has no bfloat16, so lower precisions become float32. float64 is kept.
            dtype = torch.promote_types(output.dtype, torch.float32)
            outputs.append(output.to("cpu", dtype).numpy())
    return np.concatenate(outputs)


def evaluate_net(net: NeuralNet, method: str, X: ArrayLike) -> Any:
    """Call a method of a fitted skorch net at rows in the precision of its module."""
    outputs = []
    with _evaluation_mode(net.module_):
        for batch in _batches(net.module_, X):
            # NumPy has no bfloat16. Nets take tensors as well.
            output = getattr(net, method)(batch if batch.dtype == torch.bfloat16 else batch.numpy())
            output = output[0] if isinstance(output, tuple) else output  # as skorch predicts
            is_tensor = isinstance(output, torch.Tensor)
            outputs.append(output.detach().cpu().numpy() if is_tensor else output)
    return np.concatenate(outputs)


def _batches(module: nn.Module, X: Any) -> Iterator[Tensor]:
    """Yield rows of X as tensors of the type that a module takes, a batch at a time.

    Floats, bytes of images and bools become floats of the module's precision. So do other integers,
    unless the module has an embedding, which looks integers up. Sparse rows become dense.
    """
    is_sparse = issparse(X)
    rows: Any = X.tocsr() if is_sparse else numeric_array(X)
    dtype = _floating_point_parameter(module).dtype
    kind = rows.dtype.kind
    if kind in "iu" and rows.dtype != np.uint8 and _looks_up_integers(module):
        dtype = torch.int64
    n_bytes = max(1, dtype.itemsize * int(np.prod(rows.shape[1:])))
    size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // n_bytes))
    for start in range(0, max(rows.shape[0], 1), size):
        batch = rows[start : start + size]
        batch = numeric_array(batch.toarray() if is_sparse else batch)
        if batch.dtype.kind == "u" and batch.dtype != np.uint8:  # few operations of torch take them
            batch = batch.astype(np.float64 if dtype.is_floating_point else np.int64)
        yield _as_tensor(batch).to(dtype)


def _looks_up_integers(module: nn.Module) -> bool:
    """Return whether a module has an embedding, at any depth."""
    return any(
        getattr(part, "original_name", None) in _LOOK_UPS
        or isinstance(part, nn.Embedding | nn.EmbeddingBag)
        for part in module.modules()
    )


def _as_tensor(X: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory of X, or of a copy if X is read-only or strided.

    Arrays of pandas are read-only, and torch needs memory that it can write to.
    """
    return torch.from_numpy(np.require(X, requirements=["C", "W"]))
