"""Networks of members whose layers are a body of the user's own.

All map rows (m, *row_shape) to outputs (m, n_outputs, n_members).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call

from .._network.bodies import RowsOrShape
from .._network.layers import make_linear
from ._networks import MaskedLinear, MemberNetwork, random_mask

# Layers whose kernels are multiplied by masks.
MASKED_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class OwnBodiesNetwork(MemberNetwork):
    """A body and a linear head for each member.

    Parameters
    ----------
    bodies : list of nn.Module
        A body for each member.
    rows : int, tuple of int or array of shape (n, *row_shape)
        Rows at which bodies are tried.
    n_outputs : int
        Outputs of each member.
    generator : torch.Generator, default=None
        Draws the first parameters of the heads. None is torch's own.
    """

    def __init__(
        self,
        bodies: list[nn.Module],
        rows: RowsOrShape,
        n_outputs: int,
        generator: torch.Generator | None = None,
    ):
        super().__init__(n_outputs, len(bodies))
        n_features = self.set_body(nn.ModuleList(bodies), rows)
        self.member_heads = nn.ModuleList(
            make_linear(n_features, n_outputs, generator) for _ in bodies
        )

    def forward(self, X):
        """Outputs of all members at the same rows."""
        pairs = zip(self.body, self.member_heads, strict=True)
        return torch.stack([head(body(X)) for body, head in pairs], dim=-1)

    def features(self, X):
        """Return the mean outputs, as members have no features in common."""
        return self(X).mean(dim=-1)


class Kernel(NamedTuple):
    """Weights of a layer, (first, second, ...), which masks of the first two axes multiply.

    One of the axes is that of the layer's inputs and one that of its outputs. The second has the
    size of one group.
    """

    name: str
    first: int
    second: int
    n_groups: int


class MaskedBodyNetwork(MemberNetwork):
    """One body, whose kernels each member multiplies by rank-one masks of its own.

    Kernels of linear and convolutional layers are shared and masked. A member has biases and
    scales of its own, which are all trained parameters of one dimension, and its own statistics of
    normalisations over batches. All else is shared, such as embeddings. The body is evaluated once
    for each member.

    Parameters
    ----------
    body : nn.Module
        Maps rows (m, *row_shape) to features (m, n_body_features).
    rows : int, tuple of int or array of shape (n, *row_shape)
        Rows at which it is tried.
    n_outputs, n_members : int
        Outputs of a member, members.
    generator : torch.Generator, default=None
        Draws masks, and the output layer. None is torch's own.
    """

    def __init__(
        self,
        body: nn.Module,
        rows: RowsOrShape,
        n_outputs: int,
        n_members: int,
        generator: torch.Generator | None = None,
    ):
        super().__init__(n_outputs, n_members)
        n_features = self.set_body(body, rows)
        self.kernels = find_kernels(body)
        self.first_masks, self.second_masks = (
            nn.ParameterList(random_mask(n_members, size, generator=generator) for size in sizes)
            for sizes in (
                [kernel.first for kernel in self.kernels],
                [kernel.second * kernel.n_groups for kernel in self.kernels],
            )
        )
        vectors = {
            name: parameter.detach()
            for name, parameter in body.named_parameters()
            if parameter.ndim == 1 and parameter.requires_grad
        }
        self.vector_names = [*vectors]
        self.vectors = nn.ParameterList(_repeat(value, n_members) for value in vectors.values())
        self.statistic_names = find_statistics(body)
        for number, name in enumerate(self.statistic_names):
            statistic = _repeat(body.get_buffer(name), n_members)
            self.register_buffer(f"statistic_{number}", statistic)
        self.output_layer = MaskedLinear(n_features, n_outputs, n_members, generator)

    def forward(self, X):
        """Outputs of all members at the same rows."""
        features = [
            functional_call(self.body, self._tensors_of(member), (X,))
            for member in range(self.n_members)
        ]
        return self.output_layer(torch.stack(features)).permute(1, 2, 0)

    def features(self, X):
        """Return the mean outputs, as members have no features in common."""
        return self(X).mean(dim=-1)

    def _tensors_of(self, member: int) -> dict[str, torch.Tensor]:
        """Return the parameters and buffers of a member that differ from those of the body."""
        tensors = {}
        for number, kernel in enumerate(self.kernels):
            weight = self.body.get_parameter(kernel.name)
            tensors[kernel.name] = weight * self._masks(number)[member]
        for name, values in zip(self.vector_names, self.vectors, strict=True):
            tensors[name] = values[member]
        for number, name in enumerate(self.statistic_names):  # a view, which layers update in place
            tensors[name] = getattr(self, f"statistic_{number}")[member]
        return tensors

    def _masks(self, number: int) -> torch.Tensor:
        """Return the products of a kernel's masks, (n_members, first, second, 1, ...)."""
        kernel = self.kernels[number]
        first, second = self.first_masks[number], self.second_masks[number]
        # A row of the first axis is joined to those of the second that are in its group.
        groups = second.unflatten(1, (kernel.n_groups, kernel.second))
        groups = groups.repeat_interleave(kernel.first // kernel.n_groups, dim=1)
        product = first[:, :, None] * groups
        n_more = self.body.get_parameter(kernel.name).ndim - 2
        return product.reshape(*product.shape, *[1] * n_more)

    @torch.no_grad()
    def average_members(self):
        """Replace all members by one network, whose weights are the average of theirs."""
        for number, kernel in enumerate(self.kernels):
            self.body.get_parameter(kernel.name).mul_(self._masks(number).mean(dim=0))
        for masks in (self.first_masks, self.second_masks):
            for number, mask in enumerate(masks):
                masks[number] = nn.Parameter(torch.ones_like(mask[:1]))
        for number, values in enumerate(self.vectors):
            self.vectors[number] = nn.Parameter(values.mean(dim=0, keepdim=True))
        for number in range(len(self.statistic_names)):
            statistic = getattr(self, f"statistic_{number}")
            mean = statistic.double().mean(dim=0, keepdim=True).to(statistic)
            setattr(self, f"statistic_{number}", mean)
        self.output_layer.average_members()
        self.n_members = 1
        return self


def find_kernels(body: nn.Module) -> list[Kernel]:
    """Return the kernels of a body's linear and convolutional layers, each once."""
    names = {id(parameter): name for name, parameter in body.named_parameters()}
    kernels = {}
    for layer in body.modules():
        # A weight that is computed, as by a parametrisation, is no parameter and is not masked.
        if isinstance(layer, MASKED_LAYERS) and id(layer.weight) in names:
            first, second = layer.weight.shape[:2]
            name = names[id(layer.weight)]
            kernels[name] = Kernel(name, first, second, getattr(layer, "groups", 1))
    return [*kernels.values()]


def find_statistics(body: nn.Module) -> list[str]:
    """Return the names of buffers in which layers keep statistics of batches."""
    return [
        f"{name}.{buffer}" if name else buffer
        for name, layer in body.named_modules()
        if layer._buffers.get("running_mean") is not None
        for buffer in layer._buffers
        if layer._buffers[buffer] is not None
    ]


def _repeat(values: torch.Tensor, n_members: int) -> torch.Tensor:
    """Return a copy for each member, (n_members, ...)."""
    return values.detach().expand(n_members, *values.shape).clone()
