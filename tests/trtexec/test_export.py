"""A recipe becomes the nearest command, and that command the recipe."""

from __future__ import annotations

from tests.project import Project
from trtbuild.recipe.build_table import OPTIONS as BUILD_OPTIONS
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.trtexec.convert import convert
from trtbuild.recipe.trtexec.export import (
    _GIVEN,
    _NO_OPTION,
    _POOLS,
    _WRITERS,
    Subject,
    command_for,
)
from trtbuild.recipe.trtexec.read import call_of
from trtbuild.recipe.trtexec.write import recipe_text


def test_every_build_option_has_its_option_of_trtexec_or_a_reason() -> None:
    for row in BUILD_OPTIONS:
        told = row.key in _WRITERS or row.path[-1] in _POOLS or row.key in (*_NO_OPTION, *_GIVEN)
        given_by_file = row.key in ("timing_cache.file", "device")
        none = {
            *("mark_outputs", "refit_weights", "strict_nans", "timing_cache.editable"),
            *("debug_synchronously", "user_allocation", "memory_pools.tactic_dram"),
        }
        assert told or given_by_file or row.kind in ("tactic", "preview") or row.key in none, (
            row.key
        )


def test_a_recipe_becomes_the_nearest_command(project: Project) -> None:
    project.replace(
        "tiny.yaml",
        "build: {backend: tensorrt_rtx, optimization_level: 0}",
        "build: {backend: tensorrt, workspace: 1MiB, tf32: false, refit: all, strict_nans: true, "
        "tactic_sources: {jit_convolutions: false}, device: 1}",
    )
    result = project.trtbuild("export-trtexec", "tiny.yaml", "--json")
    (variant,) = result.json["variants"].values()
    words = variant["command"]
    assert words[0] == "trtexec"
    assert words[1].endswith("build/tiny/surgery/model.onnx")
    for word in (
        *("--minShapes=x:1x4", "--optShapes=x:2x4", "--maxShapes=x:8x4", "--noTF32", "--refit"),
        *("--memPoolSize=workspace:1048576B", "--tacticSources=-JIT_CONVOLUTIONS", "--device=1"),
        *("--skipInference", "--stronglyTyped"),
    ):
        assert word in words
    assert "build.strict_nans: trtexec has no option for it" in variant["lacking"]
    text = project.trtbuild("export-trtexec", "tiny.yaml").out
    assert "# not in this command: verify: " in text


def test_there_and_back_again_the_options_are_the_same(project: Project) -> None:
    project.replace(
        "tiny.yaml",
        "optimization_level: 0",
        "optimization_level: 2, workspace: 1GiB, tf32: false, weight_streaming: true, "
        "profiling_verbosity: detailed, max_aux_streams: 0, tiling_level: fast, direct_io: true, "
        "compute_capabilities: [86, 120], memory_pools: {tactic_shared_memory: 48KiB}",
    )
    recipe = load_recipes([project.folder / "tiny.yaml"])[0]
    subject = Subject("tiny.onnx", "e.plan", None)
    command = command_for(recipe, "fp32", recipe.build.options, subject)
    call = call_of(command.words)
    (project.folder / "again.yaml").write_text(recipe_text(call, convert(call, None)))
    again = load_recipes([project.folder / "again.yaml"])[0]
    assert again.build == recipe.build
    assert again.inputs == recipe.inputs
