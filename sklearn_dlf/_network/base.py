"""Base of all networks: evaluation at arrays of any number of rows, by a frozen copy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import nn

from .._utils.devices import has_float64
from .bodies import MLP, EncodedMLP
from .frozen import FrozenLinear, FrozenMLP

# Rows of a forward pass outside training. Large enough for efficient matrix products; small enough
# that the activations of a layer of 100 units (0.4 MB) stay in the processor's cache, in memory
# that every block uses again.
PREDICT_ROWS = 2**10

# The same on an accelerator. The start of an operation takes longer than 1000 rows there, and a
# layer of 100 units of these rows takes 6.5 MB of its memory.
ACCELERATOR_ROWS = 2**14

NO_CONTEXT = nullcontext()


class Network(nn.Module):
    """A network that is evaluated at arrays of any number of rows once it is trained."""

    body: Any
    heads: Any
    noise_head: Any

    # A parameter of a frozen network. Rows are moved to its device and cast to its precision.
    _like: torch.Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def in_blocks(
        self,
        X: np.ndarray | torch.Tensor,
        forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    ) -> list[np.ndarray]:
        """Return arrays of ``forward(rows)``, a tuple of tensors, for all rows of X.

        Rows are evaluated in blocks, in evaluation mode, without gradients, on the network's
        device. Rows that are a tensor there already are not copied.
        """
        if self.training:
            self.eval()
        is_frozen = self._like is not None
        like: Any = self._like if is_frozen else next(self.parameters())
        rows = X if isinstance(X, torch.Tensor) else torch.from_numpy(X)
        n_most = PREDICT_ROWS if like.device.type == "cpu" else ACCELERATOR_ROWS
        # A frozen network has no gradients. The mode would cost a tenth of the time of one row.
        with NO_CONTEXT if is_frozen else torch.inference_mode():
            if len(X) <= n_most:
                tensors = list(forward(rows.to(like)))
            else:
                blocks = (forward(block.to(like)) for block in rows.split(n_most))
                tensors = join(blocks, len(X))
            return [tensor.cpu().numpy() for tensor in tensors]

    def for_loss(self, X: torch.Tensor) -> torch.Tensor:
        """Return the outputs that an objective of training takes."""
        return self(X)

    def frozen(self, exact: bool = False) -> Network:
        """Return a copy of a trained network that only predicts.

        The copy computes the same function but for rounding, in float64 if ``exact`` and if the
        device has it. It is made once, and made again when a module, parameter or buffer has been
        replaced or changed in place. Changes through ``.data`` or ``.numpy()`` are not noticed, as
        torch does not count them. The copy is not pickled.
        """
        snapshot, copies = self.__dict__.get("_frozen", (None, {}))
        if snapshot is None or not snapshot.is_current():
            copies = {}
            self.__dict__["_frozen"] = _Snapshot(self), copies
        if exact not in copies:
            network = copy.deepcopy(self).eval().requires_grad_(False)
            if exact and has_float64(self.device):
                network.double()
            network.freeze()
            copies[exact] = network
        return copies[exact]

    def freeze(self) -> None:
        """Replace layers by others that compute the same in fewer operations."""
        self._like = next(self.parameters()).detach()
        if hasattr(self, "heads"):
            body, heads, scale = self.body, self.heads, 1.0
            del self.heads
            if isinstance(body, MLP | EncodedMLP):
                del self.body
                self.body = FrozenMLP(body)
                scale = self.body.scale
            self.heads = FrozenLinear(heads, scale)
            if getattr(self, "noise_head", None) is not None:
                noise_head = self.noise_head
                del self.noise_head
                self.noise_head = FrozenLinear(noise_head, scale)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_frozen"}


class _Snapshot:
    """Modules, parameters and buffers of a module, to notice that one was replaced or changed.

    It is compared at every prediction, so that it is written for speed: for one row, a walk through
    the modules would take a tenth of the time.
    """

    def __init__(self, module: nn.Module):
        contents = [
            content
            for part in module.modules()
            for content in (part._modules, part._parameters, part._buffers)
            if content
        ]
        # The parts are kept, so that a new one cannot have the identity of an old one.
        self._contents = [(content, [*content.values()]) for content in contents]
        parts = [part for _, parts in self._contents for part in parts]
        # Tensors made in inference mode have no version and cannot be changed outside of it.
        self._tensors = [
            part for part in parts if torch.is_tensor(part) and not part.is_inference()
        ]
        self._versions = self._read_versions()

    def is_current(self) -> bool:
        """Return whether nothing has changed since."""
        for content, parts in self._contents:
            if not all(map(is_, content.values(), parts)):
                return False
        return self._read_versions() == self._versions

    def _read_versions(self) -> list[int]:
        """Return numbers that change with the values, or when the whole module is moved or cast."""
        versions = [tensor._version for tensor in self._tensors]
        versions += [tensor.data_ptr() for tensor in self._tensors[:1]]
        return versions


def join(blocks: Iterable[tuple[torch.Tensor, ...]], n_rows: int) -> list[torch.Tensor]:
    """Join tuples of tensors of blocks of rows into tensors of all rows.

    Each block is copied into place at once. Blocks that are kept would occupy memory that the next
    block can use again.
    """
    start = 0
    tensors: list[torch.Tensor] = []
    for block in blocks:
        tensors = tensors or [empty_like(part, n_rows) for part in block]
        rows = slice(start, start + len(block[0]))
        start = rows.stop
        for tensor, part in zip(tensors, block, strict=True):
            tensor[rows] = part
    return tensors


def empty_like(block: torch.Tensor, n_rows: int) -> torch.Tensor:
    """Return an empty tensor of `n_rows` rows, which come last in memory if they do in `block`."""
    if block.stride(0) == 1:
        return block.new_empty((*block.shape[1:], n_rows)).movedim(-1, 0)
    return block.new_empty((n_rows, *block.shape[1:]))
