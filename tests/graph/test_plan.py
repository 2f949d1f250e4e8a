"""The plan is a pure function of the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes

RENAMED = RECIPE.replace(
    "  - op: fold_constants\n",
    "  - {op: rename, tensors: {x: features, y: scores}}\n"
    "  - {op: rename, tensors: {scores: logits}}\n",
)


def test_every_task_comes_after_what_it_needs(project: Project) -> None:
    project.tiny(RECIPE.replace("[fp32]", "[fp32, fp16]"))
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    seen: set[str] = set()
    for task in plan(recipe):
        assert set(task.needs) <= seen
        seen.add(task.id)
    assert "quantize:fp16" in seen
    assert "quantize:fp32" not in seen


def test_opt_is_no_option_of_the_export_and_no_path_is_in_any(project: Project) -> None:
    project.tiny()
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    export = plan(recipe)[0]
    assert "opt" not in str(export.options)
    assert not [task for task in plan(recipe) if str(Path.home()) in str(task.options)]
    assert not [task for task in plan(recipe) if str(project.root) in str(task.options)]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_renamed_inputs_and_outputs_are_followed_to_the_engine(
    project: Project, precision: str
) -> None:
    project.tiny(RENAMED.replace("[fp32]", f"[{precision}]"))
    result = project.run()
    assert result.code == 0, result.err + result.out
    assert not result.task(f"verify:{precision}")["warnings"]
    build = project.folder / "build/tiny" / precision / "build.json"
    assert '"features"' in build.read_text()
    assert '"logits"' in build.read_text()


@pytest.mark.parametrize("kernels", ["eager", "none"])
def test_verify_runs_the_kernels_that_are_measured(project: Project, kernels: str) -> None:
    project.tiny(RECIPE + f"benchmark: {{kernel_specialization: {kernels}}}\n")
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    by_id = {task.id: task for task in plan(recipe)}
    for stage in ("verify", "benchmark"):
        assert by_id[f"{stage}:fp32"].options["kernel_specialization"] == kernels
