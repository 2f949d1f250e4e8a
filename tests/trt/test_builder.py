"""Real engines, and real refusals of the builder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trt import nets
from tests.trt.marks import since_1_7
from trtbuild.errors import StageError
from trtbuild.recipe.model import Input
from trtbuild.trt.builder import Built, Order, build_engine
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.header import read_plan_header
from trtbuild.trt.logger import recording
from trtbuild.trt.parser import parse_onnx
from trtbuild.trt.settings import apply_settings


def quiet(text: str, fraction: float | None) -> None:
    """Progress that nobody follows."""


def built(
    rtx: Flavour, model: Path, *inputs: Input, precision: str = "fp32", **settings: Any
) -> Built:
    with recording(rtx) as log:
        order = Order(model, inputs, precision, settings)
        return build_engine(log, order, model.with_suffix(".plan"), quiet)


def failure(rtx: Flavour, model: Path, *inputs: Input, **settings: Any) -> StageError:
    with pytest.raises(StageError) as caught:
        built(rtx, model, *inputs, **settings)
    assert not model.with_suffix(".plan").exists()
    return caught.value


def test_an_engine_is_a_pure_plan_of_this_version(rtx: Flavour, tmp_path: Path) -> None:
    found = built(rtx, nets.digits(tmp_path / "digits.onnx"), nets.IMAGE)
    header = read_plan_header(tmp_path / "digits.plan")
    assert (header.kind, header.version, header.offset) == ("tensorrt_rtx", rtx.version, 0)
    assert header.size == found.engine_bytes == (tmp_path / "digits.plan").stat().st_size
    assert [(item.name, item.dtype, item.shape) for item in found.outputs] == [
        ("logits", "float32", (-1, 10))
    ]
    assert found.layers == sum(found.tensor_types.values()) == 11
    assert found.warnings == ()


def test_a_static_model_needs_no_shapes(rtx: Flavour, tmp_path: Path) -> None:
    found = built(rtx, nets.digits(tmp_path / "digits.onnx", batch=4))
    assert found.ranges == ()
    assert found.inputs[0].shape == (4, 1, 8, 8)


def test_a_lowered_model_is_built_in_its_own_types(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "half.onnx", dtype=np.float16)
    found = built(rtx, model, nets.IMAGE, precision="fp16")
    assert found.inputs[0].dtype == found.outputs[0].dtype == "float16"
    assert "float32" not in found.tensor_types


def test_a_value_that_decides_a_shape_is_built_for_its_range(rtx: Flavour, tmp_path: Path) -> None:
    count = Input("n", "int64", (), (), (), None, (1, 9))
    found = built(rtx, nets.written(tmp_path / "range.onnx", nets.RANGE), count)
    assert [(item.min, item.max, item.of_values) for item in found.ranges] == [((1,), (8,), True)]


def test_control_flow_that_can_be_built_is_built(rtx: Flavour, tmp_path: Path) -> None:
    inputs = (
        Input("c", "bool", (), (), (), None, None),
        Input("x", "float32", (1, 4), (2, 4), (8, 4), None, None),
    )
    assert built(rtx, nets.written(tmp_path / "branch.onnx", nets.BRANCH), *inputs).layers == 5


def test_control_flow_that_cannot_be_built_is_named(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.written(tmp_path / "ranks.onnx", nets.RANKS)
    error = failure(rtx, model, Input("c", "bool", (), (), (), None, None))
    first, second, third = error.what.splitlines()
    assert first == f"the model holds control flow that {rtx.title} cannot build:"
    assert second == "  If (1 node): the one that makes 'y' (decided by the value of 'c')"
    assert "Must have inputs with equal ranks" in third
    assert "export the model for one value of 'c'" in error.hint


@pytest.mark.parametrize("level", [0, 5])
@pytest.mark.parametrize("capabilities", [["86"], ["80", "86", "89", "120"]])
def test_levels_and_compute_capabilities_build(
    rtx: Flavour, tmp_path: Path, level: int, capabilities: list[str]
) -> None:
    model = nets.digits(tmp_path / "digits.onnx")
    settings: dict[str, Any] = {
        "optimization_level": level,
        "compute_capabilities": capabilities,
        "tf32": False,
        "workspace": 1 << 26,
    }
    assert built(rtx, model, nets.IMAGE, **settings).engine_bytes > 100_000


def test_a_workspace_that_is_too_small_says_so_and_how_much_is_usual(
    rtx: Flavour, tmp_path: Path
) -> None:
    error = failure(rtx, nets.digits(tmp_path / "digits.onnx"), nets.IMAGE, workspace=1 << 20)
    first, second = error.what.splitlines()
    assert first == (
        f"{rtx.title} cannot build the engine: the workspace is too small for every "
        "implementation of an operation"
    )
    assert "no tactics to implement the operation within workspace limit" in second
    assert error.hint.startswith("raise build.workspace (from 16MiB")


@since_1_7
def test_turing_says_which_node_it_cannot_take(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "digits.onnx")
    error = failure(rtx, model, nets.IMAGE, compute_capabilities=["75", "86"])
    assert "'head' is one" in error.what
    assert "take 75 out" in error.hint


def test_the_current_gpu_says_that_there_is_none(rtx: Flavour, tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "digits.onnx")
    error = failure(rtx, model, nets.IMAGE, compute_capabilities=["current"])
    assert "'current' needs the GPU that is meant, and there is none" in error.what
    assert "name the compute capabilities" in error.hint


def test_every_wrong_input_is_told_before_the_build(rtx: Flavour, tmp_path: Path) -> None:
    wrong = replace(nets.IMAGE, name="imge")
    error = failure(rtx, nets.digits(tmp_path / "digits.onnx"), wrong)
    assert "'imge' is no input of the model" in error.what
    assert "did you mean 'image'?" in error.hint


def test_an_error_that_is_only_logged_fails_the_build(rtx: Flavour, tmp_path: Path) -> None:
    """The engine is there, and is not what was asked for."""
    model = nets.digits(tmp_path / "digits.onnx")
    with recording(rtx) as log:
        builder = log.create("Builder")
        config = builder.create_builder_config()
        config.set_flag(rtx.module.BuilderFlag.EXCLUDE_LEAN_RUNTIME)
        order = Order(model, (nets.IMAGE,), "fp32", {})
        with pytest.raises(StageError, match="kEXCLUDE_LEAN_RUNTIME can only be set if"):
            build_engine(log, order, tmp_path / "engine.plan", quiet)
    assert not (tmp_path / "engine.plan").exists()


def test_a_disk_that_is_full_is_told_with_the_size_of_the_engine(
    rtx: Flavour, tmp_path: Path
) -> None:
    model = nets.digits(tmp_path / "digits.onnx", batch=1)
    with recording(rtx) as log, pytest.raises(StageError) as caught:
        build_engine(log, Order(model, (), "fp32", {}), Path("/dev/full"), quiet)
    assert caught.value.where == "/dev/full"
    assert "bytes) cannot be written: No space left on device" in caught.value.what


def test_an_error_in_the_log_fails_a_build_that_gives_an_engine_all_the_same(
    rtx: Flavour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT-RTX only logs that it does not build for Windows, and builds."""
    model = nets.digits(tmp_path / "digits.onnx", batch=4)
    windows = rtx.module.RuntimePlatform.WINDOWS_AMD64
    with recording(rtx) as log:
        parsed = parse_onnx(log, model)
        config = parsed.builder.create_builder_config()
        config.runtime_platform = windows
        assert parsed.builder.build_serialized_network(parsed.network, config) is not None
        assert len(log.errors) == 1

    def for_windows(flavour: Flavour, config: Any, settings: Any) -> None:
        apply_settings(flavour, config, settings)
        config.runtime_platform = windows

    monkeypatch.setattr("trtbuild.trt.builder.apply_settings", for_windows)
    assert "setRuntimePlatform: Error Code 3" in failure(rtx, model).what
