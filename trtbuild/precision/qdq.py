"""Puts Q/DQ pairs into a graph, with scales from a calibration table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtbuild.model.inputs import Array
from trtbuild.precision.choice import Eight
from trtbuild.precision.graph import element_types
from trtbuild.precision.sites import Site, Weight

OPSET = 19
"""The first opset whose Q/DQ takes float16 and bfloat16, and makes float8."""

_FP8 = np.dtype(ml_dtypes.float8_e4m3fn)


@dataclass(frozen=True, slots=True)
class Code:
    """An 8-bit type: what ONNX and numpy call it, and the largest magnitude that it has."""

    element: int
    dtype: np.dtype[Any]
    largest: float


CODES: Mapping[str, Code] = {
    "int8": Code(TensorProto.INT8, np.dtype(np.int8), 127.0),
    "fp8": Code(TensorProto.FLOAT8E4M3FN, _FP8, 448.0),
}
"""int8 is symmetric: -128 is not used, as TensorRT wants it. fp8 is E4M3 without infinities."""


@dataclass(frozen=True, slots=True)
class Placed:
    """How many pairs were put in: nodes that compute in 8 bits, activations, weights."""

    nodes: int
    activations: int
    weights: int


def place(
    model: onnx.ModelProto,
    weights: Mapping[str, Array],
    sites: Sequence[Site],
    amax: Mapping[str, float],
    kind: Eight,
    *,
    per_channel: bool,
) -> Placed:
    """Quantize the inputs of the sites, in place; a tensor that several nodes read once.

    `model` may have been cast to float16 or bfloat16 since the sites were found: nodes are found
    by name, and scales have the type of what they scale. `weights` are the float32 values, so
    that they are rounded once only; they are stored as 8-bit constants with a DequantizeLinear.
    """
    placer = _Placer(model, CODES[kind], amax)
    nodes = {node.name: node for node in model.graph.node}
    for site in sites:
        node = nodes[site.node]
        for index, tensor in site.activations:
            node.input[index] = placer.activation(node.input[index], tensor)
        if site.weight is not None:
            name = node.input[site.weight.index]
            values = weights[site.weight.tensor]
            axis = site.weight.axis if per_channel else None
            node.input[site.weight.index] = placer.weight(name, site.weight, values, axis)
    placer.finish()
    return Placed(len(sites), placer.activations, placer.weights)


class _Placer:
    """The graph while pairs are put in."""

    def __init__(self, model: onnx.ModelProto, code: Code, amax: Mapping[str, float]) -> None:
        self._graph, self._code, self._amax = model.graph, code, amax
        self._types = element_types(model)
        self._taken = _names(model)
        self._made: dict[tuple[str, int | None], str] = {}
        self._before: dict[str, list[onnx.NodeProto]] = {}  # tensor made by a node -> what follows
        self._first: list[onnx.NodeProto] = []
        self.activations = self.weights = 0

    def activation(self, source: str, calibrated: str) -> str:
        """The dequantized form of a tensor; `calibrated` is its name in the table."""
        key = (source, None)
        if key not in self._made:
            self.activations += 1
            scale = _scale(np.array(self._amax[calibrated]), self._code, self._types[source])
            names = [self._store(scale, f"{source}_scale"), self._zero()]
            quantized, result = self._name(f"{source}_quantized"), self._name(f"{source}_dq")
            self._before.setdefault(source, []).extend(
                (
                    helper.make_node("QuantizeLinear", [source, *names], [quantized], quantized),
                    helper.make_node("DequantizeLinear", [quantized, *names], [result], result),
                )
            )
            self._made[key] = result
        return self._made[key]

    def weight(self, source: str, weight: Weight, values: Array, axis: int | None) -> str:
        """The dequantized form of a constant, by channel along an axis, or by tensor."""
        key = (source, -1 if axis is None else axis)
        if key not in self._made:
            self.weights += 1
            others = tuple(i for i in range(values.ndim) if i != axis)
            amax = np.abs(values).max(axis=others if axis is not None else None, initial=0.0)
            scale = _scale(np.asarray(amax), self._code, self._types[source])
            codes = _encode(values, scale, self._code, axis)
            inputs = [
                self._store(codes, f"{weight.tensor}_quantized"),
                self._store(scale, f"{weight.tensor}_scale"),
            ]
            result = self._name(f"{weight.tensor}_dq")
            along = {} if axis is None else {"axis": axis}
            self._first.append(
                helper.make_node("DequantizeLinear", inputs, [result], result, **along)
            )
            self._made[key] = result
        return self._made[key]

    def finish(self) -> None:
        """Put the new nodes where their inputs are known, and drop constants that nobody reads."""
        nodes = list(self._graph.node)
        del self._graph.node[:]
        self._graph.node.extend(self._first)
        for value in self._graph.input:
            self._graph.node.extend(self._before.pop(value.name, ()))
        for node in nodes:
            self._graph.node.append(node)
            for name in node.output:
                self._graph.node.extend(self._before.pop(name, ()))
        drop_unused(self._graph)

    def _zero(self) -> str:
        """The zero point, which says what type QuantizeLinear gives; one for the whole graph."""
        if ("", None) not in self._made:
            self._made["", None] = self._store(np.zeros((), self._code.dtype), "zero_point")
        return self._made["", None]

    def _store(self, values: Array, wish: str) -> str:
        name = self._name(wish)
        element = self._code.element if values.dtype == self._code.dtype else None
        self._graph.initializer.append(tensor_of(values, name, element))
        return name

    def _name(self, wish: str) -> str:
        name = wish
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def tensor_of(values: Array, name: str, element: int | None = None) -> onnx.TensorProto:
    """A TensorProto of any type, also of those that numpy has through ml_dtypes only."""
    if element is None:
        element = helper.np_dtype_to_tensor_dtype(values.dtype)
    return helper.make_tensor(name, element, values.shape, values.tobytes(), raw=True)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove initializers, and casts of them, that no node reads any more, in place."""
    while True:
        read = {name for node in graph.node for name in _read_by(node)}
        read.update(value.name for value in graph.output)
        idle = [n for n in graph.node if n.op_type == "Cast" and n.output[0] not in read]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _read_by(node: onnx.NodeProto) -> Iterable[str]:
    """What a node reads, and what its subgraphs do."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from _read_by(inner)


def _scale(amax: npt.NDArray[Any], code: Code, element: int) -> Array:
    """amax / largest, in the type of the tensor; 1 where all is zero, and never so small that the
    largest value would be clipped: float16 has few digits left below 6e-5.
    """
    dtype = helper.tensor_dtype_to_np_dtype(element)
    exact = np.where(amax > 0.0, amax / code.largest, 1.0)
    rounded = exact.astype(dtype)
    short = rounded.astype(np.float64) < exact * (1.0 - 1.0 / 256.0)
    larger = np.nextafter(rounded, np.asarray(np.inf, dtype))
    chosen: Array = np.where(short, larger, rounded)
    return chosen


def _encode(values: Array, scale: Array, code: Code, axis: int | None) -> Array:
    """round(values / scale) to nearest even, clipped to the type's largest magnitude."""
    divisor = scale.astype(np.float32)
    if axis is not None:
        divisor = divisor.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    scaled = values.astype(np.float32) / divisor
    if code.dtype == np.int8:
        scaled = np.rint(scaled)
    codes: Array = np.clip(scaled, -code.largest, code.largest).astype(code.dtype)
    return codes


def _names(model: onnx.ModelProto) -> set[str]:
    graph = model.graph
    taken = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    for node in graph.node:
        taken.update((node.name, *node.input, *node.output))
    return taken


def weights_of(model: onnx.ModelProto, sites: Iterable[Site]) -> dict[str, Array]:
    """The values of the sites' constant operands, name -> array."""
    wanted = {site.weight.tensor for site in sites if site.weight is not None}
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in wanted
    }
