"""Bodies of networks: they map rows, standardised or raw, to features."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .._utils.warning import warn_user
from .encodings import PiecewiseLinearEncoding
from .layers import make_linear
from .rows import RowsOrShape, are_points, as_input, as_tensor, row_shape

# Sharpness of the bend of "swish". With 1 it is "silu", with infinity "relu". Chosen by the study
# of activations in docs/ablations.md.
SWISH_SHARPNESS = 5.0

# Sums of features that are as near to one are one, but for rounding in float32.
NEAR_ONE = 1e-5


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


def make_mlp(
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    generator: torch.Generator | None = None,
) -> MLP:
    """Make fully connected layers that map (m, n_features) to (m, hidden_layer_sizes[-1])."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([n_features, *hidden_layer_sizes]):
        layers += [make_linear(fan_in, fan_out, generator), ACTIVATIONS[activation]()]
    return MLP(*layers)


@torch.no_grad()
def ignore_columns(body: nn.Module, are_ignored: np.ndarray) -> None:
    """Let an untrained `MLP` ignore some columns (n_features,), which are zero at all rows.

    Nothing trains their weights. At rows with another value there, random ones would count.
    """
    if isinstance(body, MLP) and are_ignored.any():
        weight = next(body.parameters())
        weight[:, torch.as_tensor(are_ignored)] = 0.0


def choose_activation(activation: str, encoded: bool) -> str:
    """Return the activation that a parameter names, of a body with or without an encoding."""
    if activation == "auto":
        return AUTO_ENCODED_ACTIVATION if encoded else AUTO_ACTIVATION
    return activation


def make_body(
    make: Callable[[Any], nn.Module] | None,
    rows: RowsOrShape,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    edges: Sequence[np.ndarray] | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Make an untrained body.

    Parameters
    ----------
    make : callable or None
        Makes a body of the user's own. It gets the number of columns, or the shape of a row that
        has more than one dimension.
    rows : int, tuple of int or array of shape (n, *row_shape)
        Columns of a table, shape of a row, or the rows themselves.
    hidden_layer_sizes, activation
        Of a body that is an MLP.
    edges : sequence of arrays or None
        Edges of the bins of each column, for an MLP behind an encoding.
    generator : torch.Generator or None
        Draws the parameters of an MLP. A callable draws from torch's own generator.

    Raises
    ------
    ValueError
        If the callable returns no module, or if rows that are no points have no callable.
    """
    shape = row_shape(rows)
    if make is None:
        if not are_points(rows):
            what = f"rows of {rows.dtype}" if isinstance(rows, np.ndarray) else "rows"
            raise ValueError(
                f"Raw rows need a body of your own: got {what} of shape {shape} and expected a "
                "callable `body`, which takes this shape and returns an nn.Module that maps (n, "
                "*shape) to (n, n_body_features)."
            )
        activation = choose_activation(activation, encoded=edges is not None)
        if edges is None:
            return make_mlp(shape[0], hidden_layer_sizes, activation, generator)
        encoding = PiecewiseLinearEncoding(edges)
        layers = make_mlp(encoding.n_bins, hidden_layer_sizes, activation, generator)
        return EncodedMLP(encoding, layers)
    body = make(shape[0] if len(shape) == 1 else shape)
    if not isinstance(body, nn.Module):
        raise ValueError(
            "The callable `body` must return an nn.Module that maps (n_rows, n_features) to "
            f"(n_rows, n_body_features); got {type(body).__name__}."
        )
    # A callable may return the same module in every call, and one that is on a device already.
    return copy.deepcopy(body).float().cpu()


class BodySize(NamedTuple):
    """What a body makes of a row.

    Attributes
    ----------
    n_features : int
        Columns of its output.
    row_bytes : int
        Bytes of the largest tensor that a row becomes in it.
    """

    n_features: int
    row_bytes: int


def measure_body(body: nn.Module, rows: RowsOrShape) -> BodySize:
    """Return the size of a body, found by evaluating it at two rows.

    Parameters
    ----------
    body : nn.Module
        Untrained body. Its lazy layers are initialised.
    rows : int, tuple of int or array of shape (n, *row_shape)
        Rows, the first two of which are used: an embedding takes real ids, and zeros may be nothing
        but padding. Zeros are used if only the number of columns or the shape is given.

    Raises
    ------
    ValueError
        If the output is not a float32 matrix with a row for each row of the input.
    """
    two = two_rows(rows)
    body.eval()
    try:
        with torch.no_grad(), _LargestTensor() as largest:
            features = body(two)
    except (RuntimeError, IndexError) as error:
        what = f"of {two.dtype} and of shape {tuple(two.shape[1:])}"
        remedy = (
            "Images are read channels first. Bytes become float32; other integers stay integers, "
            "such as ids of tokens with preprocessor=None: cast images of integers to float32."
        )
        if isinstance(error, IndexError):
            remedy = (
                f"The first rows have numbers up to {two.max().item():g}, which an embedding must "
                "have room for: ids of tokens are below n_tokens_ of a SentenceTokenizer."
            )
        raise ValueError(
            f"The student's body cannot read the rows that it gets, {what}: "
            f"{str(error).rstrip('.')}. {remedy}"
        ) from error
    if not isinstance(features, torch.Tensor) or features.dtype != torch.float32:
        what = getattr(features, "dtype", type(features).__name__)
        raise ValueError(f"The body must return one tensor of torch.float32; got {what}.")
    if features.ndim != 2 or len(features) != 2:
        one = row_shape(rows)
        of = f"of {one[0]} features" if len(one) == 1 else f"of shape {one}"
        raise ValueError(
            "The body must map (n_rows, n_features) to (n_rows, n_body_features); for 2 "
            f"rows {of} it returned shape {tuple(features.shape)}."
        )
    deviations = (features.sum(dim=1) - 1).abs()
    if features.shape[1] > 1 and (features > 0).all() and (deviations < NEAR_ONE).all():
        warn_user(
            "The features of the body sum to one at each row, as behind a softmax. Features of the "
            "layer before the last linear one tell far more: the student has linear heads of its "
            "own, and needs no probabilities."
        )
    largest.see(two, features)
    return BodySize(features.shape[1], largest.n_bytes // 2)


def two_rows(rows: RowsOrShape) -> torch.Tensor:
    """Return two rows as a body takes them: the first ones, or zeros if only a shape is given."""
    if not isinstance(rows, np.ndarray):
        return torch.zeros(2, *row_shape(rows), dtype=torch.float32)
    like = torch.zeros((), dtype=torch.float32)
    return as_input(as_tensor(np.resize(rows[:2], (2, *rows.shape[1:]))), like)


class _LargestTensor(TorchFunctionMode):
    """Notes the bytes of the largest tensor that a function of torch returns."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.see(*(result if isinstance(result, tuple | list) else [result]))
        return result

    def see(self, *results: Any) -> None:
        """Compare with some results, of which some may be tensors."""
        for result in results:
            if isinstance(result, torch.Tensor):
                self.n_bytes = max(self.n_bytes, result.numel() * result.element_size())
