"""Real engines with every option that TensorRT-RTX takes on a machine without a GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trt import nets
from tests.trt.test_builder import built, failure
from trtbuild.recipe.build_table import OPTIONS
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.header import read_plan_header
from trtbuild.trt.logger import recording
from trtbuild.trt.network_settings import _attentions_in, apply_to_network
from trtbuild.trt.parser import parse_onnx

BUILDS: dict[str, dict[str, Any]] = {
    "workspace": {"workspace": 1 << 28},
    "optimization_level": {"optimization_level": 1},
    "compute_capabilities": {"compute_capabilities": ["86"]},
    "tf32": {"tf32": False},
    "profiles": {
        "profiles": [
            {"image": {"min": [1, 1, 8, 8], "opt": [1, 1, 8, 8], "max": [1, 1, 8, 8]}},
            {"image": {"min": [1, 1, 8, 8], "opt": [8, 1, 8, 8], "max": [16, 1, 8, 8]}},
        ]
    },
    "io_formats": {"io_formats": {"image": ["linear"], "logits": ["linear"]}},
    "mark_outputs": {"mark_outputs": ["r"]},
    "memory_pools.tactic_dram": {"memory_pools": {"tactic_dram": 1 << 32}},
    "memory_pools.tactic_shared_memory": {"memory_pools": {"tactic_shared_memory": 96 << 10}},
    "monitor_memory": {"monitor_memory": True},
    "max_tactics": {"max_tactics": 2},
    "avg_timing_iterations": {"avg_timing_iterations": 2},
    "tiling_level": {"tiling_level": "full"},
    "l2_limit_for_tiling": {"l2_limit_for_tiling": 1 << 22},
    "max_aux_streams": {"max_aux_streams": 2},
    "engine_capability": {"engine_capability": "standard"},
    "weight_streaming": {"weight_streaming": True},
    "sparsity": {"sparsity": True},
    "strict_nans": {"strict_nans": True},
    "distributive_independence": {"distributive_independence": True},
    "direct_io": {"direct_io": True},
    "compilation_cache": {"compilation_cache": False},
    "tactic_sources.edge_mask_convolutions": {"tactic_sources": {"edge_mask_convolutions": False}},
    "tactic_sources.jit_convolutions": {"tactic_sources": {"jit_convolutions": True}},
    "preview.aliased_plugin_io_10_03": {"preview": {"aliased_plugin_io_10_03": True}},
    "preview.runtime_activation_resize_10_10": {
        "preview": {"runtime_activation_resize_10_10": False}
    },
    "parser_flags.native_instancenorm": {"parser_flags": {"native_instancenorm": True}},
    "profiling_verbosity": {"profiling_verbosity": "detailed"},
    "debug_tensors": {"debug_tensors": ["r"]},
    "debug_unfused_tensors": {"debug_unfused_tensors": True},
    "debug_synchronously": {"debug_synchronously": True},
    "user_allocation": {"user_allocation": True},
}

NEEDS_GPU: dict[str, dict[str, Any]] = {
    "refit": {"refit": "all"},
    "refit_weights": {"refit": "individual", "refit_weights": ["matrix", "kernel"]},
    "strip_weights": {"strip_weights": True},
}


def test_every_option_that_rtx_has_is_built_with_here() -> None:
    of_rtx = {row.key for row in OPTIONS if not row.where.never("tensorrt_rtx")}
    assert set(BUILDS) | set(NEEDS_GPU) | {"device", "decomposable_attentions"} == of_rtx


@pytest.mark.parametrize("key", BUILDS)
def test_an_engine_is_built_with(rtx: Flavour, tmp_path: Path, key: str) -> None:
    model = nets.digits(tmp_path / "digits.onnx")
    found = built(rtx, model, nets.IMAGE, **BUILDS[key])
    assert read_plan_header(tmp_path / "digits.plan").size == found.engine_bytes > 50_000


CONFLICTS = (("profiles", "distributive_independence"), ("weight_streaming", "user_allocation"))
"""The only two of all pairs that TensorRT-RTX 1.4 to 1.7 refuse; a recipe is refused them too."""


def together(*keys: str) -> dict[str, Any]:
    """The settings of several builds as those of one."""
    found: dict[str, Any] = {}
    for key in keys:
        for name, value in BUILDS[key].items():
            found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


@pytest.mark.parametrize("left_out", [0, 1])
def test_all_options_at_once_make_an_engine(rtx: Flavour, tmp_path: Path, left_out: int) -> None:
    without = {pair[left_out] for pair in CONFLICTS}
    settings = together(*(key for key in BUILDS if key not in without))
    assert (
        built(rtx, nets.digits(tmp_path / "a.onnx"), nets.IMAGE, **settings).engine_bytes > 50_000
    )


@pytest.mark.parametrize("pair", CONFLICTS)
def test_what_a_recipe_is_refused_together_is_refused_by_tensorrt(
    rtx: Flavour, tmp_path: Path, pair: tuple[str, str]
) -> None:
    error = failure(rtx, nets.digits(tmp_path / "a.onnx"), nets.IMAGE, **together(*pair))
    assert "not supported when multiple" in error.what or "is not compatible" in error.what


@pytest.mark.parametrize("names", [["mixer"], ["mix*"]])
def test_an_attention_is_made_decomposable(rtx: Flavour, tmp_path: Path, names: list[str]) -> None:
    model = nets.attention(tmp_path / "a.onnx")
    assert built(rtx, model, decomposable_attentions=names).engine_bytes > 10_000
    with recording(rtx) as log:
        parsed = parse_onnx(log, model)
        settings = {"decomposable_attentions": names}
        apply_to_network(rtx, parsed.network, parsed.builder.create_builder_config(), settings)
        (attention,) = _attentions_in(rtx, parsed.network)
        assert attention.decomposable


@pytest.mark.parametrize("key", NEEDS_GPU)
def test_what_needs_a_gpu_is_explained(rtx: Flavour, tmp_path: Path, key: str) -> None:
    error = failure(rtx, nets.digits(tmp_path / "digits.onnx"), nets.IMAGE, **NEEDS_GPU[key])
    assert "refittable and stripped engines only on a GPU" in error.what


def test_several_profiles_are_in_the_engine_and_in_what_is_said_of_it(
    rtx: Flavour, tmp_path: Path
) -> None:
    found = built(rtx, nets.digits(tmp_path / "a.onnx"), nets.IMAGE, **BUILDS["profiles"])
    assert [profile[0].max[0] for profile in found.profiles] == [1, 16]
    one = built(rtx, nets.digits(tmp_path / "b.onnx"), nets.IMAGE)
    assert len(one.profiles) == 1
    assert found.engine_bytes > one.engine_bytes


def test_an_input_that_a_profile_leaves_out_keeps_its_shapes(rtx: Flavour, tmp_path: Path) -> None:
    found = built(rtx, nets.digits(tmp_path / "a.onnx"), nets.IMAGE, profiles=[{}])
    assert found.ranges[0].max == nets.IMAGE.max


def test_a_marked_tensor_is_an_output(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "a.onnx")
    found = built(rtx, model, nets.IMAGE, mark_outputs=["r"], io_formats={"r": ["linear"]})
    assert [item.name for item in found.outputs] == ["logits", "r"]


@pytest.mark.parametrize(
    ("options", "where", "hint"),
    [
        ({"mark_outputs": ["logit"]}, "build.mark_outputs", "did you mean 'logits'?"),
        ({"decomposable_attentions": ["mixer"]}, "build.decomposable_attentions", "names are"),
        ({"debug_tensors": ["x9"]}, "build.debug_tensors", "names are those of the model"),
        ({"io_formats": {"imag": ["hwc8"]}}, "build.io_formats", "did you mean 'image'?"),
        (
            {"refit": "individual", "refit_weights": ["matrx"]},
            "build.refit_weights",
            "initializers",
        ),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_nearest(
    rtx: Flavour, tmp_path: Path, options: dict[str, Any], where: str, hint: str
) -> None:
    error = failure(rtx, nets.digits(tmp_path / "a.onnx"), nets.IMAGE, **options)
    assert error.where == where
    assert hint in error.hint


def test_a_layout_that_the_type_does_not_have_is_explained(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "a.onnx")
    error = failure(rtx, model, nets.IMAGE, io_formats={"image": ["hwc8"]})
    assert "does not go with its tensor's type" in error.what
    assert "build.io_formats" in error.hint


def test_the_stage_writes_the_profiles_down(tmp_path: Path) -> None:
    from tests.stages.test_build import IMAGE, run

    options = BUILDS["profiles"]
    run(nets.digits(tmp_path / "a.onnx"), tmp_path / "outputs", IMAGE, **options)
    info = json.loads((tmp_path / "outputs/build.json").read_text())
    assert info["profiles"] == options["profiles"]
    assert info["inputs"][0]["max"] == [1, 1, 8, 8]


def test_a_profile_is_compared_with_the_network_too(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "a.onnx", batch=4)
    four = replace(nets.IMAGE, min=(4, 1, 8, 8), opt=(4, 1, 8, 8), max=(4, 1, 8, 8))
    profile = {"image": {"min": [1, 1, 8, 8], "opt": [4, 1, 8, 8], "max": [4, 1, 8, 8]}}
    error = failure(rtx, model, four, profiles=[profile])
    assert "is static in dimension 0" in error.what
