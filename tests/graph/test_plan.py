"""The plan is a pure function of the recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
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


def test_a_table_of_ranges_is_the_same_whatever_the_shapes_are(project: Project) -> None:
    found = []
    for opt in (2, 4):
        project.tiny(RECIPE.replace("opt: [2, 4]", f"opt: [{opt}, 4]").replace("[fp32]", "[int8]"))
        project.write("ranges.cache", "TRT-1000-EntropyCalibration2\nx: 3c010a14\n")
        for calibration in ("{table: ranges.cache}", "{dataset: {npz: data.npz}}"):
            path = project.write(
                f"{opt}.yaml",
                (project.folder / "tiny.yaml").read_text() + f"calibration: {calibration}\n",
            )
            (recipe,) = load_recipes([path])
            (task,) = (task for task in plan(recipe) if task.stage == "calibrate")
            found.append(task.options)
    assert found[0] == found[2]
    assert found[1] != found[3]


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


PROFILES = """\
build:
  backend: tensorrt_rtx
  optimization_level: 0
  profiles:
    - x: {min: [1, 4], opt: [2, 4], max: [4, 4]}
    - x: {min: [4, 4], opt: [6, 4], max: [8, 4]}
benchmark: {profile_index: 1, inputs: {files: {x: values.npy}}}
"""


def test_profiles_points_and_files_have_the_names_that_surgery_gave(project: Project) -> None:
    build = "build: {backend: tensorrt_rtx, optimization_level: 0}\n"
    project.tiny(RENAMED.replace(build, PROFILES))
    np.save(project.folder / "values.npy", np.zeros((6, 4), np.float32))
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    tasks: dict[str, Any] = {task.id: task for task in plan(recipe)}
    assert [set(profile) for profile in tasks["build:fp32"].options["profiles"]] == [
        {"features"}
    ] * 2
    benchmark = tasks["benchmark:fp32"]
    # opt is that of the profile which is measured
    assert benchmark.options["points"] == [{"name": "opt", "shapes": {"features": [6, 4]}}]
    assert [item["name"] for item in benchmark.options["inputs"]] == ["features"]
    assert "input.features" in {item.role for item in benchmark.inputs}
    assert benchmark.options["renames"]["x"] == "features"
    assert [set(profile) for profile in tasks["reference"].options["profiles"]] == [{"x"}] * 2
    result = project.run()
    assert result.code == 0, result.err + result.out
    info = json.loads((project.folder / "build/tiny/fp32/build.json").read_text())
    assert [profile["features"]["opt"] for profile in info["profiles"]] == [[2, 4], [6, 4]]


def test_shapes_outside_the_profile_that_is_measured_are_refused(project: Project) -> None:
    build = "build: {backend: tensorrt_rtx, optimization_level: 0}\n"
    recipe = RECIPE.replace(build, PROFILES)
    project.tiny(recipe.replace(", inputs: {files: {x: values.npy}}", ", shapes: {x: [2, 4]}"))
    result = project.trtbuild("validate", "tiny.yaml")
    assert result.code == 2
    assert "x:2x4 makes x [2, 4], built is [4, 4] to [8, 4]" in result.err


@pytest.mark.parametrize("base", ["fp16", "bf16"])
@pytest.mark.parametrize("precision", ["int8", "fp8", "int4"])
def test_inputs_may_have_the_type_of_a_base(project: Project, precision: str, base: str) -> None:
    options = f"{{base: {base}, keep_io_types: false}}"
    recipe = RECIPE.replace("[fp32]", f"{{{precision}: {options}}}")
    project.tiny(recipe + "calibration: {dataset: {npz: data.npz}}\n")
    if precision != "int4":  # no block of it fits into the tiny model's 4 channels
        result = project.run()
        assert result.code == 0, result.err + result.out
        built = json.loads((project.folder / f"build/tiny/{precision}/build.json").read_text())
        types = {item["dtype"] for item in (*built["inputs"], *built["outputs"])}
        assert types == {{"fp16": "float16", "bf16": "bfloat16"}[base]}
    (loaded,) = load_recipes([project.folder / "tiny.yaml"])
    by_id = {task.id: task for task in plan(loaded)}
    assert by_id[f"build:{precision}"].options["base"] == base


def test_a_build_does_not_depend_on_a_base_that_its_inputs_do_not_show(project: Project) -> None:
    project.tiny(RECIPE.replace("[fp32]", "{int8: {base: fp16}, fp16: {keep_io_types: false}}"))
    project.replace("tiny.yaml", "verify:", "calibration: {random: {seed: 0}}\nverify:")
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    builds = [task.options for task in plan(recipe) if task.stage == "build"]
    assert len(builds) == 2
    assert not [options for options in builds if "base" in options]
