"""Networks as they are asked: blocks of rows, and a copy that only answers."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from .bodies import MLP, FrozenLinear, FrozenMLP

# Rows of a forward pass outside training: large enough for efficient matrix products, small enough
# that the activations of a layer of 100 units (0.4 MB) stay near the processor and in memory that
# is used again for every block.
PREDICT_ROWS = 2**10

NO_CONTEXT = nullcontext()


class Network(nn.Module):
    """A network that is asked about arrays of any number of rows once it is trained."""

    # Of those that have them.
    body: Any
    heads: Any

    # A parameter of a frozen network: rows are asked in its precision, where it lies.
    _like: torch.Tensor | None = None

    @property
    def device(self):
        """Where the parameters lie."""
        return next(self.parameters()).device

    def in_blocks(self, X, forward):
        """Arrays of ``forward(rows)``, a tuple of tensors, for all rows of X.

        Asked block by block: evaluation mode, no gradients, the network's device.
        """
        if self.training:
            self.eval()
        is_frozen = self._like is not None
        like = self._like if is_frozen else next(self.parameters())
        rows = torch.from_numpy(X)
        # A frozen network has no gradients, and the mode would take a row a tenth of its time.
        with NO_CONTEXT if is_frozen else torch.inference_mode():
            if len(X) <= PREDICT_ROWS:
                tensors = forward(rows.to(like))
            else:
                blocks = (forward(block.to(like)) for block in rows.split(PREDICT_ROWS))
                tensors = join(blocks, len(X))
            return [tensor.cpu().numpy() for tensor in tensors]

    def for_loss(self, X):
        """What training's objective is told of a batch."""
        return self(X)

    def frozen(self, exact=False):
        """Copy of a trained network that only answers, made once; it is not pickled.

        It is the same function but for rounding; in float64 where ``exact``, on the CPU.
        """
        copies = self.__dict__.setdefault("_frozen", {})
        if exact not in copies:
            network = copy.deepcopy(self).eval().requires_grad_(False)
            if exact and self.device.type == "cpu":
                network.double()
            network.freeze()
            copies[exact] = network
        return copies[exact]

    def freeze(self):
        """Put what takes fewer operations in place of the layers."""
        self._like = next(self.parameters()).detach()
        if hasattr(self, "heads"):
            body, heads, scale = self.body, self.heads, 1.0
            del self.heads
            if isinstance(body, MLP):
                del self.body
                self.body = FrozenMLP(body)
                scale = self.body.scale
            self.heads = FrozenLinear(heads, scale)

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_frozen"}


def join(blocks, n_rows):
    """Tensors of all rows from tuples of tensors of blocks of rows, as these are made.

    Each is put into place at once: blocks that are kept lie in the way of memory that could be
    used again, and all of it would come anew from the system.
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


def empty_like(block, n_rows):
    """Tensor for so many rows, which come last in memory where they do in a block's."""
    if block.stride(0) == 1:
        return block.new_empty((*block.shape[1:], n_rows)).movedim(-1, 0)
    return block.new_empty((n_rows, *block.shape[1:]))
