"""The precision a graph really has."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from tests.precision.nets import make, overflowing
from trtbuild.precision.obtained import count_types, node_types


def test_a_float32_graph_is_float32_throughout() -> None:
    types = node_types(overflowing())
    assert set(types.values()) == {"fp32"}
    assert set(types) == {node.name for node in overflowing().graph.node}


def test_casts_are_no_work_and_nodes_between_them_have_the_lower_type() -> None:
    model = make(
        [
            helper.make_node("Cast", ["x"], ["h"], "down", to=TensorProto.FLOAT16),
            helper.make_node("Relu", ["h"], ["r"], "relu"),
            helper.make_node("Shape", ["r"], ["shape"], "shape"),
            helper.make_node("Cast", ["r"], ["f"], "up", to=TensorProto.FLOAT),
            helper.make_node("Add", ["f", "one"], ["y"], "add"),
        ],
        {"x": ["n", 2]},
        ["y"],
        {"one": np.float32(1)},
    )
    assert node_types(model) == {"relu": "fp16", "shape": "fp16", "add": "fp32"}
    assert count_types(node_types(model)) == {"fp16": 2, "fp32": 1}
