"""The noise of y, its quantiles and variances in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from .._predictive import two_piece
from .._predictive.conformal import UNIT_LEVEL, conformal_quantiles
from .._predictive.scale_mixture import (
    LOG_RATIOS,
    distance_curve,
    mean_std_curve,
    node_weights,
)
from .._predictive.target_noise import TargetNoise
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

    def distance(self, tails: np.ndarray) -> str:
        """Return the distance (n, c) from the mean that y exceeds with probabilities (c,)."""
        curves = [
            distance_curve(shape, tail) if np.isfinite(shape) and tail < 0.5 else None
            for shape, tail in zip(self.noise.shape.tolist(), tails.tolist(), strict=True)
        ]
        return self._in_units(-ndtri(tails), curves)

    def mean_std(self) -> str:
        """Return the mean standard deviation of y (n, c)."""
        shapes = self.noise.shape.tolist()
        curves = [mean_std_curve(shape) if np.isfinite(shape) else None for shape in shapes]
        return self._in_units(np.ones(len(shapes)), curves)

    def mean(self) -> str:
        """Return the mean of y (n, c)."""
        mean = self.members.mean
        return self.graph.add("Add", mean, self.noise.bias) if self.noise.bias.any() else mean

    def center(self) -> str:
        """Return where the two sides of the distribution of y meet (n, c)."""
        mean, skewness = self.mean(), self.noise.skewness
        if not self.noise.is_skewed:
            return mean
        shift = np.broadcast_to(two_piece.center(skewness), len(self.noise.shape))
        return self.graph.add("Add", mean, self.graph.add("Mul", self.mean_std(), shift))

    def _in_units(self, normal: np.ndarray, curves: list) -> str:
        """Return values (n, c) by curves of the log ratio, or multiples of the std without one.

        ``normal`` (c,) are the multiples, which hold where next to nothing has tails, too.
        """
        graph, z = self.graph, normal
        total = graph.add("Sqrt", graph.add("Add", self.fixed, self.scale))
        multiple = graph.add("Mul", total, z)
        has_tails = np.array([curve is not None for curve in curves])
        if not has_tails.any():
            return multiple
        logs = [graph.add("Log", graph.add("Max", each, TINY)) for each in (self.fixed, self.scale)]
        log_ratio = graph.add("Sub", *logs)
        curve = self._interpolate(log_ratio, curves)
        curve = graph.add("Mul", graph.add("Sqrt", self.scale), graph.add("Exp", curve))
        last = graph.add("Mul", graph.add("Sqrt", self.fixed), z)
        is_inside = graph.add("Less", log_ratio, LOG_RATIOS[-1])
        curve = graph.add("Where", is_inside, curve, last)
        return curve if has_tails.all() else graph.add("Where", has_tails, curve, multiple)

    def _interpolate(self, log_ratio: str, curves: list) -> str:
        """Return the values of curves; where there is none, those of any."""
        graph, step = self.graph, LOG_RATIOS[1] - LOG_RATIOS[0]
        n_pieces = len(LOG_RATIOS) - 1
        any_curve = next(curve for curve in curves if curve is not None)
        pieces = [(curve or any_curve).c.T for curve in curves]  # (n_pieces, 4)
        table = np.concatenate(pieces)
        inside = graph.add(
            "Sub", graph.clip(log_ratio, LOG_RATIOS[0], LOG_RATIOS[-1]), LOG_RATIOS[0]
        )
        place = graph.add("Floor", graph.add("Div", inside, step))
        place = graph.add("Min", place, float(n_pieces - 1))
        at = graph.add("Sub", inside, graph.add("Mul", place, step))
        # NaN is no index; `at` still carries it
        place = graph.add("Where", graph.add("IsNaN", place), 0.0, place)
        index = graph.add("Add", place, n_pieces * np.arange(len(curves), dtype=np.float64))
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
        if noise.is_skewed:
            total = self._skewed_variance(total)
        spread = graph.add("Mul", self.members.variance, noise.spread_share)
        aleatoric = graph.add("Max", graph.add("Sub", total, spread), 0.0)
        epistemic = graph.add("Mul", spread, slope**2)
        return graph.add("Mul", aleatoric, slope**2), epistemic

    def _skewed_variance(self, total: str) -> str:
        """Return the variance of the skewed mixture, from that of the symmetric one (n, c)."""
        graph, skewness, nothing = self.graph, self.noise.skewness, np.zeros(1)
        squares = two_piece.variance(nothing + 1, nothing, skewness)
        shift = two_piece.variance(nothing, nothing + 1, skewness)
        mean_std = self.mean_std()
        square = graph.add("Mul", graph.add("Mul", mean_std, mean_std), shift)
        return graph.add("Add", graph.add("Mul", total, squares), square)

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
    mean = graph.unsqueeze(members.mean if noise is None else noise.mean(), 2)
    if scores is not None:
        unit = (
            graph.add("Sqrt", members.variance)
            if noise is None
            else noise.distance(np.full(len(noise.noise.shape), 1 - UNIT_LEVEL))
        )
        unit = graph.unsqueeze(graph.add("Max", unit, TINY), 2)
        n_outputs = scores.shape[1]
        center, one = np.zeros((1, n_outputs)), np.ones((1, n_outputs))
        factors = conformal_quantiles(scores, center, one, inner)[0]
        offset = graph.add("Mul", unit, factors)
    else:
        assert noise is not None  # quantiles are wanted only where there is one of them
        mean = graph.unsqueeze(noise.center(), 2)
        of_outputs = [noise.noise.tails(inner, output) for output in range(len(noise.noise.shape))]
        tails, factors = np.array(of_outputs).transpose(1, 2, 0)  # (n_levels, c)
        found = np.unique(tails, axis=0)
        is_tail = (tails == found[:, None]).all(axis=-1)  # (n_tails, n_levels)
        parts = [graph.unsqueeze(noise.distance(tail), 2) for tail in found]
        distances = graph.add("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]
        offset = graph.add("Mul", graph.add("MatMul", distances, is_tail.astype(float)), factors.T)
    quantiles = way_back.invert(graph.add("Add", mean, offset), 3)
    if len(inner) == len(levels):
        return quantiles
    sizes = np.full(2, len(levels))
    at_level, at_opposite = graph.add_several("Split", 2, quantiles, sizes, axis=2)
    return graph.add("Where", target.sign[:, None] > 0, at_level, at_opposite)
