"""Operators that no TensorRT has, known from the model alone."""

from __future__ import annotations

import onnx

CLASSICAL = "ai.onnx.ml"
"""The domain of scikit-learn's models: trees, linear classifiers, encoders, maps of classes."""

CLASSICAL_HINT = (
    "write the model as a neural network (a linear classifier is MatMul, Add and Softmax), "
    "or run it with onnxruntime"
)


def classical_operators(model: onnx.ModelProto) -> str:
    """The operators of ai.onnx.ml in a model, with their nodes' names; "" where it has none."""
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.domain == CLASSICAL:
            found.setdefault(node.op_type, []).append(node.name or node.output[0])
    return "; ".join(
        f"{operator} ({', '.join(repr(name) for name in names)})"
        for operator, names in found.items()
    )
