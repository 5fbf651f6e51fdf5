"""The members of a latent factor student in ONNX: network, heads, mean, loadings and noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .._network.bodies import MLP, SWISH_SHARPNESS, EncodedMLP, Swish
from .._network.heads import MIN_OWN_SHARE, Units
from .graph import Graph


class Members(NamedTuple):
    """Values of a graph that describe the members, in units of their outputs.

    A member is ``mean + loadings z + shared e + own_std e'``, with the same normal ``z`` at all
    rows, and ``e`` and ``e'`` drawn anew at each.

    Attributes
    ----------
    mean, variance : shape (n, c)
        Moments of the members.
    noise_std : shape (n, c)
        Standard deviation of all member noise.
    loadings : shape (n, c, q), or (n, 1, q) with a mixing
        Loadings of the factors, common and local.
    noise : shape (n, c, r), or None
        Loadings of the noise's own factors.
    own_noise : shape (n, c)
        Standard deviation of the noise that each output has of its own.
    mixing : array of shape (c, c), or None
        Mixing, in units of the outputs.
    """

    mean: str
    variance: str
    noise_std: str
    loadings: str
    noise: str | None
    own_noise: str
    mixing: np.ndarray | None


def add_members(graph: Graph, network: Any, units: Units, rows: str) -> Members:
    """Add a network to a graph whose standardised rows are ``rows``."""
    features = _add_body(graph, network.body, rows)
    layout, n_outputs = network.layout, network.n_outputs
    places = layout.split(torch.arange(layout.n_columns)[None])
    order = torch.cat([part.flatten() for part in places[:3]])
    weight, bias = (
        graph.parameter(part.cpu()[order]) for part in (network.heads.weight, network.heads.bias)
    )
    center, scale, spread = units
    mixing = None if network.mixing is None else spread[:, None] * network.mixing.cpu().numpy()
    n_loadings = len(order) - 2 * n_outputs
    own = np.repeat(spread, network.q) if mixing is None else np.ones(n_loadings)
    shift = np.concatenate([center, 2 * np.log(spread), np.zeros(n_loadings)])
    factor = np.concatenate([scale, np.ones(n_outputs), own])
    heads = graph.add(
        "Gemm",
        features,
        graph.add("Mul", weight, factor[:, None]),
        graph.add("Add", graph.add("Mul", bias, factor), shift),
        transB=1,
    )
    sizes = np.array([n_outputs, n_outputs, n_loadings])
    mean, log_noise, flat = graph.add_several("Split", 3, heads, sizes, axis=1)
    limit = network.max_log_noise.cpu().numpy().astype(np.float64) + 2 * np.log(spread)
    noise_variance = graph.add("Exp", graph.add("Min", log_noise, limit))
    shape = np.array([0, *layout.loadings_shape])
    loadings = graph.add("Reshape", flat, shape)
    factors = graph.sum(graph.add("Mul", loadings, loadings), 2)
    if mixing is not None:
        factors = graph.add("Mul", factors, np.square(mixing).sum(axis=1))
    noise_std = graph.add("Sqrt", noise_variance)
    noise, own_noise = _add_noise(graph, network, features, noise_std)
    variance = graph.add("Add", noise_variance, factors)
    return Members(mean, variance, noise_std, loadings, noise, own_noise, mixing)


def _add_body(graph: Graph, body: Any, rows: str) -> str:
    """Add the layers of a body, and return its features."""
    if isinstance(body, EncodedMLP):
        encoding, body = body.encoding, body.layers
        columns = encoding.columns.cpu().numpy().astype(np.int64)
        bins = graph.add("Gather", rows, columns, axis=1)
        bins = graph.add("Sub", bins, graph.parameter(encoding.centre))
        bins = graph.add("Mul", bins, graph.parameter(encoding.slope))
        rows = graph.add("Clip", bins, -1.0, 1.0)
    if not isinstance(body, MLP):
        raise ValueError(
            f"to_onnx holds the package's own bodies only; this student has one of your own, a "
            f"{type(body).__name__}. Export its network by torch.onnx.export(student.student_, "
            "...), whose outputs are the heads, or serve a pickle."
        )
    modules: list[Any] = list(body)
    for layer, activation in zip(modules[::2], modules[1::2], strict=True):
        weight, bias = graph.parameter(layer.weight), graph.parameter(layer.bias)
        rows = _activate(graph, activation, graph.add("Gemm", rows, weight, bias, transB=1))
    return rows


def _activate(graph: Graph, activation: nn.Module, value: str) -> str:
    """Return an activation of a value."""
    if isinstance(activation, Swish | nn.SiLU):
        # Not by "Sigmoid": earlier runtimes fuse that with the product into what float32 has only.
        sharpness = SWISH_SHARPNESS if isinstance(activation, Swish) else 1.0
        power = graph.add("Exp", graph.add("Mul", value, -sharpness))
        return graph.add("Div", value, graph.add("Add", power, 1.0))
    if isinstance(activation, nn.GELU):
        # onnxruntime has this function in float32 only
        scaled = graph.cast(graph.add("Mul", value, 0.5**0.5), "FLOAT")
        erf = graph.cast(graph.add("Erf", scaled), "DOUBLE")
        return graph.add("Mul", graph.add("Mul", value, 0.5), graph.add("Add", erf, 1.0))
    return graph.add("Relu" if isinstance(activation, nn.ReLU) else "Tanh", value)


def _add_noise(graph: Graph, network: Any, features: str, std: str) -> tuple[str | None, str]:
    """Return loadings of the noise's factors, or None, and each output's own noise. Eq. (28)."""
    if network.noise_head is None:
        return None, std
    head = network.noise_head
    weight, bias = graph.parameter(head.weight), graph.parameter(head.bias)
    flat = graph.add("Gemm", features, weight, bias, transB=1)
    shape = np.array([0, network.n_outputs, -1])
    directions = graph.add("Reshape", flat, shape)
    length = graph.sum(graph.add("Mul", directions, directions), 2, keepdims=True)
    length = graph.add("Sqrt", graph.add("Add", length, 1.0))
    shares = graph.add("Mul", graph.add("Div", directions, length), (1 - MIN_OWN_SHARE) ** 0.5)
    own = graph.add("Sub", 1.0, graph.sum(graph.add("Mul", shares, shares), 2))
    noise = graph.add("Mul", shares, graph.unsqueeze(std, 2))
    return noise, graph.add("Mul", std, graph.add("Sqrt", own))


def add_draws(graph: Graph, members: Members, network: Any) -> dict[str, tuple[str, list[Any]]]:
    """Return what members are drawn from: names of outputs, their values and shapes.

    The share of each factor that is common to all rows is in the loadings, the rest in the noise.
    """
    shares = network.factor_shares.cpu().numpy().astype(np.float64)
    n_outputs, q = network.n_outputs, network.q
    common = graph.add("Mul", members.loadings, np.sqrt(shares))
    local = [] if members.noise is None else [members.noise]
    mixing = members.mixing
    if (shares < 1).any():
        rest = graph.add("Mul", members.loadings, np.sqrt(1 - shares))
        if mixing is not None:
            squares = graph.sum(graph.add("Mul", rest, rest), 2, keepdims=True)
            rest = graph.add("Mul", graph.add("Sqrt", squares), mixing)
        local.append(rest)
    own = members.own_noise
    if mixing is not None:  # loadings (n, c, c q) of the entries of Z
        spread = graph.add("Mul", graph.unsqueeze(common, 2), mixing[None, :, :, None])
        common = graph.add("Reshape", spread, np.array([0, n_outputs, n_outputs * q]))
        q *= n_outputs
    found = {
        "latent_mean": (members.mean, ["n_rows", n_outputs]),
        "loadings": (common, ["n_rows", n_outputs, q]),
    }
    if local and n_outputs == 1:  # all that is local is one function
        variances = [graph.sum(graph.add("Mul", part, part), 2) for part in local]
        own = graph.add("Sqrt", graph.add("Sum", graph.add("Mul", own, own), *variances))
    elif local:
        joined = graph.add("Concat", *local, axis=2) if len(local) > 1 else local[0]
        found["shared_noise"] = joined, ["n_rows", n_outputs, None]
    found["own_noise"] = own, ["n_rows", n_outputs]
    return found
