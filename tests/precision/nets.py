"""Small graphs whose behaviour in low precision is known, and a reporter that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MASK = -3.4028234663852886e38  # torch.finfo(torch.float32).min, which exporters write for "hidden"


@dataclass
class Recorder:
    """A stage's reporter: keeps what was said."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Keep a line."""
        assert fraction is None or 0 <= fraction <= 1
        self.lines.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


def make(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: list[str],
    constants: dict[str, np.ndarray],
    opset: int = 18,
) -> onnx.ModelProto:
    """A checked model with float32 inputs and outputs."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model)  # the checker wants the outputs' shapes
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """Seeded normal weights, scaled so that a layer keeps the size of its input."""
    values = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)


def attention(mask: float = MASK) -> onnx.ModelProto:
    """scores, keep (0 or 1) -> Softmax(scores + (1 - keep) * mask): one constant beyond float16."""
    return make(
        [
            helper.make_node("Sub", ["one", "keep"], ["hidden"], "sub"),
            helper.make_node("Mul", ["hidden", "mask"], ["bias"], "mul"),
            helper.make_node("Add", ["scores", "bias"], ["masked"], "add"),
            helper.make_node("Softmax", ["masked"], ["y"], "softmax"),
        ],
        {"scores": ["n", 4], "keep": ["n", 4]},
        ["y"],
        {"one": np.float32(1), "mask": np.float32(mask)},
    )


def overflowing() -> onnx.ModelProto:
    """x -> relu(w x) -> y, beside which (1e5 x)^2 goes far beyond 65504 and comes back as a log."""
    return make(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "matmul"),
            helper.make_node("Relu", ["h"], ["r"], "relu"),
            helper.make_node("Mul", ["r", "big"], ["huge"], "enlarge"),
            helper.make_node("Mul", ["huge", "huge"], ["square"], "square"),
            helper.make_node("Add", ["square", "one"], ["above"], "lift"),
            helper.make_node("Log", ["above"], ["l"], "log"),
            helper.make_node("Add", ["l", "r"], ["y"], "add"),
        ],
        {"x": ["n", 8]},
        ["y"],
        {"w": weights(8, 8), "big": np.float32(1e5), "one": np.float32(1)},
    )


def normalisation() -> onnx.ModelProto:
    """A batch normalisation over a variance of 1e8, which is no mask: saturating it is wrong."""
    return make(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv", kernel_shape=[1, 1]),
            helper.make_node(
                "BatchNormalization", ["c", "scale", "bias", "mean", "variance"], ["n"], "norm"
            ),
            helper.make_node("Relu", ["n"], ["y"], "relu"),
        ],
        {"x": ["n", 3, 4, 4]},
        ["y"],
        {
            "w": weights(4, 3, 1, 1),
            "scale": np.full(4, 1e4, np.float32),
            "bias": np.zeros(4, np.float32),
            "mean": np.zeros(4, np.float32),
            "variance": np.full(4, 1e8, np.float32),
        },
    )


def residual(channels: int = 16) -> onnx.ModelProto:
    """x -> conv -> relu -> conv -> (+ relu) -> pool -> gemm: a block of a residual network."""
    taps = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return make(
        [
            helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", **taps),
            helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", **taps),
            helper.make_node("Add", ["c2", "r1"], ["s"], "sum"),
            helper.make_node("GlobalAveragePool", ["s"], ["g"], "pool"),
            helper.make_node("Flatten", ["g"], ["f"], "flatten"),
            helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], "gemm", transB=1),
        ],
        {"x": ["n", channels, 8, 8]},
        ["y"],
        {
            "w1": weights(channels, channels, 3, 3, seed=1),
            "b1": np.full(channels, 0.1, np.float32),
            "w2": weights(channels, channels, 3, 3, seed=2),
            "w3": weights(10, channels, seed=3),
            "b3": np.zeros(10, np.float32),
        },
    )


def images(count: int = 4, channels: int = 16, seed: int = 9) -> dict[str, np.ndarray]:
    """One batch for `residual`."""
    values = np.random.default_rng(seed).standard_normal((count, channels, 8, 8))
    return {"x": values.astype(np.float32)}


def linear(width: int = 128) -> onnx.ModelProto:
    """Two products that read one activation, a Gemm with transB behind them, and a small one."""
    return make(
        [
            helper.make_node("MatMul", ["x", "wq"], ["q"], "query"),
            helper.make_node("MatMul", ["x", "wk"], ["k"], "key"),
            helper.make_node("Mul", ["q", "k"], ["p"], "mix"),
            helper.make_node("Gemm", ["p", "wo", "bo"], ["o"], "out", transB=1),
            helper.make_node("MatMul", ["o", "small"], ["y"], "last"),
        ],
        {"x": ["n", width]},
        ["y"],
        {
            "wq": weights(width, width, seed=1),
            "wk": weights(width, width, seed=2),
            "wo": weights(24, width, seed=3),
            "bo": weights(24, seed=4),
            "small": weights(24, 4, seed=5),
        },
    )


def rows(count: int = 32, width: int = 128, seed: int = 6) -> dict[str, np.ndarray]:
    """One batch for `linear`; a few channels are much larger than the others, as in real ones."""
    values = np.random.default_rng(seed).standard_normal((count, width))
    values[:, ::16] *= 20
    return {"x": values.astype(np.float32)}


def snr_db(expected: np.ndarray, got: np.ndarray) -> float:
    """Signal to noise of an output."""
    off = got.astype(np.float64) - expected
    noise = max(np.sum(off**2), 1e-30)
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / noise))


def half(low: int = TensorProto.FLOAT16, *, inside: bool = False) -> onnx.ModelProto:
    """Two products that are in float16 by themselves, at an opset that no Q/DQ takes it in; with
    float32 inputs and outputs where it is only inside.
    """
    types = helper.tensor_dtype_to_np_dtype(low)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
    ]
    if inside:
        nodes[0].input[0], nodes[2].output[0] = "down", "up"
        nodes.insert(0, helper.make_node("Cast", ["x"], ["down"], "lower", to=low))
        nodes.append(helper.make_node("Cast", ["up"], ["y"], "raise", to=TensorProto.FLOAT))
    given = TensorProto.FLOAT if inside else low
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", given, ["n", 32])],
        [helper.make_tensor_value_info("y", given, ["n", 16])],
        [
            numpy_helper.from_array(weights(32, 32, seed=1).astype(types), "w1"),
            numpy_helper.from_array(weights(32, 16, seed=2).astype(types), "w2"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
