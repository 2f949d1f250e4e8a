"""The builder's options: set, read back, and refused in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from trtbuild.errors import StageError
from trtbuild.recipe.build_options import value_at
from trtbuild.recipe.build_table import OPTIONS, option
from trtbuild.trt import settings as module
from trtbuild.trt.flavour import Flavour, load_backend
from trtbuild.trt.logger import recording
from trtbuild.trt.network_settings import _WRITERS
from trtbuild.trt.settings import Settings, apply_settings

ELSEWHERE = {
    "profiles": "builder.py",
    "plugins.static": "plugins.py",
    "plugins.dynamic": "plugins.py",
    "plugins.serialize": "plugins.py",
    "timing_cache.file": "timing_cache.py",
    "timing_cache.tactics": "tactics.py",
    "device": "the parent, which chooses the GPU that the stage sees",
}
"""Options that neither a builder config nor a network is told of, and where they are used."""

CHANGED: dict[str, Any] = {
    "workspace": 1 << 24,
    "memory_pools": {"tactic_dram": 1 << 30, "tactic_shared_memory": 48 << 10},
    "optimization_level": 5,
    "max_tactics": 7,
    "avg_timing_iterations": 4,
    "tiling_level": "moderate",
    "l2_limit_for_tiling": 1 << 20,
    "max_aux_streams": 0,
    "compute_capabilities": ["86", "120"],
    "engine_capability": "safety",
    "refit": "all",
    "strip_weights": True,
    "weight_streaming": True,
    "sparsity": True,
    "tf32": False,
    "strict_nans": True,
    "distributive_independence": True,
    "direct_io": True,
    "monitor_memory": True,
    "compilation_cache": False,
    "timing_cache": {"enabled": False, "error_on_miss": True, "editable": True},
    "tactic_sources": {"edge_mask_convolutions": False, "jit_convolutions": True},
    "preview": {"aliased_plugin_io_10_03": True, "runtime_activation_resize_10_10": False},
    "profiling_verbosity": "detailed",
    "debug_synchronously": True,
    "user_allocation": True,
}
"""A value other than the default of every option that RTX's builder config holds."""

REFUSED = {
    *("memory_pools.dla_managed_sram", "memory_pools.dla_local_dram"),
    *("memory_pools.dla_global_dram", "dla.core", "dla.gpu_fallback", "build_route"),
    *("hardware_compatibility", "runtime_platform", "version_compatible"),
    *("exclude_lean_runtime", "tactic_sources.cublas", "tactic_sources.cublas_lt"),
    *("tactic_sources.cudnn", "preview.profile_sharing_0806", "preview.multidevice_runtime_10_16"),
}
"""Options of a builder config that a recipe for RTX is refused."""


def config_with(rtx: Flavour, settings: Settings) -> Any:
    with recording(rtx) as log:
        builder = log.create("Builder")
        config = builder.create_builder_config()
        apply_settings(rtx, config, settings)
    return config


def refusal(rtx: Flavour, **options: Any) -> str:
    with pytest.raises(StageError) as caught:
        config_with(rtx, options)
    return str(caught.value)


def way(key: str) -> Any:
    return module._OWN.get(key) or module._WAYS.get(option(key).kind)


@pytest.mark.parametrize("key", [row.key for row in OPTIONS])
def test_every_option_is_used_in_one_place(key: str) -> None:
    places = [way(key), key in _WRITERS, option(key).kind == "parser", key in ELSEWHERE]
    assert sum(map(bool, places)) == 1


def test_what_is_not_tried_here_is_refused_to_rtx() -> None:
    tried = {row.key for row in OPTIONS if value_at(CHANGED, row.path) is not None}
    of_config = {row.key for row in OPTIONS if way(row.key)}
    assert tried == of_config - REFUSED
    never = {row.key for row in OPTIONS if row.where.never("tensorrt_rtx")}
    assert never >= REFUSED


def test_what_is_set_can_be_read_back_and_was_not_so_before(rtx: Flavour) -> None:
    config = config_with(rtx, CHANGED)
    untouched = config_with(rtx, {})
    for row in OPTIONS:
        value = value_at(CHANGED, row.path)
        if value is not None:
            assert way(row.key).read(rtx, config, row) == value, row.key
            # Two pools are as large anyway where the GPU is unknown, and jit is on.
            if row.key not in ("memory_pools.tactic_dram", "tactic_sources.jit_convolutions"):
                assert way(row.key).read(rtx, untouched, row) != value, row.key


@pytest.mark.parametrize("value", ["individual", "identical", "all", "none"])
def test_each_kind_of_refit_is_a_flag_of_its_own(rtx: Flavour, value: str) -> None:
    config = config_with(rtx, {"refit": value})
    flags = rtx.module.BuilderFlag
    names = {"individual": "REFIT_INDIVIDUAL", "identical": "REFIT_IDENTICAL", "all": "REFIT"}
    for name, member in names.items():
        assert config.get_flag(getattr(flags, member)) == (name == value)


def test_current_is_a_compute_capability_of_its_own(rtx: Flavour) -> None:
    config = config_with(rtx, {"compute_capabilities": ["current"]})
    assert config.get_compute_capability(0) == rtx.module.ComputeCapability.CURRENT


@pytest.mark.parametrize(("level", "instead"), [(6, 5), (-1, 3)])
def test_a_level_that_is_silently_changed_is_refused(
    rtx: Flavour, level: int, instead: int
) -> None:
    assert refusal(rtx, optimization_level=level) == (
        f"build.optimization_level: {rtx.title} does not take {level}: it is {instead} instead"
    )


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"exclude_lean_runtime": True}, "build.exclude_lean_runtime: "),
        ({"runtime_platform": "windows_amd64"}, "build.runtime_platform: "),
        ({"hardware_compatibility": "ampere_plus"}, "build.hardware_compatibility: "),
        ({"memory_pools": {"dla_managed_sram": 1 << 20}}, "build.memory_pools.dla_managed_sram: "),
        ({"dla": {"core": 1}}, "build.dla.core: "),
        ({"build_route": "-x=1"}, "build.build_route: "),
    ],
)
def test_what_a_setter_only_logs_is_refused(
    rtx: Flavour, options: dict[str, Any], where: str
) -> None:
    told = refusal(rtx, **options)
    assert told.startswith(where)
    has = all(map(rtx.has, option(where.removeprefix("build.").partition(":")[0]).needs))
    assert ("does not take" if has else "has no such option") in told


def test_current_beside_another_compute_capability_is_refused(rtx: Flavour) -> None:
    assert "'current' cannot stand beside" in refusal(rtx, compute_capabilities=["86", "current"])


def test_an_unknown_compute_capability_is_refused_with_the_known_ones(rtx: Flavour) -> None:
    newest = ", 121" if rtx.has("ComputeCapability.SM121") else ""
    assert refusal(rtx, compute_capabilities=["86", "90"]) == (
        f"build.compute_capabilities: {rtx.title} does not know compute capability 90\n"
        f"  hint: choose from 75, 80, 86, 89, 120{newest}, or current"
    )


def test_an_option_that_a_flavour_lacks_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("__version__ = '10.3.0'\nclass Builder: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    flavour = load_backend("tensorrt")
    with pytest.raises(StageError) as caught:
        apply_settings(flavour, None, {"compute_capabilities": ["86"]})
    assert str(caught.value) == (
        "build.compute_capabilities: TensorRT 10.3.0 has no such option\n"
        "  hint: leave compute_capabilities out, or choose tensorrt_rtx; it is in TensorRT-RTX"
    )
