"""What stands against a release, by the plan of a recipe."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.project import RECIPE, Project
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes
from trtbuild.release.conditions import objections
from trtbuild.release.gather import Gathered
from trtbuild.release.source import SourceState


@pytest.mark.parametrize(
    ("precision", "calibration", "tasks"),
    [
        ("int8: {}", "random: {seed: 0}", ["calibrate"]),
        ("int8: {}", "dataset: {random: {seed: 0}}", ["calibrate"]),
        ("int8: {}", "dataset: {npz: data.npz}", []),
        ("int4: {}", "random: {seed: 0}", ["quantize:int4"]),
        ("int4: {}", "dataset: {npz: data.npz}", []),
        ("int4: {method: rtn}", "random: {seed: 0}", []),  # which looks at no data
    ],
)
def test_random_calibration_is_an_objection_where_a_precision_reads_it(
    project: Project, precision: str, calibration: str, tasks: list[str]
) -> None:
    text = RECIPE.replace("[fp32]", f"{{{precision}}}")
    project.tiny(f"{text}calibration: {{{calibration}}}\n")
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    rebuilder = SimpleNamespace(recipe=recipe, tasks={task.id: task for task in plan(recipe)})
    found = Gathered(cast("Any", rebuilder), cast("Any", None))
    state = SourceState("0" * 40, (), 0)
    against = [item for item in objections([found], [state], signed=True) if item.name == "random"]
    place = recipe.path
    assert [item.text for item in against] == [f"{place} {t} takes random data" for t in tasks]
