"""The recipe's inputs against the network's, and the optimization profile from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.trt import nets
from trtbuild.errors import StageError
from trtbuild.recipe.model import Input, Values
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import recording
from trtbuild.trt.parser import parse_onnx
from trtbuild.trt.profile import (
    NetworkInput,
    Range,
    add_profile,
    network_inputs,
    profile_ranges,
)

IMAGE = NetworkInput("image", "float32", (-1, 1, 8, 8), holds_shape=False)
STATE = NetworkInput("state", "float32", (2, 1, 128), holds_shape=False)
COUNT = NetworkInput("n", "int64", (), holds_shape=True)
SIZES = NetworkInput("sizes", "int64", (2,), holds_shape=True)


def problems(recipe: tuple[Input, ...], *network: NetworkInput, precision: str = "fp32") -> str:
    with pytest.raises(StageError) as caught:
        profile_ranges(recipe, network, precision)
    return str(caught.value)


def same(item: Input, *shape: int) -> Input:
    return replace(item, min=shape, opt=shape, max=shape)


def test_the_inputs_of_a_real_network_are_read_with_type_and_shape(
    rtx: Flavour, tmp_path: Path
) -> None:
    with recording(rtx) as log:
        digits = parse_onnx(log, nets.digits(tmp_path / "digits.onnx"))
        values = parse_onnx(log, nets.written(tmp_path / "range.onnx", nets.RANGE))
    assert network_inputs(digits.network) == (IMAGE,)
    assert network_inputs(values.network) == (COUNT,)


def test_a_dynamic_input_gets_the_shapes_of_the_recipe() -> None:
    assert profile_ranges((nets.IMAGE,), (IMAGE,), "fp32") == (
        Range("image", nets.IMAGE.min, nets.IMAGE.opt, nets.IMAGE.max, of_values=False),
    )


def test_static_inputs_need_no_profile_and_may_be_left_out() -> None:
    written = Input("state", "float32", (2, 1, 128), (2, 1, 128), (2, 1, 128), None, None)
    assert profile_ranges((written,), (STATE,), "fp32") == ()
    assert profile_ranges((), (STATE,), "fp32") == ()


def test_an_input_that_the_model_lacks_is_named_with_the_near_one() -> None:
    wrong = replace(nets.IMAGE, name="imge")
    assert problems((wrong, nets.IMAGE), IMAGE) == (
        "the recipe's inputs are not those of the model:\n"
        "  'imge' is no input of the model, which has 'image' (float32 [?, 1, 8, 8])\n"
        "  hint: did you mean 'image'?"
    )


def test_a_dynamic_input_that_the_recipe_lacks_is_named() -> None:
    assert problems((), IMAGE, STATE) == (
        "the recipe's inputs are not those of the model:\n"
        "  'image' (float32 [?, 1, 8, 8]) has dynamic dimensions and is not in the recipe, which "
        "has no inputs\n"
        "  hint: add 'image' to inputs, with min, opt and max"
    )


def test_a_static_dimension_that_contradicts_the_recipe_is_named() -> None:
    wrong = replace(nets.IMAGE, min=(1, 1, 8, 8), opt=(1, 1, 16, 8), max=(1, 1, 32, 8))
    assert problems((wrong,), IMAGE) == (
        "the recipe's inputs are not those of the model:\n"
        "  'image' (float32 [?, 1, 8, 8]) is static in dimension 2, and the recipe says min 8, "
        "opt 16, max 32\n"
        "  hint: write 8 there in min, opt and max of 'image', or make the dimension dynamic "
        "(surgery: {op: set_dims, tensors: {NAME: [batch, ...]}})"
    )


def test_a_rank_that_contradicts_the_model_is_named() -> None:
    assert "has 4 dimensions, 2 in the recipe" in problems((same(nets.IMAGE, 1, 64),), IMAGE)


def test_a_type_that_contradicts_the_model_is_named() -> None:
    wrong = replace(nets.IMAGE, dtype="float16")
    assert problems((wrong,), IMAGE) == (
        "the recipe's inputs are not those of the model:\n"
        "  'image' (float32 [?, 1, 8, 8]) is float16 in the recipe\n"
        "  hint: write dtype: float32, or put a Cast behind the input in a surgery hook"
    )


def test_a_precision_may_lower_the_type_of_an_input() -> None:
    lowered = replace(IMAGE, dtype="float16")
    assert len(profile_ranges((nets.IMAGE,), (lowered,), "fp16")) == 1
    assert "is float32 in the recipe" in problems((nets.IMAGE,), lowered, precision="fp32")


def test_every_problem_is_told_at_once() -> None:
    wrong = replace(same(nets.IMAGE, 1, 3, 8, 8), dtype="int8")
    text = problems((wrong, replace(nets.IMAGE, name="other")), IMAGE, COUNT)
    for part in ("'other' is no input", "is int8", "static in dimension 1", "'n' (int64 [])"):
        assert part in text


@pytest.mark.parametrize(
    ("network", "bounds", "low", "middle", "high"),
    [(COUNT, (1, 9), (1,), (4,), (8,)), (SIZES, (2, 6.5), (2, 2), (4, 4), (6, 6))],
)
def test_values_that_decide_shapes_come_from_the_range(
    network: NetworkInput, bounds: tuple[float, float], low: object, middle: object, high: object
) -> None:
    shape = network.shape
    item = Input(network.name, "int64", shape, shape, shape, None, bounds)
    (found,) = profile_ranges((item,), (network,), "fp32")
    assert (found.min, found.opt, found.max) == (low, middle, high)
    assert found.of_values


def test_values_that_decide_shapes_without_a_range_are_refused() -> None:
    item = Input("n", "int64", (), (), (), None, None)
    assert problems((item,), COUNT) == (
        "the recipe's inputs are not those of the model:\n"
        "  'n' (int64 []) decides shapes by its values, which the recipe does not bound\n"
        "  hint: give 'n' its own shape ([]) and its values: "
        "values: {min: [...], opt: [...], max: [...]}"
    )


def test_values_that_decide_shapes_are_built_for_place_by_place() -> None:
    values = Values((1, 2), (4, 8), (16, 512))
    item = Input("sizes", "int64", (2,), (2,), (2,), None, None, values)
    (found,) = profile_ranges((item,), (SIZES,), "fp32")
    assert (found.min, found.opt, found.max) == (values.min, values.opt, values.max)
    assert found.of_values
    fixed = replace(SIZES, holds_shape=False)
    assert "decides no shapes by its values" in problems((item,), fixed)


def test_a_profile_that_tensorrt_does_not_take_is_refused(rtx: Flavour, tmp_path: Path) -> None:
    backwards = Range("image", (9, 1, 8, 8), (4, 1, 8, 8), (16, 1, 8, 8), of_values=False)
    with recording(rtx) as log:
        parsed = parse_onnx(log, nets.digits(tmp_path / "digits.onnx"))
        config = parsed.builder.create_builder_config()
        with pytest.raises(StageError, match=r"inputs\.image: TensorRT does not take"):
            add_profile(parsed.builder, config, (backwards,))
