"""Raising the opset of a model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.precision.nets import make, residual, weights
from trtbuild.errors import StageError
from trtbuild.model.onnx_file import opset_of
from trtbuild.precision.graph import element_types, without_weights
from trtbuild.precision.opset import raise_opset


def old() -> onnx.ModelProto:
    """Opset 12: ReduceSum and Squeeze have their axes as attributes there."""
    return make(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "matmul"),
            helper.make_node("ReduceSum", ["h"], ["s"], "sum", axes=[1], keepdims=1),
            helper.make_node("Squeeze", ["s"], ["y"], "squeeze", axes=[1]),
        ],
        {"x": ["n", 256]},
        ["y"],
        {"w": weights(256, 256)},
        opset=12,
    )


def test_the_opset_is_raised_and_nodes_keep_their_names() -> None:
    raised = raise_opset(old(), 19)
    assert opset_of(raised) == 19
    names = [node.name for node in raised.graph.node]
    assert {"matmul", "sum", "squeeze"} <= set(names)
    assert "" not in names
    assert len(set(names)) == len(names)


def test_large_weights_take_no_part_and_are_the_same_afterwards() -> None:
    raised = raise_opset(old(), 19)
    (weight,) = (t for t in raised.graph.initializer if t.name == "w")
    np.testing.assert_array_equal(numpy_helper.to_array(weight), weights(256, 256))
    assert [value.name for value in raised.graph.input] == ["x"]


def test_a_model_that_is_there_already_is_left_as_it_is() -> None:
    model = residual()
    assert raise_opset(model, 13) is model


def test_what_onnx_cannot_convert_is_said_with_both_opsets() -> None:
    model = make(
        [helper.make_node("BatchNormalization", [*"xabcd"], [*"yefgh"], "norm")],
        {"x": [1, 2, 2, 2]},
        ["y"],
        {name: np.ones(2, np.float32) for name in "abcd"},
        opset=9,
    )
    with pytest.raises(StageError) as caught:
        raise_opset(model, 19)
    assert "from opset 9 to 19: " in caught.value.what
    assert "BatchNormalization" in caught.value.what
    assert "opset 19" in caught.value.hint


def test_types_are_inferred_without_the_values_of_weights() -> None:
    light, heavy = without_weights(old())
    assert list(heavy) == ["w"]
    assert light.ByteSize() < 2000
    assert element_types(old())["h"] == onnx.TensorProto.FLOAT


@pytest.mark.slow
def test_types_are_inferred_beside_a_weight_of_more_than_two_gigabytes() -> None:
    model = old()
    size = 2_160_000_000
    unused = model.graph.initializer.add(
        name="unused", data_type=onnx.TensorProto.UINT8, dims=[size]
    )
    unused.raw_data = bytes(size)
    assert list(without_weights(model)[1]) == ["w", "unused"]
    assert element_types(model)["h"] == onnx.TensorProto.FLOAT
