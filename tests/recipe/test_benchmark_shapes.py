from __future__ import annotations

from typing import Any

import pytest

from trtbuild.recipe.benchmark_shapes import points_of
from trtbuild.recipe.model import Input

IMAGE = Input("image", "float32", (1, 3, 8, 8), (4, 3, 8, 8), (16, 3, 8, 8), None, None)
MASK = Input("mask", "int64", (1, 2), (4, 2), (16, 9), ("batch", "length"), None)


def shapes(spec: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    return {point.name: point.shapes for point in points_of(spec, (IMAGE, MASK))}


def test_sizes_of_the_profile_have_names() -> None:
    assert shapes(["min", "max"]) == {
        "min": {"image": (1, 3, 8, 8), "mask": (1, 2)},
        "max": {"image": (16, 3, 8, 8), "mask": (16, 9)},
    }


def test_an_input_that_is_not_given_stays_at_opt() -> None:
    assert shapes({"mask": [2, 5]}) == {"mask:2x5": {"image": (4, 3, 8, 8), "mask": (2, 5)}}


def test_a_sweep_over_a_named_dimension_changes_every_input_that_has_it() -> None:
    assert shapes({"sweep": {"length": [3, 9]}}) == {
        "length=3": {"image": (4, 3, 8, 8), "mask": (4, 3)},
        "length=9": {"image": (4, 3, 8, 8), "mask": (4, 9)},
    }


def test_a_sweep_over_the_batch_changes_the_first_dynamic_axis_of_unnamed_inputs() -> None:
    found = points_of({"sweep": {"batch": [1, 16]}}, (IMAGE,))
    assert [point.shapes["image"][0] for point in found] == [1, 16]


def test_a_sweep_over_one_axis_and_several_keys_gives_every_combination() -> None:
    found = shapes({"sweep": {"image[0]": [1, 2], "length": [3, 4]}})
    assert list(found) == [
        "image[0]=1,length=3",
        "image[0]=1,length=4",
        "image[0]=2,length=3",
        "image[0]=2,length=4",
    ]
    assert found["image[0]=2,length=3"] == {"image": (2, 3, 8, 8), "mask": (4, 3)}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("biggest", "'biggest' is not one of min, opt, max"),
        ({"picture": [1]}, r"shapes.picture: it is no input \(image, mask\)"),
        ({"mask": [17, 2]}, r"makes mask \[17, 2\], built is \[1, 2\] to \[16, 9\]"),
        ({"mask": [4]}, r"makes mask \[4\]"),
        ({"sweep": {"height": [8]}}, "shapes.sweep.height: it is no dimension's name"),
        ({"sweep": {"image[7]": [8]}}, "it is no dimension's name"),
        (["opt", "opt"], "opt would be measured twice"),
        ([], "there is nothing to measure"),
        ({"sweep": {"batch": [1]}, "mask": [4, 2]}, "a sweep goes with no other key, here is mask"),
        ({"mask": {"batch": [1]}}, "shapes.mask: expected a shape"),
        ({"sweep": {"length": list(range(2, 10)), "batch": [1] * 40}}, "more than 256 points"),
    ],
)
def test_shapes_that_the_inputs_do_not_have_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes(spec)


def test_a_point_is_plain_json_for_the_stage() -> None:
    (point,) = points_of("opt", (MASK,))
    assert point.as_options() == {"name": "opt", "shapes": {"mask": [4, 2]}}
