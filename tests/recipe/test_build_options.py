"""The table of build options: the schema follows it, and it is refused what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.recipe.conftest import SMALL
from trtbuild.recipe.build_options import (
    EVERYWHERE,
    TITLES,
    Option,
    Where,
    build_rules,
    numbers,
    value_at,
)
from trtbuild.recipe.build_table import GROUPS, OPTIONS, option
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.reference import flow
from trtbuild.recipe.schema import schema

Said = Callable[..., str]
BUILD = schema()["$defs"]["build"]["properties"]


def build(text: str, backend: str = "tensorrt_rtx") -> str:
    """The small recipe with a build section."""
    return f"{SMALL}build: {{backend: {backend}, {text}}}\n"


def options(text: str, backend: str = "tensorrt_rtx") -> dict[str, Any]:
    Path("one.yaml").write_text(build(text, backend))
    return load_recipes([Path("one.yaml")])[0].build.options


def test_the_schema_is_what_the_table_says() -> None:
    """Where this fails, the table was changed: put build_rules(OPTIONS, GROUPS) into the schema."""
    rules = build_rules(OPTIONS, GROUPS)
    assert {name: rule for name, rule in BUILD.items() if name != "backend"} == rules
    assert [name for name in BUILD if name != "backend"] == list(rules)


def test_every_option_says_what_it_calls_and_where_that_is() -> None:
    for row in OPTIONS:
        assert row.meaning.endswith("."), row.key
        if row.key != "device":
            assert row.call, row.key
            assert row.needs, row.key
        assert row.where.text in row.schema["description"] or not row.call
        assert not (row.where.never("tensorrt") and row.where.never("tensorrt_rtx"))


def test_where_something_is_reads_as_a_sentence() -> None:
    assert EVERYWHERE.text == "TensorRT, TensorRT-RTX"
    assert option("max_tactics").where.text == "TensorRT from 10.4, TensorRT-RTX"
    assert option("tactic_sources.cudnn").where.text == "TensorRT before 11.0"
    assert option("dla.core").where.text == "TensorRT before 10.8 and from 11.4"
    assert Where((("10.2", "11.0"),), "1.6").text == (
        "TensorRT from 10.2 before 11.0, TensorRT-RTX from 1.6"
    )


@pytest.mark.parametrize(
    ("version", "has"),
    [("10.3.0", True), ("10.7.0.post1", True), ("10.8.0.43", False), ("11.4.0.106", True)],
)
def test_a_version_lies_in_a_span_or_not(version: str, has: bool) -> None:
    assert option("dla.core").where.has("tensorrt", version) is has


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("10.14.1.48.post1") == (10, 14, 1, 48)
    assert EVERYWHERE.has("tensorrt", "10.16.1.11")
    assert not option("preview.aliased_plugin_io_10_03").where.has("tensorrt", "10.2.0")


def test_a_default_that_is_written_down_changes_no_action(folder: Path) -> None:
    written = "; ".join(f"{row.key}" for row in OPTIONS)
    assert "refit" in written
    plain = options("tf32: true")
    assert plain == {
        "workspace": None,
        "optimization_level": None,
        "compute_capabilities": [],
        "tf32": True,
        "profiling_verbosity": "detailed",
    }
    same = "refit: none, strip_weights: false, tiling_level: none, compilation_cache: true"
    assert options(same) == plain
    assert options("hardware_compatibility: none, timing_cache: {enabled: true}") == plain


def test_sizes_and_numbers_are_exact(folder: Path) -> None:
    found = options(
        "memory_pools: {tactic_dram: 1.5GiB, tactic_shared_memory: 65536}, max_tactics: 3.0, "
        "debug_tensors: [b, a], l2_limit_for_tiling: 1MiB, profiles: [{image: "
        "{min: [1.0, 8], opt: [4, 8], max: [16, 8]}}]"
    )
    assert found["memory_pools"] == {"tactic_dram": 1610612736, "tactic_shared_memory": 65536}
    assert found["l2_limit_for_tiling"] == 1 << 20
    assert found["max_tactics"] == 3
    assert found["debug_tensors"] == ["a", "b"]
    assert isinstance(value_at(found, ("profiles",))[0]["image"]["min"][0], int)


def test_files_are_inputs_and_not_options(folder: Path) -> None:
    text = "plugins: {dynamic: [files/text.onnx], static: [files/state.pt]}, device: 1, "
    Path("one.yaml").write_text(build(text + "timing_cache: {file: files/net.py}", "tensorrt"))
    made = load_recipes([Path("one.yaml")])[0].build
    assert made.files == (
        ("plugins/static/0", "files/state.pt"),
        ("plugins/dynamic/0", "files/text.onnx"),
        ("timing_cache", "files/net.py"),
    )
    assert made.options["plugins"] == {"static": ["state.pt"], "dynamic": ["text.onnx"]}
    assert "timing_cache" not in made.options
    assert "device" not in made.options
    assert made.device == 1


REFUSED = {
    "dla: {core: 0}": "build.dla.core: TensorRT-RTX has no DLA\n"
    "  hint: build for a Jetson with TensorRT; it is in TensorRT before 10.8 and from 11.4",
    "timing_cache: {tactics: record}": "build.timing_cache.tactics: TensorRT-RTX times no kernels",
    "timing_cache: {error_on_miss: true}": "build.timing_cache.error_on_miss: TensorRT-RTX times "
    "no kernels when it builds and keeps no timing cache",
    "hardware_compatibility: ampere_plus": "build.hardware_compatibility: TensorRT-RTX builds for "
    "compute capabilities instead\n  hint: name the GPUs in build.compute_capabilities",
    "version_compatible: true": "build.version_compatible: TensorRT-RTX has no "
    "version-compatible engines",
    "runtime_platform: windows_amd64": "TensorRT-RTX makes engines that run on Linux and Windows",
    "engine_capability: safety": "build.engine_capability: TensorRT-RTX has no safety runtime "
    "(engine_capability: safety)",
    "plugins: {dynamic: [files/text.onnx]}": "build.plugins.dynamic: TensorRT-RTX has no plugins",
    "tactic_sources: {cudnn: false}": "build.tactic_sources.cudnn: TensorRT-RTX has no such option",
    "distributive_independence: true, profiles: [{}, {}]": "build.distributive_independence: "
    "TensorRT does not take it with several optimization profiles",
    "user_allocation: true, weight_streaming: true": "build.user_allocation: TensorRT-RTX does not "
    "take it with weight_streaming",
    "build_route: -a=1": "build.build_route: TensorRT-RTX offers no build routes",
    "max_tactics: 0": "build.max_tactics: expected an integer of at least 1, got 0",
    "refit: some": "'some' is not one of none, individual, identical, all",
    "refit: individual": "build.refit: which weights? name them in build.refit_weights",
    "refit_weights: [a]": "build.refit_weights: it needs build.refit beside it",
    "refit: all, refit_weights: [a]": "build.refit_weights: refit: all is about all weights",
    "io_formats: {image: [hwc9]}": "'hwc9' is not one of linear, chw2",
    "memory_pools: {tactic_dram: much}": "build.memory_pools.tactic_dram: expected a size such as",
    "memory_pools: {tactic_drm: 1GiB}": "unknown key 'tactic_drm'. Did you mean 'tactic_dram'?",
}
ON_TENSORRT = {
    "memory_pools: {dla_managed_sram: 5000}": "5000 is no power of two of at least 4KiB",
    "exclude_lean_runtime: true": "it needs build.version_compatible beside it",
    "dla: {gpu_fallback: true}": "build.dla.gpu_fallback: it needs build.dla.core beside it",
    "engine_capability: dla_standalone": "a DLA loadable needs dla and direct_io too",
    "timing_cache: {enabled: false, editable: true}": "the timing cache is not enabled",
    "timing_cache: {tactics: verified}": "build.timing_cache.tactics: verified: from which",
    "timing_cache: {tactics: record, file: files/net.py}": "build.timing_cache.tactics: record "
    "chooses tactics anew",
    "timing_cache: {tactics: replay, file: 'files/{precision}.cache'}": "build.timing_cache.file: "
    "no such file 'files/fp32.cache'",
    "timing_cache: {tactics: pinned}": "'pinned' is not one of record, replay, verified",
    "timing_cache: {file: no.cache}": "build.timing_cache.file: no such file 'no.cache'",
    "plugins: {static: [lib.so]}": "build.plugins.static[0]: no such file 'lib.so'",
    "user_allocation: true": "TensorRT always lets the caller allocate",
}
PROFILES = {
    "{imge: {min: [1, 8], opt: [4, 8], max: [16, 8]}}": "build.profiles[0].imge: 'imge' is no "
    "input (image). Did you mean 'image'?",
    "{image: {min: [1], opt: [4], max: [16]}}": "its shapes must have 2 dimensions",
    "{image: {min: [4, 8], opt: [1, 8], max: [16, 8]}}": "min, opt and max must rise",
    "{image: {min: [1, 8], opt: [4, 8], max: [17, 8]}}": "max [17, 8] is beyond that of the "
    "input, [16, 8]",
    "{image: {min: [1, 8], opt: [1, 8], max: [1, 8]}}": "no profile takes the opt shapes of the",
    "{image: {min: [1, 8], opt: [4, 8]}}": "required key 'max' is missing",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_rtx_never_has_or_cannot_read_is_told_at_its_line(said: Said, text: str) -> None:
    told = said(build(text))
    assert REFUSED[text] in told
    assert told.startswith("recipe.yaml:6:")


def unlike_default(row: Option) -> Any:
    """A value that asks for something."""
    if row.values:
        return next(text for text in row.values if text != row.default)
    return row.examples[0]


NEVER = [
    (backend, row.key)
    for backend in ("tensorrt", "tensorrt_rtx")
    for row in OPTIONS
    if row.where.never(backend)
]


@pytest.mark.parametrize(("backend", "key"), NEVER)
def test_each_option_that_a_backend_never_has_is_refused_with_who_has_it(
    said: Said, backend: str, key: str
) -> None:
    row = option(key)
    value: Any = unlike_default(row)
    if row.rules.get("items") == {"$ref": "#/$defs/path"}:
        value = ["files/text.onnx"]
    elif row.rules.get("$ref") == "#/$defs/path":
        value = "files/net.py"
    for part in reversed(row.path):
        value = {part: value}
    told = said(build(flow(value)[1:-1], backend)).splitlines()
    place = next(i for i, line in enumerate(told) if f" build.{key}: {TITLES[backend]} " in line)
    assert row.where.why in told[place]
    assert told[place].startswith("recipe.yaml:6:")
    assert told[place + 1].endswith(f"it is in {row.where.text}")


@pytest.mark.parametrize("text", ON_TENSORRT)
def test_what_does_not_go_together_is_told_at_its_line(said: Said, text: str) -> None:
    told = said(build(text, "tensorrt"))
    assert ON_TENSORRT[text] in told
    assert told.startswith("recipe.yaml:6:")


@pytest.mark.parametrize("text", PROFILES)
def test_a_profile_that_does_not_fit_the_inputs_is_told(said: Said, text: str) -> None:
    assert PROFILES[text] in said(build(f"profiles: [{text}]"))


def test_profiles_that_together_take_all_shapes_are_right(said: Said) -> None:
    two = (
        "[{image: {min: [1, 8], opt: [1, 8], max: [4, 8]}}, "
        "{image: {min: [4, 8], opt: [8, 8], max: [16, 8]}}]"
    )
    assert said(build(f"profiles: {two}")) == ""
    assert said(build("profiles: [{}]")) == ""
