"""Networks that the quantize stage has to be careful with."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tests.precision.nets import make, weights
from trtbuild.model.inputs import Arrays


def upscaling() -> onnx.ModelProto:
    """A transposed convolution, which TensorRT-RTX cannot build in bfloat16, and a ReLU."""
    return make(
        [
            helper.make_node("ConvTranspose", ["x", "w"], ["u"], "up", strides=[2, 2]),
            helper.make_node("Relu", ["u"], ["y"], "relu"),
        ],
        {"x": ["n", 4, 4, 4]},
        ["y"],
        {"w": weights(4, 4, 2, 2)},
    )


def layer_norm() -> onnx.ModelProto:
    """Layer normalisation in small operators, as exporters below opset 17 write it."""
    mean = {"axes": [-1], "keepdims": 1}
    return make(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], "mean", **mean),
            helper.make_node("Sub", ["x", "m"], ["d"], "sub"),
            helper.make_node("Pow", ["d", "two"], ["p"], "pow"),
            helper.make_node("ReduceMean", ["p"], ["v"], "variance", **mean),
            helper.make_node("Add", ["v", "eps"], ["e"], "add_eps"),
            helper.make_node("Sqrt", ["e"], ["s"], "sqrt"),
            helper.make_node("Div", ["d", "s"], ["n"], "div"),
            helper.make_node("Mul", ["n", "scale"], ["g"], "scale"),
            helper.make_node("Add", ["g", "bias"], ["b"], "bias"),
            helper.make_node("MatMul", ["b", "w"], ["y"], "matmul"),
        ],
        {"x": ["n", 8]},
        ["y"],
        {
            "two": np.float32(2),
            "eps": np.float32(1e-5),
            "scale": np.ones(8, np.float32),
            "bias": np.zeros(8, np.float32),
            "w": weights(8, 8),
        },
        opset=17,
    )


def perceptron(scale: float) -> tuple[onnx.ModelProto, Arrays]:
    """A product, a ReLU and another product, and a case whose input reaches the scale."""
    model = make(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
            helper.make_node("Relu", ["h"], ["r"], "relu"),
            helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
        ],
        {"x": ["n", 8]},
        ["y"],
        {"w1": np.eye(8, dtype=np.float32), "w2": weights(8, 4)},
    )
    return model, {"x": np.linspace(-scale, scale, 32, dtype=np.float32).reshape(4, 8)}
