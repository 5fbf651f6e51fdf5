"""Averaged probabilities, and their entropies, in ONNX."""

from __future__ import annotations

import numpy as np

from .._predictive.averaged_entropies import MAX_CLASSES, TINY
from .._predictive.averaged_probabilities import BITS_PER_NAT, coefficients
from .._predictive.fixed_draws import N_DRAWS, weighted_pairs
from .graph import Graph
from .onnx_members import Members


def has_entropies(n_outputs: int) -> bool:
    """Return whether the averaged entropy is a sum that ONNX holds.

    With 3 to MAX_CLASSES classes it takes as many draws as a row needs.
    """
    return n_outputs == 1 or n_outputs > MAX_CLASSES


def add_two_classes(graph: Graph, members: Members) -> tuple[str, str]:
    """Return averaged probabilities (n, 2) and averaged entropies (n,), as for one log-odds."""
    points, weights = (np.asarray(part, dtype=np.float64) for part in weighted_pairs(1))
    line, weights = np.concatenate([points[0], -points[0]]), np.tile(weights, 2)[:, None]
    odds = graph.add("Mul", graph.add("Sqrt", members.variance), line)
    odds = graph.add("Add", odds, members.mean)
    second = graph.add("MatMul", graph.add("Sigmoid", odds), weights)
    first = graph.add("MatMul", graph.add("Sigmoid", graph.add("Neg", odds)), weights)
    size = graph.add("Abs", odds)
    power = graph.add("Exp", graph.add("Neg", size))
    above = graph.add("Add", power, 1.0)
    parts = graph.add("Div", graph.add("Mul", size, power), above)
    entropy = graph.add("MatMul", graph.add("Add", graph.add("Log", above), parts), weights)
    pair = graph.add("Concat", first, second, axis=1)
    return _normalise(graph, pair), graph.add("Squeeze", entropy, np.array([1]))


def add_several_classes(
    graph: Graph, members: Members, n_classes: int, q: int, r: int
) -> tuple[str, str]:
    """Return averaged probabilities (n, K) and averaged entropies (n,), over fixed draws.

    The draws are those of `average_probabilities`: N_DRAWS, half of them mirror images.
    """
    draws = coefficients(n_classes, q, N_DRAWS // 2, members.mixing, r) / BITS_PER_NAT
    own = graph.add("Mul", graph.unsqueeze(members.own_noise, 1), draws[..., -1].T)
    parts, loadings = [own], members.loadings
    if members.mixing is not None:  # the draws hold the mixing
        squares = graph.sum(graph.add("Mul", loadings, loadings), 2, keepdims=True)
        parts.append(graph.add("Mul", graph.add("Sqrt", squares), draws[..., 1].T))
        shared = [] if members.noise is None else [members.noise]
    else:
        shared = [loadings] if members.noise is None else [loadings, members.noise]
    if shared:  # the same draws for all classes
        columns = graph.add("Concat", *shared, axis=2) if len(shared) > 1 else shared[0]
        columns = graph.add("Transpose", columns, perm=[0, 2, 1])
        n_own = 1 if members.mixing is None else 2
        parts.append(graph.add("MatMul", draws[0, :, n_own:-1], columns))
    deviations = graph.add("Sum", *parts) if len(parts) > 1 else own  # (n, n_pairs, K)
    mean = graph.unsqueeze(members.mean, 1)
    sides = [graph.add(side, mean, deviations) for side in ("Add", "Sub")]
    drawn = graph.add("Softmax", graph.add("Concat", *sides, axis=1), axis=2)
    averaged = graph.add("ReduceMean", drawn, axes=[1], keepdims=0)
    logarithm = graph.add("Log", graph.add("Max", drawn, float(TINY)))
    products = graph.sum(graph.add("Mul", drawn, logarithm), 2)
    entropy = graph.add("Neg", graph.add("ReduceMean", products, axes=[1], keepdims=0))
    return _normalise(graph, averaged), entropy


def add_uncertainty(graph: Graph, probabilities: str, entropy: str) -> tuple[str, str]:
    """Return aleatoric and epistemic uncertainty (n,), in nats."""
    logarithm = graph.add("Log", graph.add("Max", probabilities, float(TINY)))
    total = graph.add("Neg", graph.sum(graph.add("Mul", probabilities, logarithm), 1))
    return entropy, graph.add("Max", graph.add("Sub", total, entropy), 0.0)


def _normalise(graph: Graph, probabilities: str) -> str:
    """Return probabilities that sum to one, but for rounding."""
    return graph.add("Div", probabilities, graph.sum(probabilities, 1, keepdims=True))
