"""Networks with outputs for every member of an ensemble.

All map rows, mostly standardised ones (m, n_features), to outputs (m, n_outputs, n_members). Their
first parameters are drawn by a `generator`; None is torch's own.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from .._network.base import Network
from .._network.bodies import ACTIVATIONS, choose_activation
from .._network.encodings import PiecewiseLinearEncoding
from .._network.layers import make_linear
from ..ensembles._deep.training import init_layers

# Standard deviation of the masks around one at the start. The published choice, random signs, gives
# masks that cannot be averaged.
MASK_STD = 0.5


class MemberNetwork(Network):
    """Base of networks with outputs for every member."""

    def __init__(self, n_outputs, n_members):
        super().__init__()
        self.n_outputs = n_outputs
        self.n_members = n_members

    def evaluate(self, X):
        """Outputs of all members at any number of rows, an array (m, n_outputs, n_members)."""
        return self.in_blocks(X, lambda rows: (self(rows),))[0]

    def evaluate_mean(self, X):
        """Mean of all members at any number of rows, an array (m, n_outputs)."""
        return self.in_blocks(X, lambda rows: (self(rows).mean(dim=-1),))[0]


class HydraNetwork(MemberNetwork):
    """A body that members share, and a linear head for each member."""

    def __init__(self, body, rows, n_outputs, n_members, generator=None):
        super().__init__(n_outputs, n_members)
        self.heads = make_linear(self.set_body(body, rows), n_outputs * n_members, generator)

    def forward(self, X):
        """Heads of all members on the features of the body."""
        return self.heads(self.body(X)).view(len(X), self.n_outputs, self.n_members)


class _LayeredNetwork(MemberNetwork):
    """Layers of every member, which map features (n_members, m, width) to such features.

    They read an encoding of the columns if edges of its bins are given.
    """

    def __init__(self, layer, sizes, activation, n_members, edges=None, generator=None):
        super().__init__(sizes[-1], n_members)
        layers = []
        self.encoding: nn.Module = nn.Identity()
        if edges is not None:
            self.encoding = encoding = PiecewiseLinearEncoding(edges)
            sizes = [encoding.n_bins, *sizes[1:]]
        activation = choose_activation(activation, encoded=edges is not None)
        for fan_in, fan_out in pairwise(sizes):
            layers += [layer(fan_in, fan_out, n_members, generator), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])
        # All layers but the last are what a body is to other students.
        self.body_patterns = tuple(f"layers.{number}.*" for number in range(len(self.layers) - 1))

    def forward(self, X):
        """Outputs of all members at the same rows."""
        return self.layers(self.encoding(X).expand(self.n_members, -1, -1)).permute(1, 2, 0)


class SmallEnsembleNetwork(_LayeredNetwork):
    """One network for each member, in batched products."""

    def __init__(self, sizes, activation, n_members, generator=None):
        super().__init__(_OwnLinear, sizes, activation, n_members, generator=generator)


class BatchEnsembleNetwork(_LayeredNetwork):
    """One network; each member multiplies its weight matrices by a rank-one mask of its own."""

    def __init__(self, sizes, activation, n_members, edges=None, generator=None):
        super().__init__(MaskedLinear, sizes, activation, n_members, edges, generator)

    @torch.no_grad()
    def average_members(self):
        """Replace all members by one network, whose weights are the average of theirs."""
        for layer in self.layers:
            if isinstance(layer, MaskedLinear):
                layer.average_members()
        self.n_members = 1
        return self


class _OwnLinear(nn.Module):
    """One linear layer for each member, in one batched product."""

    def __init__(self, fan_in, fan_out, n_members, generator=None):
        super().__init__()
        [(weight, bias)] = init_layers([fan_in, fan_out], n_members, generator)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, features):
        return torch.baddbmm(self.bias, features, self.weight)


def random_mask(*shape, generator=None):
    """Return masks at the start."""
    draws = torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")
    return nn.Parameter(1 + MASK_STD * draws)


class MaskedLinear(nn.Module):
    """Shared weights; each member has a mask of the inputs, one of the outputs, and a bias."""

    def __init__(self, fan_in, fan_out, n_members, generator=None):
        super().__init__()
        shared = make_linear(fan_in, fan_out, generator)
        self.weight = nn.Parameter(shared.weight.detach().T.clone())
        self.bias = nn.Parameter(shared.bias.detach().repeat(n_members, 1, 1))
        self.input_mask = random_mask(n_members, 1, fan_in, generator=generator)
        self.output_mask = random_mask(n_members, 1, fan_out, generator=generator)

    def forward(self, features):
        return (features * self.input_mask) @ self.weight * self.output_mask + self.bias

    def average_members(self):
        """Replace masks and biases by their mean over members; one member is left."""
        mask = (self.input_mask.transpose(1, 2) @ self.output_mask).mean(dim=0)
        self.weight.mul_(mask)
        self.bias = nn.Parameter(self.bias.mean(dim=0, keepdim=True))
        self.input_mask = nn.Parameter(torch.ones_like(self.input_mask[:1]))
        self.output_mask = nn.Parameter(torch.ones_like(self.output_mask[:1]))
