"""The student network: a body of features, and linear heads that speak of an ensemble.

All that the body sees is standardised, and all heads are in training units; units of X and y are
the caller's business.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}

# Rows of a forward pass outside training: large enough for efficient matrix products, small enough
# that the activations of a layer of 100 units (3 MB) stay near the processor.
PREDICT_ROWS = 2**13

# Where each head lies among the rows of one output.
MEAN, LOG_NOISE, LOADINGS = 0, 1, slice(2, None)


class Heads(NamedTuple):
    """What a student says of a batch: ``mean``, ``log_noise`` (m, c) and ``loadings`` (m, c, q)."""

    mean: torch.Tensor
    log_noise: torch.Tensor
    loadings: torch.Tensor


def make_mlp(n_features, hidden_layer_sizes, activation):
    """Body of fully connected layers; maps (m, n_features) to (m, hidden_layer_sizes[-1])."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([n_features, *hidden_layer_sizes]):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


class Network(nn.Module):
    """A network that is asked about arrays of any number of rows once it is trained."""

    @property
    def device(self):
        """Where the parameters lie."""
        return next(self.parameters()).device

    def in_blocks(self, X, forward):
        """Block by block ``forward(rows)``: evaluation mode, no gradients, the network's device."""
        parameter = next(self.parameters())
        self.eval()
        with torch.inference_mode():
            return [
                forward(block.to(parameter)) for block in torch.from_numpy(X).split(PREDICT_ROWS)
            ]

    def exact(self):
        """Copy of a trained network in float64, made once; it is not pickled."""
        if "_exact" not in self.__dict__:
            self.__dict__["_exact"] = copy.deepcopy(self).double()
        return self.__dict__["_exact"]

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_exact"}


class Student(Network):
    """A body of features, and one linear layer with the heads of every output.

    Each output has a row for its mean, one for the log variance of its member noise, and ``q``
    for its loadings.

    Parameters
    ----------
    body : nn.Module
        Maps standardised rows (m, n_features) to features (m, n_body_features).
    n_features, n_outputs, q : int
        Columns of X, outputs of the ensemble, latent factors.

    Raises
    ------
    ValueError
        If the body's output is not a matrix with a row for each row of its input.
    """

    def __init__(self, body, n_features, n_outputs, q):
        super().__init__()
        self.body = body
        self.n_outputs = n_outputs
        self.q = q
        self.heads = nn.Linear(count_body_features(body, n_features), n_outputs * (2 + q))

    def forward(self, X):
        """Heads of a batch of standardised rows (m, n_features)."""
        heads = self.heads(self.body(X)).view(len(X), self.n_outputs, 2 + self.q)
        return Heads(heads[..., MEAN], heads[..., LOG_NOISE], heads[..., LOADINGS])

    def forward_mean(self, X):
        """Mean head alone, (m, c), at the cost of c columns instead of c (2 + q)."""
        weight, bias = self._rows(self.heads.weight), self._rows(self.heads.bias)
        return nn.functional.linear(self.body(X), weight[:, MEAN], bias[:, MEAN])

    def _rows(self, parameter):
        """View of the heads' weight or bias as (c, 2 + q, ...)."""
        return parameter.view(self.n_outputs, 2 + self.q, *parameter.shape[1:])

    @torch.no_grad()
    def transform_loadings(self, transform):
        """Multiply the loadings by ``transform`` (q, q), exactly, in the heads' own parameters."""
        for parameter in (self.heads.weight, self.heads.bias):
            loadings = self._rows(parameter)[:, LOADINGS]
            matrix = torch.as_tensor(transform, dtype=loadings.dtype, device=loadings.device)
            loadings.copy_(torch.einsum("cs...,sr->cr...", loadings, matrix))

    @torch.no_grad()
    def set_noise(self, noise_variance):
        """Make the member noise the same at all inputs; zero is allowed."""
        log_variance = math.log(noise_variance) if noise_variance > 0 else -math.inf
        self._rows(self.heads.weight)[:, LOG_NOISE] = 0.0
        self._rows(self.heads.bias)[:, LOG_NOISE] = log_variance

    def evaluate(self, X):
        """Heads of any number of rows (m, n_features), as arrays."""
        outputs = self.in_blocks(X, self.forward)
        return Heads(*(gather(head) for head in zip(*outputs, strict=True)))

    def evaluate_mean(self, X):
        """Mean of any number of rows (m, n_features), as an array (m, c)."""
        return gather(self.in_blocks(X, self.forward_mean))


def gather(blocks):
    """One array of the tensors of all blocks."""
    return (blocks[0] if len(blocks) == 1 else torch.cat(blocks)).cpu().numpy()


def count_body_features(body, n_features):
    """Columns of the body's output, found by asking it about two rows."""
    body.eval()
    with torch.no_grad():
        features = body(torch.zeros(2, n_features))
    if features.ndim != 2 or len(features) != 2:
        raise ValueError(
            "The student's body must map (n_rows, n_features) to (n_rows, n_body_features); for 2 "
            f"rows of {n_features} features it returned shape {tuple(features.shape)}."
        )
    return features.shape[1]
