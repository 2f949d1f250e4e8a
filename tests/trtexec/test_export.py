"""A recipe becomes the nearest command, and that command the recipe."""

from __future__ import annotations

from typing import Any

import pytest

from tests.project import Project
from tests.trtexec.commands import imported, trtbuild
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


def exported(*words: str) -> dict[str, Any]:
    """The one variant that export-trtexec gives, as JSON."""
    result = trtbuild("export-trtexec", *words, "--json")
    assert (result.code, result.err) == (0, "")
    (variant,) = result.json["variants"].values()
    return dict(variant)


def test_the_default_of_trtexec_counts_and_not_the_recipe_s(project: Project) -> None:
    imported(project, "--onnx=tiny.onnx", "--optShapes=x:4x4")
    assert "--profilingVerbosity=detailed" in exported("made.yaml")["command"]
    imported(project, "--onnx=tiny.onnx", "--profilingVerbosity=layer_names_only")
    made = exported("made.yaml")
    assert not any("profiling" in line for line in (*made["command"], *made["lacking"]))


def test_every_file_is_found_from_where_the_command_is_printed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.so", "t.cache", "x.npy"):
        project.write(name, "")
    project.write("made.yaml", FILES)
    (project.folder / "elsewhere").mkdir()
    for place, prefix in ((".", ""), ("..", f"{project.folder.name}/")):
        monkeypatch.chdir(project.folder / place)
        command = exported(str(project.folder / "made.yaml"))["command"]
        assert f"--onnx={prefix}tiny.onnx" in command
        assert f"--saveEngine={prefix}build/made/fp32/trtexec.plan" in command
        assert f"--staticPlugins={prefix}a.so" in command
        assert f"--timingCacheFile={prefix}t.cache" in command
        assert f"--loadInputs=x:{prefix}x.npy" in command
    monkeypatch.chdir(project.folder / "elsewhere")
    made = exported("../made.yaml")
    assert f"--staticPlugins={project.folder}/a.so" in made["command"]
    assert f"--onnx={project.folder}/tiny.onnx" in made["command"]
    notes = " ".join(made["notes"])
    assert "trtexec also writes --timingCacheFile" in notes
    assert "raw values, without the header of a .npy" in notes
    assert f"mkdir -p {project.folder}/build/made/fp32" in notes
    assert "# note: trtexec also writes" in trtbuild("export-trtexec", "../made.yaml").out


HEAD = """\
trtbuild: 1
name: made
model: {onnx: tiny.onnx}
inputs: {x: {dtype: float32, shape: [1, 4]}}
"""
FILES = f"""{HEAD}
build: {{backend: tensorrt, plugins: {{static: [a.so]}}, timing_cache: {{file: t.cache}}}}
benchmark: {{inputs: {{files: {{x: x.npy}}}}}}
"""


@pytest.mark.parametrize("newer", ["build_route: -knob=1", "# nothing newer"])
def test_the_words_are_of_a_version_that_has_all_options(project: Project, newer: str) -> None:
    text = f"{HEAD}build:\n  backend: tensorrt\n  {newer}\n  io_formats: {{x: [chw32]}}\n"
    project.write("made.yaml", f"{text}benchmark: {{transfers: true, spin_wait: false}}\n")
    command = exported("made.yaml")["command"]
    since_11 = {"--includeDataTransfers", "--noSpinWait", "--noCudaGraph", "--inputIOFormats=chw32"}
    before = {"--stronglyTyped", "--inputIOFormats=fp32:chw32"}
    expected, others = (since_11, before) if "knob" in newer else (before, since_11)
    assert expected <= set(command)
    assert not others & set(command)


def test_an_engine_for_trtexec_11_gets_its_words(project: Project) -> None:
    project.write("made.yaml", HEAD + "build: {backend: tensorrt}\n")
    assert "--stronglyTyped" in exported("made.yaml")["command"]
    text = (project.folder / "made.yaml").read_text()
    project.write("made.yaml", text + 'deploy: {tensorrt: "11.1"}\n')
    assert "--stronglyTyped" not in exported("made.yaml")["command"]
