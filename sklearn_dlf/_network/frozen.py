"""Layers of a network that is no longer trained, in few operations of torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, linear, silu

from .bodies import MLP, SWISH_SHARPNESS, EncodedMLP, Swish

# What a `FrozenMLP` applies in place of each activation, in place where torch can.
FROZEN_ACTIVATIONS: dict[type, Callable[[torch.Tensor], torch.Tensor]] = {
    Swish: partial(silu, inplace=True),  # gives 5 times the output at 5 times the input
    nn.ReLU: torch.relu_,
    nn.GELU: gelu,
    nn.SiLU: partial(silu, inplace=True),
    nn.Tanh: torch.tanh_,
}


class FrozenMLP:
    """A trained `MLP` without modules between its layers, behind an encoding if it has one.

    "swish" is ``silu(5 x) / 5``, so the weights take up both factors. Whatever reads the features
    has to divide them by `scale`.

    Parameters
    ----------
    body : MLP or EncodedMLP
        Trained layers.

    Attributes
    ----------
    scale : float
        Factor of these features over those of `body`.
    """

    def __init__(self, body: MLP | EncodedMLP):
        self.layers, self.scale = [], 1.0
        self.encoding = None if isinstance(body, MLP) else body.encoding
        modules: list[Any] = list(body if isinstance(body, MLP) else body.layers)
        for linear_layer, activation in zip(modules[::2], modules[1::2], strict=True):
            scale = SWISH_SHARPNESS if isinstance(activation, Swish) else 1.0
            weight = linear_layer.weight * (scale / self.scale)
            bias = linear_layer.bias * scale
            self.layers.append((weight, bias, FROZEN_ACTIVATIONS[type(activation)]))
            self.scale = scale

    def __call__(self, X: torch.Tensor) -> torch.Tensor:
        """Return features (m, hidden_layer_sizes[-1]), ``scale`` times those of the `MLP`."""
        if self.encoding is not None:
            X = self.encoding(X)
        for weight, bias, activation in self.layers:
            X = activation(linear(X, weight, bias))
        return X


class FrozenLinear:
    """A trained linear layer whose outputs (m, n_columns) have rows last in memory.

    Callers read its outputs by columns.

    Parameters
    ----------
    layer : nn.Linear
        Trained layer.
    scale : float
        Factor of its inputs over those that it was trained on.
    """

    def __init__(self, layer: nn.Linear, scale: float):
        self.weight, self.bias = layer.weight / scale, layer.bias

    def __call__(self, X: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias[:, None], self.weight, X.T).T
