"""Constants of a graph that a 16-bit type cannot hold, and saturating them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

LARGEST = {"fp16": 65504.0, "bf16": 3.3895313892515355e38}
"""The largest finite float16 (IEEE 754 binary16), (2 - 2**-10) * 2**15, and bfloat16,
(2 - 2**-7) * 2**127: the most negative float32, which masks are made of, is beyond both."""

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of the graph: its name, and its largest finite magnitude."""

    tensor: str
    largest: float


def lift_constants(model: onnx.ModelProto) -> None:
    """Turn the Constant nodes of the main graph that hold a tensor into initializers, in place.

    Converters look at the values of initializers only, and PaddlePaddle's exports have one node
    for each weight, which doubles what a converter walks over.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        tensor = _value(node)
        if tensor is None:
            model.graph.node.append(node)
        else:
            tensor.name = node.output[0]
            model.graph.initializer.append(tensor)


def beyond(model: onnx.ModelProto, limit: float) -> tuple[Constant, ...]:
    """The floating-point initializers whose largest finite magnitude is above the limit.

    Infinities do not count: they are infinities in every floating type.
    """
    found = (Constant(tensor.name, _largest(tensor)) for tensor in _stored(model))
    return tuple(constant for constant in found if constant.largest > limit)


def saturate(model: onnx.ModelProto, names: frozenset[str], limit: float) -> None:
    """Bring the finite values of the named initializers into [-limit, limit], in place."""
    for tensor in _stored(model):
        if tensor.name in names:
            values = numpy_helper.to_array(tensor)
            kept = np.where(np.isfinite(values), np.clip(values, -limit, limit), values)
            tensor.CopyFrom(numpy_helper.from_array(kept.astype(values.dtype), tensor.name))


def _stored(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    return (tensor for tensor in model.graph.initializer if tensor.data_type in _FLOATS)


def _value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant node; None for other nodes, and for strings and sparse values."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        return attribute.t
    if attribute.name in ("value_float", "value_floats"):
        return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), np.float32))
    if attribute.name in ("value_int", "value_ints"):
        return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), np.int64))
    return None


def _largest(tensor: onnx.TensorProto) -> float:
    values = numpy_helper.to_array(tensor)
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
