"""Values of inputs that decide shapes: in `inputs`, and in each optimization profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipe.conftest import HEAD, MODEL
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Values

Said = Callable[..., str]

GOOD = "values: {min: [16, 32], opt: [32, 64], max: [64, 512]}"


def recipe(size: str, profiles: str = "") -> str:
    """A recipe with an input `size`, and perhaps a list of profiles."""
    build = f"build: {{profiles: {profiles}}}\n" if profiles else ""
    return f"{HEAD}{MODEL}inputs:\n  size: {{{size}}}\n  x: {{dtype: float32, shape: [1]}}\n{build}"


def test_values_are_part_of_the_actions_that_they_decide(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(recipe(f"dtype: int64, shape: [2], {GOOD}"))
    (made,) = load_recipes([folder / "recipe.yaml"])
    assert made.inputs[0].values == Values((16, 32), (32, 64), (64, 512))
    assert made.inputs[1].values is None
    tasks = {task.stage: task for task in plan(made)}
    for stage in ("reference", "build"):
        size, x = tasks[stage].options["inputs"]  # type: ignore[misc] # a list of two
        assert size["values"]["max"] == [64, 512]
        assert "values" not in x


REFUSED = {
    "dtype: float32, shape: [2], " + GOOD: "only values of int32 and int64 decide shapes",
    "dtype: int64, min: [1], opt: [2], max: [2], " + GOOD: "the input has no fixed shape",
    "dtype: int64, shape: [3], " + GOOD: "[16, 32] are 2 values, the input has 3",
    "dtype: int64, shape: [2], range: [0, 9], " + GOOD: "an input with `values` has no random ones",
    "dtype: int64, shape: [], values: {min: [1], opt: [4], max: [2]}": "must rise in every place",
    "dtype: int64, shape: [], values: {min: [1], opt: [4]}": "required key 'max' is missing",
    "dtype: int64, shape: [], values: {min: 1, opt: 1, max: 1}": "expected a list of integers",
    "dtype: int32, shape: [], values: {min: [0], opt: [4], max: [4294967296]}": "go beyond int32",
}


@pytest.mark.parametrize("size", REFUSED)
def test_values_that_no_engine_can_be_built_for_are_told(said: Said, size: str) -> None:
    told = said(recipe(size))
    assert REFUSED[size] in told
    assert told.startswith("recipe.yaml:5:")


SMALL = "{min: [16, 32], opt: [32, 64], max: [32, 64]}"
LARGE = "{min: [32, 64], opt: [32, 64], max: [64, 512]}"
PROFILES = {
    f"[{{size: {{values: {SMALL}}}}}, {{size: {{values: {LARGE}}}}}]": "",
    f"[{{size: {{values: {SMALL}}}}}]": "no profile takes the max shapes of the inputs",
    f"[{{size: {SMALL}}}]": "the input has values, and a profile has min, opt and max of those",
    f"[{{x: {{values: {SMALL}}}}}]": "the input has no values",
    "[{size: {values: {min: [1, 32], opt: [32, 64], max: [64, 512]}}}]": "from no less than the",
    "[{size: {values: {min: [16], opt: [32], max: [64]}}}]": "[16] are 1 values, the input has 2",
    "[{size: {}}]": "the input has values, and a profile has min, opt and max of those",
    "[{x: {min: [1], opt: [1]}}]": "required key 'max' is missing",
}


@pytest.mark.parametrize("profiles", PROFILES)
def test_values_of_a_profile_are_those_of_its_inputs(said: Said, profiles: str) -> None:
    told = said(recipe(f"dtype: int64, shape: [2], {GOOD}", profiles))
    assert PROFILES[profiles] in told
    assert bool(told) == bool(PROFILES[profiles])
