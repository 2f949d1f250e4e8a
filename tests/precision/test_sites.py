"""What of a graph can be quantized, and what is chosen of that."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.precision.nets import attention, linear, make, residual, weights
from trtbuild.errors import StageError
from trtbuild.precision.choice import Wish, choose
from trtbuild.precision.prepare import prepare
from trtbuild.precision.sites import Weight, candidates, find_sites

AMAX = dict.fromkeys(("x", "r1", "s", "f", "g", "p", "o", "c2"), 1.0)


def test_weighted_operators_and_the_residual_input_are_sites() -> None:
    found = {site.node: site for site in find_sites(residual())}
    assert list(found) == ["conv1", "conv2", "sum", "pool", "gemm"]
    assert found["conv1"].activations == ((0, "x"),)
    assert found["conv1"].weight == Weight(1, "w1", 0)
    assert found["sum"].activations == ((1, "r1"),)  # not c2: that is the convolution's own result
    assert found["gemm"].weight == Weight(1, "w3", 0)


def test_what_is_calibrated_is_every_input_that_could_be_quantized() -> None:
    assert candidates(residual()) == ("x", "r1", "s", "f")


def test_an_addition_without_a_convolution_is_no_residual() -> None:
    assert [site.node for site in find_sites(linear())] == ["query", "key", "out", "last"]


def test_a_convolution_that_others_read_too_is_not_fused_with_the_addition() -> None:
    model = residual()
    model.graph.output.append(helper.make_tensor_value_info("c2", 1, ["n", 16, 8, 8]))
    assert "sum" not in {site.node for site in find_sites(model)}


@pytest.mark.parametrize(("group", "axis"), [(1, 1), (2, None)])
def test_a_transposed_convolution_has_its_channels_on_axis_one(
    group: int, axis: int | None
) -> None:
    model = make(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], "up", group=group)],
        {"x": [1, 16, 4, 4]},
        ["y"],
        {"w": weights(16, 8, 2, 2)},
    )
    (site,) = find_sites(model)
    assert site.weight == Weight(1, "w", axis)


def test_a_weight_behind_a_transpose_is_a_weight() -> None:
    model = make(
        [
            helper.make_node("Transpose", ["w"], ["t"], "turn", perm=[1, 0]),
            helper.make_node("MatMul", ["x", "t"], ["y"], "matmul"),
        ],
        {"x": ["n", 4]},
        ["y"],
        {"w": weights(8, 4)},
    )
    prepare(model)
    (site,) = find_sites(model)
    assert site.weight == Weight(1, "t", 1)
    assert [tensor.name for tensor in model.graph.initializer] == ["t"]
    assert list(model.graph.initializer[0].dims) == [4, 8]


def test_the_default_is_weighted_operators_and_residual_additions() -> None:
    choice = choose(residual(), Wish("int8"), AMAX)
    assert [site.node for site in choice.sites] == ["conv1", "conv2", "sum", "gemm"]
    assert choice.left_out == ()


def test_operator_types_and_nodes_can_be_chosen() -> None:
    wish = Wish("int8", op_types=("Conv", "GlobalAveragePool"), exclude=("conv1",))
    choice = choose(residual(), wish, AMAX)
    assert [site.node for site in choice.sites] == ["conv2", "pool"]
    assert [(item.node, item.reason) for item in choice.left_out] == [
        ("conv1", "excluded by the recipe")
    ]


def test_a_tensor_without_a_range_leaves_its_nodes_alone() -> None:
    choice = choose(residual(), Wish("int8"), {"x": 1.0})
    assert [site.node for site in choice.sites] == ["conv1"]
    assert {item.reason for item in choice.left_out} == {"not in the calibration table"}


def test_products_of_activations_are_quantized_where_the_recipe_says_so() -> None:
    model = make(
        [helper.make_node("MatMul", ["a", "b"], ["y"], "scores")],
        {"a": ["n", 4, 8], "b": ["n", 8, 4]},
        ["y"],
        {},
    )
    amax = {"a": 1.0, "b": 1.0}
    with pytest.raises(StageError, match="no node is left to quantize to int8"):
        choose(model, Wish("int8"), amax)
    (site,) = choose(model, Wish("int8", attention=True), amax).sites
    assert site.activations == ((0, "a"), (1, "b"))


def test_convolutions_of_few_channels_are_left_out() -> None:
    choice = choose(residual(8), Wish("int8"), AMAX)
    assert [item.node for item in choice.left_out] == ["conv1", "conv2"]
    fp8 = choose(residual(16), Wish("fp8"), AMAX)
    assert [site.node for site in fp8.sites] == ["conv1", "conv2", "sum", "gemm"]


@pytest.mark.parametrize(
    ("wish", "what", "hint"),
    [
        (Wish("int8", op_types=("ConvTranspose",)), "the model has no ConvTranspose", "Conv"),
        (Wish("int8", exclude=("conv3",)), "'conv3' matches no node (did you mean", "names"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wish: Wish, what: str, hint: str) -> None:
    with pytest.raises(StageError) as caught:
        choose(residual(), wish, AMAX)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_model_without_such_operators_is_refused() -> None:
    with pytest.raises(StageError) as caught:
        choose(attention(), Wish("int8"), {})
    assert caught.value.what == (
        "no node is left to quantize to int8: the model has no Conv, ConvTranspose, Gemm, MatMul; "
        "Add: no skip connection: nothing is added to the result of a convolution"
    )


def test_an_addition_that_is_asked_for_and_no_skip_connection_is_left_out_with_the_reason() -> None:
    reason = "no skip connection: nothing is added to the result of a convolution"
    with pytest.raises(StageError) as caught:
        choose(attention(), Wish("int8", op_types=("Add",)), {})
    assert caught.value.what == (
        f"no node is left to quantize to int8: 1 candidate is left out: {reason}"
    )
    model = make(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
            helper.make_node("Add", ["m", "b"], ["y"], "bias"),
        ],
        {"x": ["n", 4]},
        ["y"],
        {"w": weights(4, 8), "b": weights(8)},
    )
    choice = choose(model, Wish("int8", op_types=("MatMul", "Add")), {"x": 1.0})
    assert [site.node for site in choice.sites] == ["product"]
    assert [(item.node, item.reason) for item in choice.left_out] == [("bias", reason)]


def test_integers_are_not_quantized() -> None:
    model = make(
        [
            helper.make_node("Cast", ["x"], ["i"], "cast", to=7),
            helper.make_node("MatMul", ["i", "w"], ["m"], "matmul"),
            helper.make_node("Cast", ["m"], ["y"], "back", to=1),
        ],
        {"x": ["n", 4]},
        ["y"],
        {"w": np.ones((4, 4), np.int64)},
    )
    assert find_sites(model) == ()
