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
from .._utils.threads import is_small_product, one_thread
from .._utils.torch_settings import plain_torch
from .bodies import MLP, EncodedMLP, RowsOrShape, measure_body
from .frozen import FrozenLinear, FrozenMLP
from .rows import are_points, as_input, as_tensor

# Rows of a forward pass outside training. Large enough for efficient matrix products; small enough
# that the activations of a layer of 100 units (0.8 MB) stay in the processor's cache, in memory
# that every block uses again. Layers of about 200 units have half as many, so that one thread is
# enough for them.
PREDICT_ROWS = 2**11

# The same on an accelerator. The start of an operation takes longer than 1000 rows there, and a
# layer of 100 units of these rows takes 6.5 MB of its memory.
ACCELERATOR_ROWS = 2**14

# Bytes at most of the largest tensor that a block of rows becomes in a body of the user's own, on
# the CPU and on an accelerator. A body of 64 channels on images of 32 x 32 takes 16 or 1024 rows at
# a time. With tensors of 16 MiB it takes far longer on a CPU, as each of them gets fresh memory.
BLOCK_BYTES, ACCELERATOR_BYTES = 2**22, 2**28

NO_CONTEXT = nullcontext()


class Network(nn.Module):
    """A network that is evaluated at arrays of any number of rows once it is trained."""

    body: Any
    heads: Any
    noise_head: Any

    # A parameter of a frozen network. Rows are moved to its device and cast to its precision.
    _like: torch.Tensor | None = None

    # Whether it is a frozen network of this package's layers in float64.
    is_double: bool = False

    # Of a frozen network, which has no parameters.
    _frozen_products: int | None = None

    # Whether all layers are of this package. They do not write to their input, and they predict in
    # float64 too. Nothing of the kind is known of a body of the user's own.
    has_own_layers: bool = True

    # Bytes of the largest tensor that a row becomes in a body of the user's own.
    row_bytes: int = 0

    # Whether rows are points themselves, as those of a table. Otherwise features stand for them,
    # whose mean and scale at the design points `set_points` finds.
    takes_points: bool = True
    point_center: torch.Tensor
    point_scale: torch.Tensor

    # Names of the body's parameters, as skorch matches them.
    body_patterns: tuple[str, ...] = ("body.*",)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def set_body(self, body: nn.Module, rows: RowsOrShape) -> int:
        """Set the body, or a list of bodies, and return its number of features.

        See `measure_body`. The bodies of a list are alike.
        """
        for each in body if isinstance(body, nn.ModuleList) else [body]:
            size = measure_body(each, rows)
        self.body = body
        self.takes_points = are_points(rows)
        if not isinstance(body, MLP | EncodedMLP):
            self.has_own_layers, self.row_bytes = False, size.row_bytes
        return size.n_features

    def block_rows(self, device: torch.device) -> int:
        """Return the number of rows of a forward pass outside training."""
        is_cpu = device.type == "cpu"
        n_most = PREDICT_ROWS if is_cpu else ACCELERATOR_ROWS
        if not self.row_bytes:
            is_wide = self.has_own_layers and is_cpu and not self.is_small(n_most)
            return n_most // 2 if is_wide and self.is_small(n_most // 2) else n_most
        n_bytes = BLOCK_BYTES if is_cpu else ACCELERATOR_BYTES
        return max(1, min(n_most, n_bytes // self.row_bytes))

    def train(self, mode: bool = True) -> Network:
        """Set training or evaluation mode.

        Parts of the body whose parameters are all frozen are in evaluation mode always: their
        normalisation over batches keeps the statistics that it was trained with.
        """
        super().train(mode)
        body = self.__dict__["_modules"].get("body")
        if mode and body is not None:
            _evaluate_frozen_parts(body)
        return self

    def input_like(self) -> torch.Tensor:
        """Return a parameter on the device and in the precision that rows are cast to."""
        if self._like is not None:
            return self._like
        return next(each for each in self.parameters() if each.is_floating_point())

    def in_blocks(
        self,
        X: np.ndarray | torch.Tensor,
        forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    ) -> list[np.ndarray]:
        """Return arrays of ``forward(rows)``, a tuple of tensors, for all rows of X.

        Rows are evaluated in blocks, in evaluation mode, without gradients, on the network's
        device. Rows that are a tensor there already are not copied.
        """
        rows = X if isinstance(X, torch.Tensor) else as_tensor(X)
        with plain_torch():
            n_rows = min(len(rows), self.block_rows(self.input_like().device))
            with one_thread(self.is_small(n_rows)):
                if self.has_own_layers:
                    return self._in_blocks_of_own_layers(rows, forward)
                return self._in_blocks_of_a_body(rows, forward)

    def is_small(self, n_rows: int) -> bool:
        """Return whether products with a block of rows are too small for several threads.

        Of a body of the user's own, a bound is known: each number of the largest tensor is a sum
        over no more than the inputs of the widest layer.
        """
        if self.has_own_layers:
            return is_small_product(n_rows, self._n_products())
        wide = [each for each in self.parameters() if each.ndim > 1 and len(each)]
        n_inputs = max((each.numel() // len(each) for each in wide), default=1)
        return self.row_bytes > 0 and is_small_product(n_rows, self.row_bytes // 4, n_inputs)

    def _n_products(self) -> int:
        """Return the largest number of parameters that a row is multiplied by at once."""
        if self._frozen_products is not None:
            return self._frozen_products
        return max(each.numel() for each in self.parameters())

    def _in_blocks_of_own_layers(self, rows, forward):
        """Do what `in_blocks` does, with layers of this package."""
        is_frozen, like = self._like is not None, self.input_like()
        if self.training:
            self.eval()
        # A frozen network has no gradients. The mode would cost a tenth of the time of one row.
        with NO_CONTEXT if is_frozen else torch.inference_mode():
            n_most = self.block_rows(like.device)
            if len(rows) <= n_most:
                tensors = list(forward(as_input(rows, like)))
            else:
                blocks = (forward(as_input(block, like)) for block in rows.split(n_most))
                tensors = join(blocks, len(rows))
            return [tensor.cpu().numpy() for tensor in tensors]

    def _in_blocks_of_a_body(self, rows, forward):
        """Do what `in_blocks` does, with a body of the user's own, of which little is known.

        The body may write to its input, so that it gets a copy. It may keep tensors for later
        training, so that they are not made in inference mode.
        """
        like = self.input_like()

        def evaluate(block):
            given = as_input(block, like)
            return forward(given.clone() if given.data_ptr() == block.data_ptr() else given)

        if self.training or self.body.training:
            self.eval()
        with torch.no_grad():
            blocks = (evaluate(block) for block in rows.split(self.block_rows(like.device)))
            tensors = join(blocks, len(rows))
            self._check_numbers(tensors)
            return [tensor.cpu().numpy() for tensor in tensors]

    def _check_numbers(self, tensors: list[torch.Tensor]) -> None:
        """Raise ValueError if outputs of a body are NaN at some rows, and no parameter is."""
        is_nan = [tensor.flatten(1).isnan().any(dim=1) for tensor in tensors if len(tensor)]
        if not any(each.any() for each in is_nan):
            return
        if all(each.isfinite().all() for each in self.parameters()):
            at = torch.stack(is_nan).any(dim=0).nonzero()[:, 0]
            raise ValueError(
                f"The body returns NaN at {len(at)} of {len(is_nan[0])} rows, the first of which "
                f"is row {int(at[0])}. Its features must be finite: a mean over the tokens of an "
                "empty sentence, for example, divides by zero."
            )

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Return what stands for rows that are no points, (m, n): the features of the body."""
        return self.body(X)

    def set_points(self, X: np.ndarray, are_raw: bool) -> None:
        """Find the scale of the features at design points, if rows are no points themselves.

        Raw rows of floats, such as signals, are none if a body of the user's own reads them.
        """
        self.takes_points = self.takes_points and not (are_raw and not self.has_own_layers)
        if self.takes_points:
            return
        [features] = self.in_blocks(X, lambda rows: (self.features(rows),))
        center, scale = features.mean(axis=0), features.std(axis=0)
        for name, values in (("center", center), ("scale", np.where(scale > 0, scale, 1.0))):
            buffer = torch.as_tensor(values, dtype=torch.float32, device=self.device)
            self.register_buffer(f"point_{name}", buffer)

    def evaluate_points(self, X: np.ndarray) -> np.ndarray:
        """Return rows as points (m, n), whose columns and distances mean something.

        Standardised rows of a table are points. Distances of images, or of ids of tokens, tell
        little: their standardised features stand for them.
        """
        if self.takes_points:
            return X
        return self.in_blocks(
            X, lambda rows: ((self.features(rows) - self.point_center) / self.point_scale,)
        )[0]

    def for_loss(self, X: torch.Tensor) -> torch.Tensor:
        """Return the outputs that an objective of training takes."""
        return self(X)

    def frozen(self, exact: bool = False) -> Network:
        """Return a copy of a trained network that only predicts.

        The copy computes the same function but for rounding, in float64 if ``exact`` and if the
        device has it. A body of the user's own is neither cast nor copied once it is no longer
        trained: it may be large, and it may cast its input itself. The copy is made once, and made
        again when a module, parameter or buffer has been replaced or changed in place. Changes
        through ``.data`` or ``.numpy()`` are not noticed, as torch does not count them. The copy is
        not pickled.
        """
        snapshot, copies = self.__dict__.get("_frozen", (None, {}))
        if snapshot is None or not snapshot.is_current():
            copies = {}
            self.__dict__["_frozen"] = _Snapshot(self), copies
        exact = exact and self.has_own_layers
        if exact not in copies:
            is_shared = not self.has_own_layers and not _is_trained(self.body)
            shared = {id(self.body): self.body} if is_shared else {}
            with plain_torch():  # tensors of inference mode could not be used outside of it
                network = copy.deepcopy(self, shared).eval().requires_grad_(False)
                if exact and has_float64(self.device):
                    network.double()
                    network.is_double = True
                network._frozen_products = self._n_products()
                network.freeze()
            copies[exact] = network
        return copies[exact]

    def freeze(self) -> None:
        """Replace layers by others that compute the same in fewer operations."""
        self._like = self.input_like().detach()
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


def _is_trained(module: nn.Module) -> bool:
    """Return whether a module is in training mode, or has parameters that are not frozen."""
    return module.training or any(each.requires_grad for each in module.parameters())


def _evaluate_frozen_parts(module: nn.Module) -> None:
    """Set evaluation mode in the largest parts of a module that have frozen parameters only."""
    parameters = [*module.parameters()]
    if parameters and not any(each.requires_grad for each in parameters):
        module.eval()
        return
    for part in module.children():
        _evaluate_frozen_parts(part)


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
