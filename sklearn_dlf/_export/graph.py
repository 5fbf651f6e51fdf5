"""An ONNX graph under construction: nodes, constants, inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from .._utils.optional import import_optional

# Versions of the operators and of the file. Runtimes of the last years read them.
OPSET, ML_OPSET, IR_VERSION = 17, 3, 8

ML_DOMAIN = "ai.onnx.ml"


def import_onnx() -> Any:
    """Return the package onnx, or raise with the way to get it."""
    import_optional("onnx.helper", "to_onnx needs the package onnx", "onnx")
    return import_module("onnx")


class Graph:
    """Nodes of an ONNX graph. All numbers are float64 unless a node casts them.

    Values are known by their names. Wherever a value is expected, an array is a constant.

    Parameters
    ----------
    reserved : sequence of str
        Names that no input has, since outputs may have them.
    """

    def __init__(self, reserved: Sequence[str] = ()):
        self.onnx = import_onnx()
        self.reserved = tuple(reserved)
        self._nodes: list[Any] = []
        self._constants: dict[Any, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._n_names = 0

    def add(self, operator: str, *values: Any, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return its name."""
        return self.add_several(operator, 1, *values, domain=domain, **attributes)[0]

    def add_several(
        self, operator: str, n_outputs: int, *values: Any, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node, and return the names of its outputs."""
        names = [value if isinstance(value, str) else self.constant(value) for value in values]
        outputs = [self._new_name() for _ in range(n_outputs)]
        node = self.onnx.helper.make_node(operator, names, outputs, domain=domain, **attributes)
        self._nodes.append(node)
        return outputs

    def constant(self, value: Any) -> str:
        """Return the name of a constant. Equal ones are one; numbers of Python are float64."""
        array = np.asarray(value)
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            tensor = self.onnx.numpy_helper.from_array(array, self._new_name())
            self._constants[key] = tensor
        return self._constants[key].name

    def parameter(self, tensor: Any) -> str:
        """Return the name of a float32 tensor of torch, as float64. The file holds float32."""
        return self.cast(self.constant(tensor.detach().cpu().numpy()), "DOUBLE")

    def cast(self, value: str, dtype: str) -> str:
        """Return a value of another type."""
        return self.add("Cast", value, to=getattr(self.onnx.TensorProto, dtype))

    def sum(self, value: Any, axis: int, keepdims: bool = False) -> str:
        """Return the sum along an axis."""
        return self.add("ReduceSum", value, np.array([axis]), keepdims=int(keepdims))

    def unsqueeze(self, value: Any, axis: int) -> str:
        """Return a value with one more axis, of length one."""
        return self.add("Unsqueeze", value, np.array([axis]))

    def clip(self, value: Any, low: Any, high: Any) -> str:
        """Return a value within bounds, which may be arrays."""
        return self.add("Min", self.add("Max", value, low), high)

    def input(self, name: str, shape: list[Any], dtype: str = "DOUBLE") -> str:
        """Add an input, and return its name."""
        code = getattr(self.onnx.TensorProto, dtype)
        self._inputs.append(self.onnx.helper.make_tensor_value_info(name, code, shape))
        return name

    def output(self, name: str, value: str, shape: list[Any]) -> None:
        """Make a value an output of the file."""
        self._nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        code = self.onnx.TensorProto.DOUBLE
        self._outputs.append(self.onnx.helper.make_tensor_value_info(name, code, shape))

    def make_model(self, metadata: dict[str, str], version: str) -> Any:
        """Return the model, without nodes that no output needs."""
        helper = self.onnx.helper
        needed, nodes = {each.name for each in self._outputs}, []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        constants = [each for each in self._constants.values() if each.name in needed]
        inputs = [each for each in self._inputs if each.name in needed]
        graph = helper.make_graph(nodes[::-1], "student", inputs, self._outputs, constants)
        model = helper.make_model(
            graph,
            producer_name="sklearn_dlf",
            producer_version=version,
            ir_version=IR_VERSION,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid(ML_DOMAIN, ML_OPSET),
            ],
        )
        helper.set_model_props(model, metadata)
        self.onnx.checker.check_model(model)
        return model

    def _new_name(self) -> str:
        self._n_names += 1
        return f"/{self._n_names}"  # a column or an output is hardly called so
