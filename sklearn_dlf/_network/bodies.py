"""Bodies of networks: from standardised rows to features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import gelu, linear, silu

# How sharply "swish" bends: one makes it "silu", and infinity "relu".
SWISH_SHARPNESS = 5.0


class Swish(nn.Module):
    """``x sigmoid(5 x)``, between "relu" and "silu" [Ramachandran2017].

    .. [Ramachandran2017] Ramachandran, Zoph, Le. "Searching for activation functions".
       arXiv:1710.05941.
    """

    def forward(self, X):
        """Of every entry; in few passes over memory where no derivative is asked for."""
        if X.requires_grad:
            return X * torch.sigmoid(SWISH_SHARPNESS * X)
        return (SWISH_SHARPNESS * X).sigmoid_().mul_(X)


ACTIVATIONS = {
    "swish": Swish,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

# What of them a `FrozenMLP` does, in place where torch can.
FROZEN_ACTIVATIONS: dict[type, Callable[[torch.Tensor], torch.Tensor]] = {
    Swish: partial(silu, inplace=True),  # five times the output, of five times the input
    nn.ReLU: torch.relu_,
    nn.GELU: gelu,
    nn.SiLU: partial(silu, inplace=True),
    nn.Tanh: torch.tanh_,
}


class MLP(nn.Sequential):
    """Fully connected layers, each with its activation, as `make_mlp` makes them."""


class FrozenMLP:
    """An `MLP` that is not trained any more, in few operations.

    As "swish" is ``silu(5 x) / 5``, the weights take both factors in; what reads the features is to
    divide them by `scale`.

    Attributes
    ----------
    scale : float
        How many times those of the `MLP` the features are.
    """

    def __init__(self, body):
        self.layers, self.scale = [], 1.0
        for linear_layer, activation in zip(body[::2], body[1::2], strict=True):
            scale = SWISH_SHARPNESS if isinstance(activation, Swish) else 1.0
            weight = linear_layer.weight * (scale / self.scale)
            bias = linear_layer.bias * scale
            self.layers.append((weight, bias, FROZEN_ACTIVATIONS[type(activation)]))
            self.scale = scale

    def __call__(self, X):
        """Features (m, hidden_layer_sizes[-1]), ``scale`` times those of the `MLP`."""
        for weight, bias, activation in self.layers:
            X = activation(linear(X, weight, bias))
        return X


class FrozenLinear:
    """A linear layer that is not trained any more.

    In the memory of its outputs (m, n_columns) the rows come last, as for those who read columns.

    Parameters
    ----------
    layer : nn.Linear
        As it was trained.
    scale : float
        How many times its features what it reads is.
    """

    def __init__(self, layer, scale):
        self.weight, self.bias = layer.weight / scale, layer.bias

    def __call__(self, X):
        return torch.addmm(self.bias[:, None], self.weight, X.T).T


def make_mlp(n_features, hidden_layer_sizes, activation):
    """Body of fully connected layers; maps (m, n_features) to (m, hidden_layer_sizes[-1])."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([n_features, *hidden_layer_sizes]):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return MLP(*layers)


def count_body_features(body, n_features):
    """Columns of the body's output, found by asking it about two rows."""
    body.eval()
    with torch.no_grad():
        features = body(torch.zeros(2, n_features))
    if not isinstance(features, torch.Tensor) or features.dtype != torch.float32:
        what = getattr(features, "dtype", type(features).__name__)
        raise ValueError(f"The student's body must return one tensor of torch.float32; got {what}.")
    if features.ndim != 2 or len(features) != 2:
        raise ValueError(
            "The student's body must map (n_rows, n_features) to (n_rows, n_body_features); for 2 "
            f"rows of {n_features} features it returned shape {tuple(features.shape)}."
        )
    return features.shape[1]


def check_body(body):
    """Return a user's body in float32, or raise where it is no module."""
    if not isinstance(body, nn.Module):
        raise ValueError(
            "The callable `body` must return an nn.Module that maps (n_rows, n_features) to "
            f"(n_rows, n_body_features); got {type(body).__name__}."
        )
    return body.float()
