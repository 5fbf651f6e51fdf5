"""The noise of y, its quantiles and variances in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from .._predictive.conformal import UNIT_LEVEL, conformal_quantiles
from .._predictive.target_noise import (
    LOG_RATIOS,
    TargetNoise,
    _distance_curve,
    node_weights,
    tail_of,
)
from .._predictive.variance_functions import NetworkVariance, VarianceFunction
from .graph import Graph
from .onnx_members import Members
from .onnx_transformed import WayBack

TINY = float(np.finfo(np.float64).tiny)

# Activations of scikit-learn's networks.
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


class NoiseOfY:
    """Noise of y at the rows of a graph.

    Parameters
    ----------
    graph : Graph
    noise : TargetNoise
        Noise of y.
    members : Members
        Members at the rows.
    rows : str
        Standardised rows.
    """

    def __init__(self, graph: Graph, noise: TargetNoise, members: Members, rows: str):
        self.graph, self.noise, self.members = graph, noise, members
        share = noise.misfit_share + (0.0 if noise.spread_has_tails else noise.spread_share)
        fixed = graph.add("Mul", members.variance, share)
        self.fixed = graph.add("Add", fixed, noise.squared_misfit)
        self.scale = graph.add("Mul", self._add_factor(rows), noise.scale)
        if noise.spread_has_tails:
            spread = graph.add("Mul", members.variance, noise.spread_scale)
            self.scale = graph.add("Add", self.scale, spread)

    def distance(self, tail: float) -> str:
        """Return the distance (n, c) from the mean that y exceeds with probability ``tail``."""
        graph, z = self.graph, -float(ndtri(tail))
        total = graph.add("Sqrt", graph.add("Add", self.fixed, self.scale))
        normal = graph.add("Mul", total, z)
        has_tails = np.isfinite(self.noise.shape)
        if z == 0 or not has_tails.any():
            return normal
        logs = [graph.add("Log", graph.add("Max", each, TINY)) for each in (self.fixed, self.scale)]
        log_ratio = graph.add("Sub", *logs)
        curve = self._interpolate(log_ratio, tail, has_tails)
        curve = graph.add("Mul", graph.add("Sqrt", self.scale), graph.add("Exp", curve))
        last = graph.add("Mul", graph.add("Sqrt", self.fixed), z)
        is_inside = graph.add("Less", log_ratio, LOG_RATIOS[-1])
        curve = graph.add("Where", is_inside, curve, last)
        return curve if has_tails.all() else graph.add("Where", has_tails, curve, normal)

    def _interpolate(self, log_ratio: str, tail: float, has_tails: np.ndarray) -> str:
        """Return the logarithm of the distance, in units of the root of the scale."""
        graph, step = self.graph, LOG_RATIOS[1] - LOG_RATIOS[0]
        n_pieces = len(LOG_RATIOS) - 1
        shapes = np.where(has_tails, self.noise.shape, 1.0)
        pieces = [_distance_curve(float(shape), tail).c.T for shape in shapes]  # (n_pieces, 4)
        table = np.concatenate(pieces)
        inside = graph.add(
            "Sub", graph.clip(log_ratio, LOG_RATIOS[0], LOG_RATIOS[-1]), LOG_RATIOS[0]
        )
        place = graph.add("Floor", graph.add("Div", inside, step))
        place = graph.add("Min", place, float(n_pieces - 1))
        at = graph.add("Sub", inside, graph.add("Mul", place, step))
        index = graph.add("Add", place, n_pieces * np.arange(len(shapes), dtype=np.float64))
        found = graph.add("Gather", table, graph.cast(index, "INT64"), axis=0)
        third, second, first, value = (
            graph.add("Squeeze", part, np.array([2]))
            for part in graph.add_several("Split", 4, found, np.ones(4, dtype=np.int64), axis=2)
        )
        for coefficient in (second, first, value):
            third = graph.add("Add", graph.add("Mul", third, at), coefficient)
        return third

    def variances(self, way_back: WayBack) -> tuple[str, str]:
        """Return aleatoric and epistemic variance (n, c), as `predict_uncertainty` does."""
        graph, noise = self.graph, self.noise
        slope = np.ones(len(noise.shape)) if way_back.target is None else way_back.slope
        # a mixture of normals is transformed back, which is finite
        mean = noise.mean_unit() if way_back.target is None else noise.unit_nodes() @ node_weights()
        total = graph.add("Add", graph.add("Mul", self.scale, mean), self.fixed)
        spread = graph.add("Mul", self.members.variance, noise.spread_share)
        aleatoric = graph.add("Max", graph.add("Sub", total, spread), 0.0)
        epistemic = graph.add("Mul", spread, slope**2)
        return graph.add("Mul", aleatoric, slope**2), epistemic

    def _add_factor(self, rows: str) -> str:
        """Return ``g`` (n, c)."""
        graph, functions = self.graph, self.noise.variance_functions
        if not self.noise.depends_on_row:
            return graph.constant(np.ones((1, len(functions))))
        columns = []
        for output, function in enumerate(functions):
            own = np.array([output])
            mean = graph.add("Gather", self.members.mean, own, axis=1)
            if function is None:
                none = graph.add("Mul", mean, 0.0)
                columns.append(graph.add("Add", none, 1.0))
            elif isinstance(function, NetworkVariance):
                columns.append(_add_network(graph, function, rows))
            else:
                variance = graph.add("Gather", self.members.variance, own, axis=1)
                columns.append(_add_function(graph, function, rows, mean, variance))
        return graph.add("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]


def _add_function(
    graph: Graph, function: VarianceFunction, rows: str, mean: str, variance: str
) -> str:
    """Return ``g`` (n, 1) of an output, by a `VarianceFunction`."""
    typical = (1 - function.own_share) * function.typical_variance
    shrunk = graph.add("Add", graph.add("Mul", variance, float(function.own_share)), float(typical))
    logarithm = graph.add("Log", graph.add("Max", shrunk, TINY))
    values = graph.add("Concat", rows, mean, logarithm, axis=1)
    encoding = function.encoding
    position = graph.add("Gather", values, encoding.columns.astype(np.int64), axis=1)
    position = graph.add("Div", graph.add("Sub", position, encoding.low), encoding.width)
    position = graph.add("Sub", graph.add("Clip", position, 0.0, 1.0), encoding.center)
    return graph.add("Exp", graph.add("MatMul", position, function.coefficients[:, None]))


def _add_network(graph: Graph, function: NetworkVariance, rows: str) -> str:
    """Return ``g`` (n, 1) of an output, by a `NetworkVariance`."""
    network = function.network
    for place, (weight, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        rows = graph.add("Gemm", rows, weight.astype(np.float64), bias.astype(np.float64))
        is_last = place == len(network.coefs_) - 1
        if not is_last and network.activation != "identity":
            rows = graph.add(ACTIVATIONS[network.activation], rows)
    logarithm = graph.add(
        "Add", graph.add("Mul", rows, float(function.unit)), float(function.center)
    )
    low, high = float(function.lowest), float(function.highest)
    return graph.add("Exp", graph.add("Clip", logarithm, low, high))


def add_quantiles(
    graph: Graph,
    members: Members,
    noise: NoiseOfY | None,
    scores: np.ndarray | None,
    levels: np.ndarray,
    way_back: WayBack,
) -> str:
    """Return quantiles of y (n, c, n_levels), as `predict_quantiles` does.

    ``scores`` are conformal ones, which do not need the noise of y.
    """
    target: Any = way_back.target
    inner = levels if target is None else target.inner_levels(levels)
    mean = graph.unsqueeze(members.mean, 2)
    if scores is not None:
        unit = (
            graph.add("Sqrt", members.variance) if noise is None else noise.distance(1 - UNIT_LEVEL)
        )
        unit = graph.unsqueeze(graph.add("Max", unit, TINY), 2)
        n_outputs = scores.shape[1]
        center, one = np.zeros((1, n_outputs)), np.ones((1, n_outputs))
        factors = conformal_quantiles(scores, center, one, inner)[0]
        offset = graph.add("Mul", unit, factors)
    else:
        assert noise is not None  # quantiles are wanted only where there is one of them
        tails = np.array([tail_of(level) for level in inner.tolist()])
        found = np.unique(tails)
        sides = np.sign(inner - 0.5) * (tails == found[:, None])  # (n_tails, n_levels)
        parts = [graph.unsqueeze(noise.distance(float(tail)), 2) for tail in found]
        distances = graph.add("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]
        offset = graph.add("MatMul", distances, sides)
    quantiles = way_back.invert(graph.add("Add", mean, offset), 3)
    if len(inner) == len(levels):
        return quantiles
    sizes = np.full(2, len(levels))
    at_level, at_opposite = graph.add_several("Split", 2, quantiles, sizes, axis=2)
    return graph.add("Where", target.sign[:, None] > 0, at_level, at_opposite)
