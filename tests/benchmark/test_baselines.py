"""Baselines where there is no GPU: ONNX Runtime on the CPU, and what cannot be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from trtbuild.benchmark.baselines import (
    Source,
    make_baseline,
    measure_baselines,
    require_same,
    speedup,
)
from trtbuild.benchmark.interleave import Rounds, Subject, Timed
from trtbuild.benchmark.onnx_subject import OnnxSubject
from trtbuild.benchmark.settings import Settings
from trtbuild.errors import StageError

QUICK = Settings(rounds=8, round_ms=2)
MODEL = """<ir_version: 9, opset_import: ["": 20]>
agraph (float[n, 4] x) => (float[n, 4] y) { y = Relu(x) }"""
VALUES = {"x": np.ones((2, 4), np.float32)}


class Constant:
    """A subject whose queries take a known time."""

    name = "engine"
    version = "1"

    def __init__(self, ms: float) -> None:
        self._ms = ms

    def run(self, queries: int) -> Timed:
        return Timed(np.full(queries, self._ms), np.full(queries, self._ms))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(parser.parse_model(MODEL), str(path))
    return path


def source(**changes: Any) -> Source:
    given: dict[str, Any] = {"options": None, "files": {}, "folder": Path(), "onnx": None}
    return Source(**(given | changes))


def test_onnxruntime_runs_on_the_cpu_and_has_no_gpu_times(model: Path) -> None:
    subject = OnnxSubject(model, VALUES, {}, provider="cpu", threads=1)
    timed = subject.run(5)
    assert subject.name == "ONNX Runtime CPU"
    assert len(timed.wall) == 5
    assert (timed.wall > 0).all()
    assert len(timed.gpu) == 0


def test_an_engines_narrower_inputs_are_widened_for_the_source_model(model: Path) -> None:
    narrow = {"x": VALUES["x"].astype(np.float16)}
    assert len(OnnxSubject(model, narrow, {}, provider="cpu", threads=1).run(1).wall) == 1


def test_cuda_is_refused_where_onnxruntime_has_none(model: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(StageError, match="has no CUDA"):
        OnnxSubject(model, VALUES, {}, provider="cuda", threads=None)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_cuda_that_cannot_be_loaded_is_never_called_cuda(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    # As onnxruntime-gpu on a machine without CUDA's libraries says, and then runs on the CPU.
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    with pytest.raises(StageError, match="cannot be loaded"):
        OnnxSubject(model, VALUES, {}, provider="cuda", threads=None)
    assert OnnxSubject(model, VALUES, {}, provider=None, threads=None).name == "ONNX Runtime CPU"


def test_onnxruntime_runs_the_variants_graph_where_it_is_asked_to(
    model: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half.onnx"
    text = MODEL.replace("y = Relu(x)", "h = Cast<to = 10>(x) r = Relu(h) y = Cast<to = 1>(r)")
    onnx.save(parser.parse_model(text), str(half))
    spec: Any = {"kind": "onnxruntime", "provider": "cpu", "graph": "variant"}
    subject = make_baseline(spec, source(onnx=model, variant=half), VALUES)
    assert subject.name == "ONNX Runtime CPU, the variant's graph"
    assert len(subject.run(2).wall) == 2
    with pytest.raises(StageError, match="no ONNX model of the variant"):
        make_baseline(spec, source(onnx=model), VALUES)


def test_a_module_that_computes_something_else_is_no_baseline(model: Path) -> None:
    """The model is a Relu; what it gives may stand among other outputs, a little off."""
    inputs = {"x": np.array([[-1, 2, -3, 4]], np.float32)}
    right = np.array([[0, 2.001, 0, 4]], np.float32)
    require_same([np.ones(3, np.float32), right], model, inputs, {})
    with pytest.raises(StageError, match=r"no output is like 'y' \(\[1, 4\]\).*cosine of 0.8165"):
        require_same([inputs["x"]], model, inputs, {})
    with pytest.raises(StageError, match="the nearest has a cosine of -1"):
        require_same([right[0]], model, inputs, {})
    tiny = {"x": np.full((1, 4), 1e-4, np.float32)}
    require_same([np.array([[0, 0, 0, 1e-4]], np.float32)], model, tiny, {})


def test_baselines_are_measured_in_turn_and_compared_by_the_hosts_clock(model: Path) -> None:
    def make(spec: Any) -> Subject:
        return make_baseline(spec, source(onnx=model), VALUES)

    specs: list[Any] = [{"kind": "onnxruntime", "provider": "cpu", "threads": 1}]
    found: Any = measure_baselines(Constant(1000.0), specs, make, QUICK, pytest.fail)
    (other,) = found["others"]
    assert found["engine"]["gpu_ms"]["median"] == 1000.0
    assert other["gpu_ms"] is None
    assert other["speedup"]["gpu"] is None
    assert 0 < other["speedup"]["wall"]["high"] < 0.1  # microseconds against a second


def test_a_baseline_that_cannot_be_run_is_told_and_left_out() -> None:
    warned: list[str] = []

    def make(spec: Any) -> Subject:
        return make_baseline(spec, source(options={"kind": "onnx"}), VALUES)

    specs: list[Any] = [{"kind": "onnxruntime"}, {"kind": "torch"}]
    found: Any = measure_baselines(Constant(1.0), specs, make, QUICK, warned.append)
    assert found["others"] == []
    assert [each["reason"] for each in found["missing"]] == [
        "there is no ONNX model to run",
        "the recipe's model is no PyTorch model",
    ]
    assert warned[0] == "the baseline onnxruntime is left out: there is no ONNX model to run"


def test_an_error_of_the_other_runtime_is_told_by_its_first_line() -> None:
    def make(_spec: Any) -> Subject:
        raise RuntimeError("no kernel image\nand a page of details")

    found: Any = measure_baselines(
        Constant(1.0), [{"kind": "torch"}], make, QUICK, lambda _text: None
    )
    reason = "RuntimeError: no kernel image"
    assert found["missing"] == [{"kind": "torch", "options": {}, "reason": reason}]


def test_a_baseline_that_fails_on_the_way_does_not_take_the_others_along() -> None:
    class Failing(Constant):
        def run(self, queries: int) -> Timed:
            if self.ran:
                raise RuntimeError("out of memory")
            self.ran = True
            return super().run(queries)

        ran = False

    warned: list[str] = []
    specs: list[Any] = [{"kind": "torch", "dtype": "float16"}, {"kind": "torch", "dtype": None}]
    found: Any = measure_baselines(
        Constant(1.0),
        specs,
        lambda spec: Failing(2.0) if spec["dtype"] else Constant(2.0),
        QUICK,
        warned.append,
    )
    assert [side["speedup"]["gpu"]["estimate"] for side in found["others"]] == [2.0]
    assert found["missing"][0]["options"] == {"dtype": "float16"}
    assert warned == ["the baseline torch (dtype float16) is left out: RuntimeError: out of memory"]


def test_pytorch_without_cuda_says_which_build_it_is(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this torch has CUDA")
    (tmp_path / "net.py").write_text("import torch\n\ndef net():\n    return torch.nn.ReLU()\n")
    options: Any = {"kind": "torch", "factory": "net.py:net", "kwargs": {}}
    with pytest.raises(StageError, match=r"this PyTorch \(.*\) has no CUDA device"):
        make_baseline({"kind": "torch"}, source(options=options, folder=tmp_path), VALUES)


def test_a_speedup_is_how_many_times_as_long_the_other_takes() -> None:
    engine, other = Rounds("engine"), Rounds("other")
    for _ in range(5):
        engine.wall.append(np.array([1.0, 1.0]))
        other.wall.append(np.array([3.0, 3.0]))
        engine.gpu.append(np.array([0.5]))
        other.gpu.append(np.empty(0))
    found: Any = speedup(engine, other)
    assert found["wall"] == {"estimate": 3.0, "low": 3.0, "high": 3.0}
    assert found["gpu"] is None


def test_each_point_compiles_the_module_for_its_own_shapes() -> None:
    import torch

    module, compiled = torch.nn.ReLU(), []

    def backend(graph: torch.fx.GraphModule, examples: list[Any]) -> Any:
        compiled.append([size for value in examples for size in value.shape])
        return graph.forward

    class Compiled(Constant):
        def run(self, queries: int) -> Timed:
            function(values)
            return super().run(queries)

    for rows in (2, 4, 8):
        values = torch.ones(rows, 4)
        function = torch.compile(module, backend=backend)
        measure_baselines(Constant(1.0), [{"kind": "torch"}], lambda _: Compiled(2.0), QUICK, print)
    assert compiled == [[2, 4], [4, 4], [8, 4]]
    assert all(type(size) is int for sizes in compiled for size in sizes)  # else it is made general
