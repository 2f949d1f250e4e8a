"""A bfloat16 graph as a float32 one that rounds where the other does, so that it runs on a CPU.

onnxruntime's CPU provider has no bfloat16 operators but Cast, and onnx's reference evaluator takes
minutes where it takes seconds. Operators compute in float32 here and their results are rounded, as
a GPU does: it multiplies bfloat16 and adds up in float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtbuild.model import walk

_BF16, _FLOAT = TensorProto.BFLOAT16, TensorProto.FLOAT


def holds_bfloat16(model: onnx.ModelProto) -> bool:
    """Whether a tensor that the graph stores, takes, gives or casts to is bfloat16."""
    if any(tensor.data_type == _BF16 for tensor in walk.tensors(model)):
        return True
    values = (value for graph in walk.graphs(model) for value in (*graph.input, *graph.output))
    return any(value.type.tensor_type.elem_type == _BF16 for value in values) or any(
        node.op_type == "Cast" and _target(node) == _BF16 for node in walk.nodes(model)
    )


def as_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every bfloat16 tensor is a float32 one that holds bfloat16 values.

    Inputs and outputs are float32 too. Its Cast pairs must not be optimised away: run it without
    graph optimisations.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    rounded = _types(copy)
    for tensor in walk.tensors(copy):
        if tensor.data_type == _BF16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for graph in walk.graphs(copy):
        del graph.value_info[:]
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type == _BF16:
                value.type.tensor_type.elem_type = _FLOAT
        nodes = [new for node in graph.node for new in _rounding(node, rounded)]
        del graph.node[:]
        graph.node.extend(nodes)
    return copy


def _types(model: onnx.ModelProto) -> set[str]:
    """The bfloat16 tensors that nodes make, of the main graph and of subgraphs."""
    inferred = onnx.shape_inference.infer_shapes(model)
    return {
        value.name
        for graph in walk.graphs(inferred)
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == _BF16
    }


def _rounding(node: onnx.NodeProto, rounded: set[str]) -> Iterator[onnx.NodeProto]:
    """The node, and behind each result that was bfloat16 a Cast there and back."""
    names = [name for name in node.output if name in rounded]
    if not names or node.op_type in ("Constant", "Identity", "Reshape", "Transpose"):
        yield node
        return
    if node.op_type == "Cast":
        name = node.output[0]
        yield helper.make_node("Cast", node.input, [f"{name}:bf16"], node.name, to=_BF16)
        yield helper.make_node("Cast", [f"{name}:bf16"], [name], f"{node.name}:up", to=_FLOAT)
        return
    for index, name in enumerate(node.output):
        if name in rounded:
            node.output[index] = f"{name}:exact"
    yield node
    for name in names:
        yield helper.make_node("Cast", [f"{name}:exact"], [f"{name}:bf16"], "", to=_BF16)
        yield helper.make_node("Cast", [f"{name}:bf16"], [name], "", to=_FLOAT)


def _target(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)
