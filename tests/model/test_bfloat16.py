"""bfloat16 graphs that run on the CPU: the same numbers as the reference evaluator's."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from trtbuild.model.bfloat16 import as_float32, holds_bfloat16


def graph(io: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """x -> bfloat16 -> a constant times it, squared, summed -> y."""
    factor = helper.make_tensor("factor", TensorProto.BFLOAT16, [], [1.2])
    nodes = [
        helper.make_node("Cast", ["x"], ["low"], "down", to=TensorProto.BFLOAT16),
        helper.make_node("Mul", ["low", "factor"], ["scaled"], "mul"),
        helper.make_node("Mul", ["scaled", "scaled"], ["square"], "square"),
        helper.make_node("Add", ["square", "low"], ["sum"], "add"),
        helper.make_node("Cast", ["sum"], ["y"], "up", to=io),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
            [helper.make_tensor_value_info("y", io, ["n"])],
            [factor],
        ),
        opset_imports=[helper.make_opsetid("", 22)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return model


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("io", [TensorProto.FLOAT, TensorProto.BFLOAT16])
def test_results_are_rounded_where_the_bfloat16_graph_rounds_them(io: int) -> None:
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    expected = ReferenceEvaluator(graph(io)).run(None, {"x": x})[0]
    got = run(as_float32(graph(io)), x)
    np.testing.assert_array_equal(got, expected.astype(np.float32))
    exact = (x * np.float32(1.2)) ** 2 + x
    assert np.abs(got - exact).max() > 1e-3  # it is not float32 that ran


def test_a_value_beyond_bfloat16_becomes_infinite() -> None:
    top = np.array([np.finfo(np.float32).max], np.float32)
    assert np.isinf(run(as_float32(graph()), top)).all()


def test_graphs_with_and_without_bfloat16_are_told_apart() -> None:
    assert holds_bfloat16(graph())
    assert not holds_bfloat16(plain())
    before = graph().SerializeToString(deterministic=True)
    model = graph()
    as_float32(model)
    assert model.SerializeToString(deterministic=True) == before


def plain() -> onnx.ModelProto:
    """A graph without any bfloat16."""
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"], "relu")],
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        )
    )
