"""Published ONNX models as PyTorch modules, to be measured beside the engines made of them.

onnx2torch2 converts them, operator by operator, which a person who wrote the model in PyTorch would
have written much the same; here is only what it lacks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
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


def module(path: str) -> nn.Module:
    """The module of an ONNX file, in the types of its graph; forward takes its inputs in order."""
    model = onnx.load(Path(path))
    for value in model.graph.output:  # onnx2torch2 gives all of a node's outputs for one of them
        inner = f"{value.name}:inner"
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [inner if name == value.name else name for name in names]
        model.graph.node.append(onnx.helper.make_node("Identity", [inner], [value.name]))
    return convert(onnx.shape_inference.infer_shapes(model))  # some converters want to know ranks


class GlobalMaxPool(nn.Module):
    """[n, channels, ...] -> [n, channels, 1, ...]."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.amax(tuple(range(2, values.dim())), keepdim=True)


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


class ReflectLast(nn.Module):
    """Padding of the last axis by reflection."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.pads = (before, after)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return functional.pad(values, self.pads, mode="reflect")


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


@add_converter("GlobalMaxPool", 1)
def _global_max_pool(node: Any, _graph: Any) -> OperationConverterResult:
    return OperationConverterResult(GlobalMaxPool(), onnx_mapping_from_node(node))


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
    made = ReflectLast(pads[axes - 1], pads[-1])
    return OperationConverterResult(made, OnnxMapping((values,), node.output_values))
