"""Published ONNX models as PyTorch modules, to be measured beside the engines made of them.

onnx2torch2 converts them, operator by operator, much as somebody who wrote the model in PyTorch
would have. Its own modules take shapes and axes as tensors, which torch.compile cannot trace and
which have the CPU wait for the GPU; here they are numbers. Other converters are what it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxslim
import torch
from onnx2torch2 import convert
from onnx2torch2.node_converters.registry import add_converter, get_converter
from onnx2torch2.utils.common import (
    OnnxMapping,
    OperationConverterResult,
    get_const_value,
    onnx_mapping_from_node,
)
from torch import nn
from torch.nn import functional

Function = Callable[[torch.Tensor], torch.Tensor]


def module(path: str, shapes: Mapping[str, Sequence[int]]) -> nn.Module:
    """The module of an ONNX file at these shapes of its inputs, in the types of its graph.

    Its forward takes the inputs in order.
    """
    model = onnx.load(Path(path))
    for value in model.graph.input:
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, shapes[value.name]))
    del model.graph.value_info[:]
    model = onnxslim.slim(model)  # what follows from the shapes becomes a constant
    for value in model.graph.output:  # onnx2torch2 gives all of a node's outputs for one of them
        inner = f"{value.name}:inner"
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [inner if name == value.name else name for name in names]
        model.graph.node.append(onnx.helper.make_node("Identity", [inner], [value.name]))
    return convert(onnx.shape_inference.infer_shapes(model))  # some converters want to know ranks


class Applied(nn.Module):
    """A function of one tensor."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.function(values)


class BatchNormalization(nn.Module):
    """Of any rank, by statistics that were learned."""

    def __init__(self, parameters: list[torch.Tensor], epsilon: float) -> None:
        super().__init__()
        for name, values in zip(("scale", "bias", "mean", "variance"), parameters, strict=True):
            self.register_buffer(name, values)
        self.epsilon = epsilon

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(
            values, self.mean, self.variance, self.scale, self.bias, eps=self.epsilon
        )


class LayerNormalization(nn.Module):
    """Over the axes that the scale has."""

    def __init__(self, scale: torch.Tensor, bias: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)
        self.epsilon = epsilon

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        shape = self.scale.shape
        return functional.layer_norm(values, shape, self.scale, self.bias, self.epsilon)


class Lstm(nn.Module):
    """ONNX's LSTM in one direction: [time, n, features] -> [time, 1, n, hidden], and two states."""

    def __init__(self, weight: torch.Tensor, recurrence: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        hidden = recurrence.shape[-1]
        self.lstm = nn.LSTM(weight.shape[-1], hidden, dtype=weight.dtype)
        own, other = bias[0].chunk(2)
        with torch.no_grad():
            self.lstm.weight_ih_l0.copy_(_gates(weight[0]))
            self.lstm.weight_hh_l0.copy_(_gates(recurrence[0]))
            self.lstm.bias_ih_l0.copy_(_gates(own))
            self.lstm.bias_hh_l0.copy_(_gates(other))

    def forward(
        self, values: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        outputs, (last, state) = self.lstm(values, (hidden, cell))
        return outputs.unsqueeze(1), last, state


def _gates(parameter: torch.Tensor) -> torch.Tensor:
    """From ONNX's order of gates (input, output, forget, cell) to PyTorch's (i, f, c, o)."""
    inputs, outputs, forget, cell = parameter.chunk(4)
    return torch.cat([inputs, forget, cell, outputs])


def _global_max_pool(values: torch.Tensor) -> torch.Tensor:
    return values.amax(tuple(range(2, values.dim())), keepdim=True)


def _reshape(numbers: list[list[int]], _: Mapping[str, Any]) -> Function:
    (shape,) = numbers
    return lambda values: values.reshape([n or values.shape[i] for i, n in enumerate(shape)])


def _expand(numbers: list[list[int]], _: Mapping[str, Any]) -> Function:
    (shape,) = numbers
    return lambda values: values.expand(torch.broadcast_shapes(values.shape, shape))


def _slice(numbers: list[list[int]], _: Mapping[str, Any]) -> Function:
    starts, ends, axes, *steps = numbers
    parts = {
        axis: slice(start, end, step)
        for axis, start, end, step in zip(
            axes, starts, ends, steps[0] if steps else [1] * len(axes), strict=True
        )
    }
    return lambda values: values[
        tuple(
            parts.get(axis, parts.get(axis - values.dim(), slice(None)))
            for axis in range(values.dim())
        )
    ]


def _unsqueeze(numbers: list[list[int]], _: Mapping[str, Any]) -> Function:
    (axes,) = numbers

    def unsqueeze(values: torch.Tensor) -> torch.Tensor:
        rank = values.dim() + len(axes)
        for axis in sorted(axis % rank for axis in axes):
            values = values.unsqueeze(axis)
        return values

    return unsqueeze


def _squeeze(numbers: list[list[int]], _: Mapping[str, Any]) -> Function:
    (axes,) = numbers
    return lambda values: values.squeeze(tuple(axes))


def _sum(numbers: list[list[int]], attributes: Mapping[str, Any]) -> Function:
    (axes,), keep = numbers, bool(attributes.get("keepdims", 1))
    return lambda values: values.sum(tuple(axes), keepdim=keep)


Maker = Callable[[list[list[int]], Mapping[str, Any]], Function]
NUMBERED: dict[tuple[str, int], Maker] = {
    **{("Reshape", version): _reshape for version in (5, 13, 14)},
    **{("Expand", version): _expand for version in (8, 13)},
    **{("Slice", version): _slice for version in (10, 11, 13)},
    ("Unsqueeze", 13): _unsqueeze,
    ("Squeeze", 13): _squeeze,
    ("ReduceSum", 13): _sum,
}
"""Operators whose second and further inputs are constants, by the version that has them so."""


def _register(operator: str, version: int, make: Maker) -> None:
    @add_converter(operator, version, override_registry=True)
    def _(node: Any, graph: Any) -> OperationConverterResult:
        values, *names = node.input_values
        numbers = [get_const_value(name, graph).reshape(-1).tolist() for name in names if name]
        made = Applied(make(numbers, node.attributes))
        return OperationConverterResult(made, OnnxMapping((values,), node.output_values))


for (_operator, _version), _make in NUMBERED.items():
    _register(_operator, _version, _make)


@add_converter("GlobalMaxPool", 1)
def _pool(node: Any, _graph: Any) -> OperationConverterResult:
    return OperationConverterResult(Applied(_global_max_pool), onnx_mapping_from_node(node))


@add_converter("BatchNormalization", 9, override_registry=True)  # its own wants to know the rank
@add_converter("BatchNormalization", 14, override_registry=True)
@add_converter("BatchNormalization", 15, override_registry=True)
def _batch_normalization(node: Any, graph: Any) -> OperationConverterResult:
    values, *names = node.input_values
    parameters = [get_const_value(name, graph) for name in names]
    made = BatchNormalization(parameters, node.attributes.get("epsilon", 1e-5))
    return OperationConverterResult(made, OnnxMapping((values,), node.output_values))


@add_converter("LayerNormalization", 17, override_registry=True)  # its own takes n for a number
def _layer_normalization(node: Any, graph: Any) -> OperationConverterResult:
    values, *names = node.input_values
    scale, bias = (get_const_value(name, graph) for name in names)
    made = LayerNormalization(scale, bias, node.attributes.get("epsilon", 1e-5))
    return OperationConverterResult(made, OnnxMapping((values,), node.output_values))


@add_converter("LSTM", 14)
def _lstm(node: Any, graph: Any) -> OperationConverterResult:
    values, weight, recurrence, bias, _, hidden, cell, *_ = node.input_values
    made = Lstm(*(get_const_value(name, graph) for name in (weight, recurrence, bias)))
    return OperationConverterResult(made, OnnxMapping((values, hidden, cell), node.output_values))


def _register_resize(version: int) -> None:
    fallback = get_converter("Resize", version)

    @add_converter("Resize", version, override_registry=True)
    def _(node: Any, graph: Any) -> OperationConverterResult:
        how = (node.attributes.get("mode"), node.attributes.get("coordinate_transformation_mode"))
        values, _roi, scales, *sizes = node.input_values
        if how != ("nearest", "asymmetric") or sizes:
            return fallback(node, graph)
        factors = get_const_value(scales, graph).tolist()[2:]
        made = Applied(lambda values: functional.interpolate(values, scale_factor=factors))
        return OperationConverterResult(made, OnnxMapping((values,), node.output_values))


for _version in (11, 13):
    _register_resize(_version)


_pad = get_converter("Pad", 13)  # which takes a matrix for an image


@add_converter("Pad", 13, override_registry=True)
def _reflect(node: Any, graph: Any) -> OperationConverterResult:
    if node.attributes.get("mode") != "reflect":
        return _pad(node, graph)
    values, name, *_ = node.input_values
    pads = get_const_value(name, graph).tolist()
    axes = len(pads) // 2
    if any(pads[: axes - 1]) or any(pads[axes:-1]):
        return _pad(node, graph)
    last = (pads[axes - 1], pads[-1])
    made = Applied(lambda values: functional.pad(values, last, mode="reflect"))
    return OperationConverterResult(made, OnnxMapping((values,), node.output_values))
