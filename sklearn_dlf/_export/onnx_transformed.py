"""The way back of a transformed y in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
from scipy import special
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from .._predictive.output_transformers import OutputTransformers
from .._predictive.transformed_target import Z_NODES, Z_WEIGHTS, TransformedTarget
from .graph import Graph


def _operator(name: str) -> Callable[[Graph, str], str]:
    """Return a function that adds an operator of one input."""
    return lambda graph, value: graph.add(name, value)


# Functions that take transformed values back, of those that users name.
FUNCTIONS: dict[Any, Callable[[Graph, str], str]] = {
    np.exp: _operator("Exp"),
    np.log: _operator("Log"),
    np.sqrt: _operator("Sqrt"),
    np.reciprocal: _operator("Reciprocal"),
    np.negative: _operator("Neg"),
    np.tanh: _operator("Tanh"),
    special.expit: _operator("Sigmoid"),
    np.expm1: lambda graph, value: graph.add("Sub", graph.add("Exp", value), 1.0),
    np.log1p: lambda graph, value: graph.add("Log", graph.add("Add", value, 1.0)),
    np.square: lambda graph, value: graph.add("Mul", value, value),
    np.exp2: lambda graph, value: graph.add("Exp", graph.add("Mul", value, np.log(2))),
    np.log2: lambda graph, value: graph.add("Div", graph.add("Log", value), np.log(2)),
    np.log10: lambda graph, value: graph.add("Div", graph.add("Log", value), np.log(10)),
    special.exp10: lambda graph, value: graph.add("Exp", graph.add("Mul", value, np.log(10))),
}

# Exponents of power transformations below this are logarithms.
NO_POWER = float(np.finfo(np.float64).eps)


class WayBack:
    """Takes transformed values back to units of y, in a graph.

    Parameters
    ----------
    graph : Graph
    target : TransformedTarget or None
        The transformation; None for none.

    Raises
    ------
    ValueError
        If ONNX cannot hold it.
    """

    def __init__(self, graph: Graph, target: TransformedTarget | None):
        self.graph, self.target = graph, target
        self.is_linear = target is None or target.is_linear
        if target is None:
            return
        if target.is_linear:
            start = np.zeros((1, len(target.lower)))
            self.slope, self.start = target._slope, target.invert(start)[0]
            return
        self._steps: list[Any] = []
        for transformer in reversed(target.transformer.transformers):
            self._steps += _split(transformer)
        for step in self._steps:
            _check(step)

    def invert(self, values: str, n_axes: int = 2) -> str:
        """Return transformed values (n, n_outputs, ...) in units of y."""
        if self.target is None:
            return values
        n_outputs = len(self.target.lower)

        def along(numbers: Any) -> np.ndarray:
            numbers = np.broadcast_to(np.asarray(numbers, dtype=np.float64), n_outputs)
            return numbers.reshape(-1, *(1,) * (n_axes - 2))

        if self.is_linear:
            scaled = self.graph.add("Mul", values, along(self.slope))
            return self.graph.add("Add", scaled, along(self.start))
        values = self.graph.clip(values, along(self.target.lower), along(self.target.upper))
        for step in self._steps:
            values = _invert(self.graph, step, values, along)
        low, high = self.target.support
        return self.graph.clip(values, along(low), along(high))

    def moments(self, mean: str, variance: str) -> tuple[str, str]:
        """Return mean and standard deviation in units of y, as `TransformedTarget.moments` does."""
        std = self.graph.add("Sqrt", variance)
        if self.target is None:
            return mean, std
        if self.is_linear:
            return self.invert(mean), self.graph.add("Mul", std, np.abs(self.slope))
        nodes = self.graph.add("Mul", self.graph.unsqueeze(std, 2), Z_NODES)
        nodes = self.graph.add("Add", nodes, self.graph.unsqueeze(mean, 2))
        values = self.invert(nodes, 3)
        weights = Z_WEIGHTS[:, None]
        first = self.graph.add("MatMul", values, weights)
        deviations = self.graph.add("Sub", values, first)
        squares = self.graph.add("Mul", deviations, deviations)
        second = self.graph.add("MatMul", squares, weights)
        axis = np.array([2])
        return (
            self.graph.add("Squeeze", first, axis),
            self.graph.add("Sqrt", self.graph.add("Squeeze", second, axis)),
        )


def _split(transformer: Any) -> list[Any]:
    """Return the steps of a transformer, in the order of the way back; none of None."""
    if transformer is None:
        return []
    if not isinstance(transformer, Pipeline):
        return [transformer]
    steps = [step for _, step in transformer.steps if step not in (None, "passthrough")]
    return [part for step in reversed(steps) for part in _split(step)]


def _check(step: Any) -> None:
    """Raise ValueError if ONNX cannot hold the way back of a transformer."""
    if isinstance(step, OutputTransformers):
        for part in chain.from_iterable(map(_split, step.transformers)):
            _check(part)
        return
    known = StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PowerTransformer
    if type(step) in known:
        return
    what = type(step).__name__
    if isinstance(step, FunctionTransformer):
        function = step.inverse_func
        if not step.inv_kw_args and (function is None or _find(function) is not None):
            return
        what = f"inverse_func={getattr(function, '__name__', function)}"
    names = ", ".join(sorted(each.__name__ for each in FUNCTIONS))
    raise ValueError(
        f"to_onnx cannot put {what} into the file, which takes the teacher's transformed y back; "
        f"expected one of the functions {names}, or one of {', '.join(k.__name__ for k in known)}. "
        "With outputs='draws' the file has what members of the transformed y are drawn from; take "
        "draws back yourself. If each output has a function of its own, give FittedEnsemble a list "
        "of transformers."
    )


def _find(function: Any) -> Callable[[Graph, str], str] | None:
    """Return what adds a function to a graph."""
    try:
        return FUNCTIONS.get(function)
    except TypeError:  # not hashable
        return None


def _invert(graph: Graph, step: Any, values: str, along: Callable[[Any], np.ndarray]) -> str:
    """Return values before one step of the transformation."""
    if isinstance(step, OutputTransformers):
        columns = []
        for transformer in step.transformers:
            column = values
            for part in _split(transformer):
                column = _invert(graph, part, column, along)
            columns.append(column)
        return _choose(graph, columns, along)
    if isinstance(step, FunctionTransformer):
        add = _find(step.inverse_func)
        return values if add is None else add(graph, values)
    if isinstance(step, PowerTransformer):
        if step.standardize:
            values = _invert(graph, step._scaler, values, along)
        invert = _invert_box_cox if step.method == "box-cox" else _invert_yeo_johnson
        columns = [invert(graph, values, power) for power in step.lambdas_]
        return _choose(graph, columns, along)
    scale, start = _line(step)
    if scale is not None:
        values = graph.add("Mul", values, along(scale))
    return values if start is None else graph.add("Add", values, along(start))


def _line(step: Any) -> tuple[Any, Any]:
    """Return factor and shift of the way back of a scaler, each None if it has none."""
    if isinstance(step, StandardScaler):
        return step.scale_ if step.with_std else None, step.mean_ if step.with_mean else None
    if isinstance(step, RobustScaler):
        scaled, centred = step.with_scaling, step.with_centering
        return step.scale_ if scaled else None, step.center_ if centred else None
    if isinstance(step, MaxAbsScaler):
        return step.scale_, None
    return 1 / step.scale_, -step.min_ / step.scale_


def _choose(graph: Graph, columns: list[str], along: Callable[[Any], np.ndarray]) -> str:
    """Return the values of each output from those that were made in its own way."""
    chosen = columns[0]
    for output, column in enumerate(columns[1:], start=1):
        is_own = along(np.arange(len(columns)) == output) > 0
        chosen = graph.add("Where", is_own, column, chosen)
    return chosen


def _invert_box_cox(graph: Graph, values: str, power: float) -> str:
    if abs(power) < NO_POWER:
        return graph.add("Exp", values)
    base = graph.add("Add", graph.add("Mul", values, float(power)), 1.0)
    return graph.add("Pow", graph.add("Max", base, 0.0), 1 / float(power))


def _invert_yeo_johnson(graph: Graph, values: str, power: float) -> str:
    above, below = graph.add("Max", values, 0.0), graph.add("Neg", graph.add("Min", values, 0.0))
    up = graph.add("Sub", _invert_box_cox(graph, above, power), 1.0)
    down = graph.add("Sub", 1.0, _invert_box_cox(graph, below, 2.0 - power))
    return graph.add("Where", graph.add("GreaterOrEqual", values, 0.0), up, down)
