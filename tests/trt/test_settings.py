"""The builder's options: set, read back, and refused in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from trtbuild.errors import StageError
from trtbuild.trt.flavour import Flavour, load_backend
from trtbuild.trt.logger import recording
from trtbuild.trt.settings import SETTINGS, Settings, apply_settings


def config_with(rtx: Flavour, settings: Settings) -> Any:
    with recording(rtx) as log:
        builder = log.create("Builder")
        config = builder.create_builder_config()
        apply_settings(rtx, config, settings)
    return config


def refusal(rtx: Flavour, **options: Any) -> str:
    with pytest.raises(StageError) as caught:
        config_with(rtx, Settings(**options))
    return str(caught.value)


def test_every_setting_has_its_row_in_the_table() -> None:
    assert {setting.key for setting in SETTINGS} == set(Settings.__dataclass_fields__)


def test_what_is_set_can_be_read_back(rtx: Flavour) -> None:
    wanted = Settings(1 << 24, 5, ("86", "120"), tf32=False)
    config = config_with(rtx, wanted)
    trt = rtx.module
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 1 << 24
    assert config.builder_optimization_level == 5
    assert config.num_compute_capabilities == 2
    assert config.get_compute_capability(1) == trt.ComputeCapability.SM120
    assert not config.get_flag(trt.BuilderFlag.TF32)


def test_what_is_not_set_stays_at_tensorrts_default(rtx: Flavour) -> None:
    plain = config_with(rtx, Settings())
    with recording(rtx) as log:
        builder = log.create("Builder")
        untouched = builder.create_builder_config()
    for setting in SETTINGS:
        assert setting.read(rtx, plain) == setting.read(rtx, untouched)


def test_current_is_a_compute_capability_of_its_own(rtx: Flavour) -> None:
    config = config_with(rtx, Settings(compute_capabilities=("current",)))
    assert config.get_compute_capability(0) == rtx.module.ComputeCapability.CURRENT


@pytest.mark.parametrize(("level", "instead"), [(6, 5), (-1, 3)])
def test_a_level_that_is_silently_changed_is_refused(
    rtx: Flavour, level: int, instead: int
) -> None:
    assert refusal(rtx, optimization_level=level) == (
        f"build.optimization_level: {rtx.title} does not take {level}: it is {instead} instead"
    )


def test_current_beside_another_compute_capability_is_refused(rtx: Flavour) -> None:
    assert "'current' cannot stand beside" in refusal(rtx, compute_capabilities=("86", "current"))


def test_an_unknown_compute_capability_is_refused_with_the_known_ones(rtx: Flavour) -> None:
    newest = ", 121" if rtx.has("ComputeCapability.SM121") else ""
    assert refusal(rtx, compute_capabilities=("86", "90")) == (
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
    only = Settings(compute_capabilities=("86",), tf32=True)
    row = next(setting for setting in SETTINGS if setting.key == "compute_capabilities")
    assert not flavour.has(row.needs)
    with pytest.raises(StageError) as caught:
        apply_settings(flavour, None, only)
    assert str(caught.value) == (
        "build.compute_capabilities: TensorRT 10.3.0 has no such option\n"
        "  hint: TensorRT builds for the GPU that it runs on: leave the key out, or use the "
        "backend tensorrt_rtx"
    )
