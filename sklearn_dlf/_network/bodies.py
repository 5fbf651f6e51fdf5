"""Bodies of networks: they map standardised rows to features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from .encodings import PiecewiseLinearEncoding

# Sharpness of the bend of "swish". With 1 it is "silu", with infinity "relu". Chosen by the study
# of activations in docs/ablations.md.
SWISH_SHARPNESS = 5.0


class Swish(nn.Module):
    """``x sigmoid(5 x)``, between "relu" and "silu" [Ramachandran2017].

    .. [Ramachandran2017] Ramachandran, Zoph, Le. "Searching for activation functions".
       arXiv:1710.05941.
    """

    def forward(self, X):
        """Apply to every entry, in place where no derivative is needed."""
        if X.requires_grad:
            return X * torch.sigmoid(SWISH_SHARPNESS * X)
        return (SWISH_SHARPNESS * X).sigmoid_().mul_(X)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "swish": Swish,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


# What ``activation="auto"`` stands for: of a plain body, and behind an encoding of columns. There
# the sharper bend of "swish" learns trees less well.
AUTO_ACTIVATION, AUTO_ENCODED_ACTIVATION = "swish", "silu"


class MLP(nn.Sequential):
    """Fully connected layers, each followed by its activation."""


class EncodedMLP(nn.Module):
    """Fully connected layers behind an encoding of the columns.

    Parameters
    ----------
    encoding : PiecewiseLinearEncoding
        Encoding of the columns, which is not trained.
    layers : MLP
        Layers on the bins.
    """

    def __init__(self, encoding: PiecewiseLinearEncoding, layers: MLP):
        super().__init__()
        self.encoding = encoding
        self.layers = layers

    def forward(self, X):
        """Map standardised rows (m, n_features) to features (m, hidden_layer_sizes[-1])."""
        return self.layers(self.encoding(X))


def make_mlp(n_features: int, hidden_layer_sizes: Sequence[int], activation: str) -> MLP:
    """Make fully connected layers that map (m, n_features) to (m, hidden_layer_sizes[-1])."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([n_features, *hidden_layer_sizes]):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return MLP(*layers)


def choose_activation(activation: str, encoded: bool) -> str:
    """Return the activation that a parameter names, of a body with or without an encoding."""
    if activation == "auto":
        return AUTO_ENCODED_ACTIVATION if encoded else AUTO_ACTIVATION
    return activation


def make_body(
    make: Callable[[int], nn.Module] | None,
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    edges: Sequence[np.ndarray] | None = None,
) -> nn.Module:
    """Make an untrained body.

    Parameters
    ----------
    make : callable or None
        Makes a body of the user's own.
    n_features, hidden_layer_sizes, activation
        Of a body that is an MLP.
    edges : sequence of arrays or None
        Edges of the bins of each column, for an MLP behind an encoding.
    """
    if make is None:
        activation = choose_activation(activation, encoded=edges is not None)
        if edges is None:
            return make_mlp(n_features, hidden_layer_sizes, activation)
        encoding = PiecewiseLinearEncoding(edges)
        return EncodedMLP(encoding, make_mlp(encoding.n_bins, hidden_layer_sizes, activation))
    body = make(n_features)
    if not isinstance(body, nn.Module):
        raise ValueError(
            "The callable `body` must return an nn.Module that maps (n_rows, n_features) to "
            f"(n_rows, n_body_features); got {type(body).__name__}."
        )
    # A callable may return the same module in every call, and one that is on a device already.
    return copy.deepcopy(body).float().cpu()


def count_body_features(body: nn.Module, n_features: int) -> int:
    """Return the number of columns of the body's output, found by evaluating it at two rows."""
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
