"""Puts Q/DQ pairs into a graph, with scales from a calibration table or from the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from trtbuild.model.inputs import Array
from trtbuild.precision.choice import Eight
from trtbuild.precision.edit import Edit
from trtbuild.precision.int4 import Found
from trtbuild.precision.sites import Site, Weight

OPSET = 19
"""The first opset whose Q/DQ takes float16 and bfloat16, and makes float8."""


@dataclass(frozen=True, slots=True)
class Code:
    """An 8-bit type: what numpy calls it, and the largest magnitude that it has."""

    dtype: np.dtype[Any]
    largest: float


CODES: Mapping[str, Code] = {
    "int8": Code(np.dtype(np.int8), 127.0),
    "fp8": Code(np.dtype(ml_dtypes.float8_e4m3fn), 448.0),
}
"""int8 is symmetric: -128 is not used, as TensorRT wants it. fp8 is E4M3 without infinities."""


@dataclass(frozen=True, slots=True)
class Placed:
    """How many were put in: nodes that compute in low precision, activations, weights."""

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
    """Quantize the inputs of the sites to 8 bits, in place; a tensor that several nodes read once.

    `model` may have been cast to float16 or bfloat16 since the sites were found: nodes are found
    by name, and scales have the type of what they scale. `weights` are the float32 values, so
    that they are rounded once only; they are stored as 8-bit constants with a DequantizeLinear.
    """
    placer = _Placer(Edit(model), CODES[kind], amax)
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
    placer.edit.finish()
    return Placed(len(sites), placer.activations, placer.weights)


def place_blocks(model: onnx.ModelProto, found: Found, block: int) -> Placed:
    """Make the weights of the layers found int4 constants with a blocked DequantizeLinear, in
    place, and divide activations where the search says so.

    `model` may have been cast since: as in `place`.
    """
    edit = Edit(model)
    nodes = {node.name: node for node in model.graph.node}
    divided: dict[tuple[str, str], str] = {}
    for layer in found.layers:
        node = nodes[layer.node]
        dtype = helper.tensor_dtype_to_np_dtype(edit.types[node.input[1]])
        codes = found.codes[layer.node]
        inputs = [
            edit.store(codes.codes.astype(ml_dtypes.int4), f"{layer.weight}_int4"),
            edit.store(codes.scales.astype(dtype), f"{layer.weight}_scale"),
        ]
        result = edit.name(f"{layer.weight}_dq")
        edit.begin(
            helper.make_node("DequantizeLinear", inputs, [result], result, axis=0, block_size=block)
        )
        node.input[1] = result
        if layer.activation in found.smoothing:
            key = (node.input[0], layer.activation)
            if key not in divided:
                factors = (1.0 / found.smoothing[layer.activation]).astype(dtype)
                divided[key] = _multiplied(edit, node.input[0], factors)
            node.input[0] = divided[key]
    edit.finish()
    return Placed(len(found.layers), len(divided), len(found.layers))


def weights_of(model: onnx.ModelProto, sites: Iterable[Site]) -> dict[str, Array]:
    """The values of the sites' constant operands, name -> array."""
    wanted = {site.weight.tensor for site in sites if site.weight is not None}
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in wanted
    }


class _Placer:
    """Makes 8-bit forms of tensors, each once."""

    def __init__(self, edit: Edit, code: Code, amax: Mapping[str, float]) -> None:
        self.edit = edit
        self.activations = self.weights = 0
        self._code, self._amax = code, amax
        self._made: dict[tuple[str, int | None], str] = {}
        self._zero = ""

    def activation(self, source: str, calibrated: str) -> str:
        """The dequantized form of a tensor; `calibrated` is its name in the table."""
        key = (source, None)
        if key not in self._made:
            self.activations += 1
            edit = self.edit
            scale = _scale(np.array(self._amax[calibrated]), self._code, self._dtype(source))
            names = [edit.store(scale, f"{source}_scale"), self._zero_point()]
            quantized, result = edit.name(f"{source}_quantized"), edit.name(f"{source}_dq")
            edit.follow(
                source,
                helper.make_node("QuantizeLinear", [source, *names], [quantized], quantized),
                helper.make_node("DequantizeLinear", [quantized, *names], [result], result),
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
            scale = _scale(np.asarray(amax), self._code, self._dtype(source))
            inputs = [
                self.edit.store(
                    _encode(values, scale, self._code, axis), f"{weight.tensor}_quantized"
                ),
                self.edit.store(scale, f"{weight.tensor}_scale"),
            ]
            result = self.edit.name(f"{weight.tensor}_dq")
            along = {} if axis is None else {"axis": axis}
            self.edit.begin(helper.make_node("DequantizeLinear", inputs, [result], result, **along))
            self._made[key] = result
        return self._made[key]

    def _zero_point(self) -> str:
        """It says what type QuantizeLinear gives; one for the whole graph."""
        self._zero = self._zero or self.edit.store(np.zeros((), self._code.dtype), "zero_point")
        return self._zero

    def _dtype(self, tensor: str) -> np.dtype[Any]:
        dtype: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(self.edit.types[tensor])
        return dtype


def _scale(amax: npt.NDArray[Any], code: Code, dtype: np.dtype[Any]) -> Array:
    """amax / largest, in the type of the tensor; 1 where all is zero, and never so small that the
    largest value would be clipped: float16 has few digits left below 6e-5.
    """
    exact = np.where(amax > 0.0, amax / code.largest, 1.0)
    rounded = exact.astype(dtype)
    short = rounded.astype(np.float64) < exact * (1.0 - 1.0 / 256.0)
    larger = np.nextafter(rounded, np.asarray(np.inf, dtype))
    chosen: Array = np.where(short, larger, rounded)
    return chosen


def _encode(values: Array, scale: Array, code: Code, axis: int | None) -> Array:
    """values / scale to the nearest code, ties to even, clipped to the largest magnitude."""
    divisor = scale.astype(np.float32)
    if axis is not None:
        divisor = divisor.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    scaled = values.astype(np.float32) / divisor
    if code.dtype == np.int8:
        scaled = np.rint(scaled)
    codes: Array = np.clip(scaled, -code.largest, code.largest).astype(code.dtype)
    return codes


def _multiplied(edit: Edit, tensor: str, factors: Array) -> str:
    """The product of a tensor with constants along its last axis."""
    result = edit.name(f"{tensor}_smoothed")
    constant = edit.store(factors, f"{tensor}_smoothing")
    edit.follow(tensor, helper.make_node("Mul", [tensor, constant], [result], result))
    return result
