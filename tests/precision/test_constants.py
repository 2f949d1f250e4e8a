"""Constants beyond float16: lifting, saturating, and which of them may be saturated."""

from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper

from tests.precision.nets import MASK, attention, make, normalisation
from trtbuild.precision.constants import LARGEST, beyond, lift_constants, saturate
from trtbuild.precision.saturation import harmless

FP16 = LARGEST["fp16"]
KEEP = np.array([[1, 1, 0, 1], [1, 1, 1, 1]], np.float32)
SCORES = np.array([[1, 2, 30, 4], [0, -1, 2, 3]], np.float32)


def test_constant_nodes_of_every_form_become_initializers() -> None:
    model = make(
        [
            helper.make_node("Constant", [], ["a"], "a", value_float=1.5),
            helper.make_node("Constant", [], ["b"], "b", value_ints=[1, 2]),
            helper.make_node(
                "Constant", [], ["c"], "c", value=numpy_helper.from_array(np.float32(MASK), "other")
            ),
            helper.make_node("Add", ["x", "a"], ["s"], "add"),
            helper.make_node("Expand", ["s", "b"], ["e"], "expand"),
            helper.make_node("Mul", ["e", "c"], ["y"], "mul"),
        ],
        {"x": [1, 2]},
        ["y"],
        {},
    )
    lift_constants(model)
    assert [node.op_type for node in model.graph.node] == ["Add", "Expand", "Mul"]
    stored = {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}
    assert stored == {"a": 1.5, "b": [1, 2], "c": float(np.float32(MASK))}


def test_constants_beyond_float16_are_found_and_infinities_are_not() -> None:
    assert [c.tensor for c in beyond(attention(), FP16)] == ["mask"]
    assert beyond(attention(float("-inf")), FP16) == ()
    assert [c.largest for c in beyond(normalisation(), FP16)] == [1e8]


def test_saturating_keeps_infinities_and_the_type() -> None:
    model = make(
        [helper.make_node("Mul", ["x", "c"], ["y"], "mul")],
        {"x": [3]},
        ["y"],
        {"c": np.array([1e6, -np.inf, -1e9], np.float32)},
    )
    saturate(model, frozenset({"c"}), FP16)
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [65504, -np.inf, -65504]


def test_a_mask_may_be_saturated() -> None:
    model = attention()
    cases = [{"scores": SCORES, "keep": KEEP}]
    assert harmless(model, beyond(model, FP16), FP16, cases) == {"mask"}


def test_a_variance_of_1e8_may_not_be_saturated() -> None:
    model = normalisation()
    cases = [{"x": np.ones((1, 3, 4, 4), np.float32)}]
    assert harmless(model, beyond(model, FP16), FP16, cases) == frozenset()


def test_a_mask_beside_a_constant_that_matters_is_still_saturated() -> None:
    model = attention()
    model.graph.node.append(helper.make_node("Div", ["scores", "scale"], ["z"], "div"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1e6), "scale"))
    model.graph.output.append(helper.make_tensor_value_info("z", 1, None))
    cases = [{"scores": SCORES, "keep": KEEP}]
    assert harmless(model, beyond(model, FP16), FP16, cases) == {"mask"}
