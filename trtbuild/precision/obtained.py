"""The precision that a graph really has: which type each of its nodes computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import onnx

from trtbuild.model.onnx_file import dtype_name
from trtbuild.precision.graph import element_types

SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
"""The recipe's name of a floating type."""

_MOVES = frozenset(("Cast", "CastLike", "Constant", "QuantizeLinear", "DequantizeLinear"))
"""Operators that carry values from one type to another and compute nothing."""


def node_types(model: onnx.ModelProto) -> dict[str, str]:
    """Node of the main graph -> "fp32", "fp16", "bf16" or "fp64", by what it makes, else reads.

    Casts, constants, Q/DQ, and nodes that touch no floating type are left out.
    """
    types = element_types(model)
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in _MOVES:
            continue
        for tensor in (*node.output, *node.input):
            name = SHORT.get(dtype_name(types.get(tensor, onnx.TensorProto.UNDEFINED)))
            if name:
                found[node.name] = name
                break
    return found


def count_types(types: Mapping[str, str]) -> dict[str, int]:
    """How many nodes compute in each type, sorted by the type's name."""
    return dict(sorted(Counter(types.values()).items()))
