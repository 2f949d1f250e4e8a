"""The build stage, run as the child process runs it, on small models and on published ones."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.published import MODELS, needs_models
from tests.trt import nets
from trtbuild.errors import MissingPackage, StageError
from trtbuild.stages import STAGES, build
from trtbuild.stages.base import StageContext
from trtbuild.trt.flavour import load_backend

IMAGE = {
    "name": "image",
    "dtype": "float32",
    "min": [1, 1, 8, 8],
    "opt": [4, 1, 8, 8],
    "max": [16, 1, 8, 8],
}


@dataclass
class Heard:
    """A reporter that keeps what it is told."""

    told: list[tuple[str, float | None]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, text: str, fraction: float | None = None) -> None:
        self.told.append((text, fraction))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def run(model: Path, outputs: Path, *inputs: dict[str, Any], **options: Any) -> Heard:
    """The stage on a model, with every option that a plan gives it."""
    outputs.mkdir()
    reporter = Heard()
    plain: dict[str, Any] = {
        "backend": "tensorrt_rtx",
        "precision": "fp32",
        "inputs": list(inputs),
        "workspace": None,
        "optimization_level": None,
        "compute_capabilities": [],
        "tf32": True,
    }
    build.run(StageContext(plain | options, {"model": model}, outputs, outputs, reporter))
    return reporter


def shaped(name: str, dtype: str, *shapes: list[int]) -> dict[str, Any]:
    low, opt, high = shapes if len(shapes) == 3 else shapes * 3
    return {"name": name, "dtype": dtype, "min": low, "opt": opt, "max": high}


def test_a_build_writes_the_files_that_the_stage_declares(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    heard = run(nets.digits(tmp_path / "model.onnx"), outputs, IMAGE)
    declared = {name for output in STAGES["build"].outputs for name in output.files}
    assert {path.name for path in outputs.iterdir()} == declared - {"timing.cache"}
    version = load_backend("tensorrt_rtx").version
    assert json.loads((outputs / "build.json").read_text()) == {
        "backend": "tensorrt_rtx",
        "version": version,
        "kind": "rtx",
        "precision": "fp32",
        "inputs": [IMAGE],
        "outputs": [{"name": "logits", "dtype": "float32", "shape": [-1, 10]}],
        "layers": 11,
        "tensor_types": {"float32": 5, "int64": 6},
        "engine_bytes": (outputs / "engine.plan").stat().st_size,
        "warnings": [],
    }
    assert (outputs / "engine.plan").read_bytes()[:4] == b"vtrt"
    assert "[VERBOSE] " in (outputs / "build.log").read_text()
    assert heard.told[0] == ("parsing the ONNX file", None)
    assert heard.told[-1] == ("Building engine", 1.0)
    assert heard.warnings == []


def test_build_json_depends_on_nothing_but_model_options_and_engine(tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "model.onnx")
    infos = []
    for name in ("one", "two"):
        run(model, tmp_path / name, IMAGE)
        text = (tmp_path / name / "build.json").read_text()
        infos.append(re.sub(r'"engine_bytes": \d+', "", text))
    assert infos[0] == infos[1]


def test_static_inputs_and_inputs_of_values_are_written_down(tmp_path: Path) -> None:
    run(nets.digits(tmp_path / "static.onnx", batch=2), tmp_path / "static")
    static = json.loads((tmp_path / "static" / "build.json").read_text())
    assert static["inputs"] == [shaped("image", "float32", [2, 1, 8, 8])]

    model = nets.written(tmp_path / "range.onnx", nets.RANGE)
    run(model, tmp_path / "range", shaped("n", "int64", []) | {"range": [1, 9]})
    values = json.loads((tmp_path / "range" / "build.json").read_text())
    assert values["inputs"] == [
        shaped("n", "int64", []) | {"values": {"min": [1], "opt": [4], "max": [8]}}
    ]
    told = shaped("n", "int64", []) | {"values": {"min": [1], "opt": [2], "max": [8]}}
    run(model, tmp_path / "values", told)
    assert json.loads((tmp_path / "values" / "build.json").read_text())["inputs"] == [told]


@pytest.mark.parametrize(("base", "warned"), [("FLOAT16", 1), ("BFLOAT16", 0), ("FLOAT", 0)])
def test_int8_on_fp16_may_overflow_where_rtx_runs_it(
    tmp_path: Path, base: str, warned: int
) -> None:
    kind = TensorProto.DataType.Value(base)
    text = f"""g (float[2, 8] x) => (float[2, 8] y) {{
        scale = Constant <value = float {{0.1}}> ()
        s = Cast <to = {kind}> (scale)
        zero = Constant <value = int8 {{0}}> ()
        h = Cast <to = {kind}> (x)
        q = QuantizeLinear(h, s, zero)
        d = DequantizeLinear(q, s, zero)
        r = Relu(d)
        y = Cast <to = 1> (r)
    }}"""
    model = nets.written(tmp_path / "model.onnx", text)
    heard = run(model, tmp_path / "outputs", shaped("x", "float32", [2, 8]))
    assert len([text for text in heard.warnings if "base: bf16" in text]) == warned


def test_warnings_of_the_builder_reach_the_user_and_build_json(tmp_path: Path) -> None:
    """Shapes at min that break a node are a warning: such an engine fails at these shapes only."""
    text = """g (float[1, 4] a, int64 n) => (float[B, 4] y) {
        zero = Constant <value = int64[1] {0}> ()
        four = Constant <value = int64[1] {4}> ()
        rows = Unsqueeze(n, zero)
        shape = Concat <axis = 0> (rows, four)
        y = Expand(a, shape)
    }"""
    model = nets.written(tmp_path / "model.onnx", text)
    count = shaped("n", "int64", []) | {"range": [-3, 9]}
    heard = run(model, tmp_path / "outputs", shaped("a", "float32", [1, 4]), count)
    (warning,) = json.loads((tmp_path / "outputs" / "build.json").read_text())["warnings"]
    assert "Profile kMIN values are not self-consistent" in warning
    assert heard.warnings == [f"{load_backend('tensorrt_rtx').title}: {warning}"]


def test_a_half_precision_model_is_built_from_float32_inputs_of_the_recipe(
    tmp_path: Path,
) -> None:
    model = nets.digits(tmp_path / "model.onnx", dtype=np.float16)
    run(model, tmp_path / "outputs", IMAGE, precision="fp16")
    info = json.loads((tmp_path / "outputs" / "build.json").read_text())
    assert info["inputs"] == [IMAGE | {"dtype": "float16"}]
    assert info["tensor_types"] == {"float16": 5, "int64": 6}


def test_options_reach_the_builder(tmp_path: Path) -> None:
    model = nets.digits(tmp_path / "model.onnx")
    options: dict[str, Any] = {"optimization_level": 0, "compute_capabilities": ["86", "89"]}
    run(model, tmp_path / "outputs", IMAGE, workspace=1 << 26, tf32=False, **options)
    with pytest.raises(StageError, match="the workspace is too small"):
        run(model, tmp_path / "small", IMAGE, workspace=1 << 20)
    with pytest.raises(StageError, match=r"build\.compute_capabilities: .* 90"):
        run(model, tmp_path / "unknown", IMAGE, compute_capabilities=["90"])
    with pytest.raises(StageError, match=r"build\.optimization_level: .* does not take 7"):
        run(model, tmp_path / "level", IMAGE, optimization_level=7)


def test_a_failed_build_leaves_its_log_and_no_engine(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="refuses 4 nodes"):
        run(nets.refused(tmp_path / "model.onnx"), tmp_path / "outputs")
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["build.log"]
    assert "While parsing node number 1" in (tmp_path / "outputs" / "build.log").read_text()


def test_a_backend_that_is_missing_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPackage, match=r"pip install 'trtbuild\[tensorrt\]'"):
        run(nets.digits(tmp_path / "m.onnx"), tmp_path / "outputs", IMAGE, backend="tensorrt")


@needs_models
def test_magika_builds(tmp_path: Path) -> None:
    ids = shaped("bytes", "int32", [1, 2048], [8, 2048], [32, 2048])
    run(MODELS / "magika.onnx", tmp_path / "outputs", ids)
    info = json.loads((tmp_path / "outputs" / "build.json").read_text())
    assert info["outputs"] == [{"name": "target_label", "dtype": "float32", "shape": [-1, 214]}]
    assert info["engine_bytes"] > 3_000_000


@needs_models
def test_the_control_flow_of_silero_vad_is_named_with_what_decides_it(tmp_path: Path) -> None:
    inputs = (
        shaped("input", "float32", [1, 576], [1, 576], [4, 576]),
        shaped("state", "float32", [2, 1, 128], [2, 1, 128], [2, 4, 128]),
        shaped("sr", "int64", []),
    )
    model = MODELS / "silero_vad_if.onnx"
    with pytest.raises(StageError) as caught:
        run(model, tmp_path / "outputs", *inputs)
    first, nodes, message = caught.value.what.splitlines()
    assert first.startswith("the model holds control flow that TensorRT-RTX")
    assert nodes.startswith(
        "  If (12 nodes): '/model/decoder/If' (decided by the shape of 'input'), "
        "'/model/decoder/If_1' (decided by the shape of 'state'), "
        "'/model/If' (decided by the shape of 'input', 'state'); "
        "within branches '/model/decoder/rnn/If'"
    )
    assert "ScopeType::kUNDEFINED" in message
    assert "make the shape of 'input', 'state' static ({op: set_dims})" in caught.value.hint
    assert "fold_constants" in caught.value.hint


@needs_models
def test_operators_of_classical_models_are_refused_by_name(tmp_path: Path) -> None:
    model = MODELS / "logreg_iris.onnx"
    with pytest.raises(StageError) as caught:
        run(model, tmp_path / "outputs", shaped("float_input", "float32", [3, 2]))
    assert caught.value.what.splitlines()[1:] == [
        "  LinearClassifier (1 node: 'LinearClassifier'): the operator is not supported",
        "  Normalizer (1 node: 'Normalizer'): the operator is not supported",
        "  ZipMap (1 node: 'ZipMap'): the operator is not supported",
    ]
    assert caught.value.hint
