"""The precision that a graph really has: which type each of its nodes computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx

from trtbuild.model.onnx_file import dtype_name
from trtbuild.precision.graph import element_types

SHORT = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float64": "fp64",
    "int8": "int8",
    "float8e4m3fn": "fp8",
    "int4": "int4",
}
"""The recipe's name of a type."""

_FLOATS = frozenset(("fp32", "fp16", "bf16", "fp64"))

_MOVES = frozenset(("Cast", "CastLike", "Constant", "QuantizeLinear", "DequantizeLinear"))
"""Operators that carry values from one type to another and compute nothing."""


def node_types(model: onnx.ModelProto) -> dict[str, str]:
    """Node of the main graph -> "fp32", "fp16", "bf16", "fp64", "int8", "fp8" or "int4".

    A node has the type of what is behind the DequantizeLinear of its weight, or of its first
    input, which is how TensorRT reads Q/DQ; else that of what it makes or reads. Casts,
    constants, Q/DQ, and nodes that touch no such type are left out.
    """
    types = {
        name: SHORT.get(dtype_name(element), "") for name, element in element_types(model).items()
    }
    codes = {
        node.output[0]: types.get(node.input[0], "")
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
    }
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in _MOVES:
            continue
        # The second operand is the weight; its type is the one that kernels are named after.
        behind = [codes[name] for name in (*node.input[1:2], *node.input[:1]) if name in codes]
        plain = [types.get(name, "") for name in (*node.output, *node.input)]
        kind = next((name for name in (*behind, *(p for p in plain if p in _FLOATS)) if name), "")
        if kind:
            found[node.name] = kind
    return found


def moving_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """The nodes of the main graph that carry values from one type to another."""
    return frozenset(node.name for node in model.graph.node if node.op_type in _MOVES)


def count_types(types: Mapping[str, str]) -> dict[str, int]:
    """How many nodes compute in each type, sorted by the type's name."""
    return dict(sorted(Counter(types.values()).items()))
