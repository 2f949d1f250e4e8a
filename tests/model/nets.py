"""Small ONNX models for the tests of this folder and its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def mlp(weight: np.ndarray = WEIGHT, *, output: str = "logits") -> onnx.ModelProto:
    """x float32 [batch, 4] -> relu(x @ w) [batch, classes]."""
    classes = weight.shape[1]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
            helper.make_node("Relu", ["product"], [output], "relu"),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def with_plugin() -> onnx.ModelProto:
    """The same with an operator that only a plugin has."""
    model = mlp()
    model.opset_import.append(helper.make_opsetid("plugins", 1))
    model.graph.node[1].domain = "plugins"
    return model


def in_float16(weight: np.ndarray = WEIGHT) -> onnx.ModelProto:
    """The same with float32 outside and float16 inside."""
    model = mlp(weight.astype(np.float16))
    graph = model.graph
    graph.node.insert(0, helper.make_node("Cast", ["x"], ["half"], "down", to=TensorProto.FLOAT16))
    graph.node[1].input[0] = "half"
    graph.node[2].output[0] = "relu16"
    graph.node.append(helper.make_node("Cast", ["relu16"], ["logits"], "up", to=TensorProto.FLOAT))
    return model


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model; returns its path."""
    onnx.save(model, path)
    return path
