"""The benchmark stage on a GPU: every option, its files, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.gpu.nets import AFFINE, NONZERO, SCALAR, SLICE, Net, convolutions, random_inputs
from tests.gpu.stages import benchmark, run_benchmark
from trtbuild.cuda.probe import probe

Builder = Callable[[Net], Path]
SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "benchmark.schema.json").read_text())
SMALL = convolutions(layers=2, channels=16, batch=2)


def check(document: dict[str, Any]) -> dict[str, Any]:
    """The first point of a document that is as the schema says."""
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    first: dict[str, Any] = document["points"][0]
    for metric, summary in first["metrics"].items():
        assert summary["min"] <= summary["median"] <= summary["max"], metric
    assert first["queries"] >= 10
    return first


def test_a_result_is_as_its_schema_says_and_names_gpu_and_driver(
    engines: Builder, tmp_path: Path
) -> None:
    document = benchmark(engines(SMALL), tmp_path)
    point = check(document)
    facts = probe().devices[0]
    assert document["device"]["name"] == facts.name
    assert document["device"]["driver"] == facts.driver
    assert document["engine"]["size"] == engines(SMALL).stat().st_size
    assert point["shapes"] == {"x": [2, 16, 56, 56]}
    assert all(point["metrics"][name]["median"] > 0 for name in ("h2d", "gpu_compute", "d2h"))
    assert point["throughput"] > 0
    assert document["load"]["first_ms"] > 0


def test_without_transfers_the_latency_is_the_compute_time(
    engines: Builder, tmp_path: Path
) -> None:
    point = check(benchmark(engines(SMALL), tmp_path, transfers=False))
    assert point["metrics"]["h2d"]["max"] == 0
    assert point["metrics"]["d2h"]["max"] == 0
    assert point["metrics"]["latency"] == point["metrics"]["gpu_compute"]


def test_the_warm_up_and_the_duration_are_kept(engines: Builder, tmp_path: Path) -> None:
    point = check(benchmark(engines(SMALL), tmp_path, warmup_ms=200, duration_s=0.5))
    assert point["warmup_queries"] > 0
    assert 480 <= point["walltime_ms"] <= 700


def test_iterations_go_on_when_the_duration_is_over(engines: Builder, tmp_path: Path) -> None:
    point = check(benchmark(engines(SMALL), tmp_path, warmup_ms=0, duration_s=0, iterations=500))
    assert point["queries"] >= 500


@pytest.mark.parametrize(
    "options",
    [
        {"overlap": False},
        {"spin_wait": False},
        {"streams": 3},
        {"streams": 3, "threads": True},
        {"sleep_ms": 20},
        {"allocation": "profile"},
        {"allocation": "runtime"},
        {"persistent_cache_ratio": 0.5},
        {"kernel_specialization": "lazy"},
        {"kernel_specialization": "none"},
        {"provider": "cuda-python"},
        {"percentiles": [50, 99.9]},
    ],
    ids=str,
)
def test_every_option_is_measured_with(
    engines: Builder, tmp_path: Path, options: dict[str, Any]
) -> None:
    done = run_benchmark(engines(SMALL), tmp_path, **options)
    if done.error is not None and "no CUDA provider" in str(done.error):
        pytest.skip("cuda-python is not installed")
    assert done.error is None, f"{done.error}\n{done.log.read_text()[-3000:]}"
    document = json.loads((done.outputs / "benchmark.json").read_bytes())
    check(document)
    settings = {key: options[key] for key in options if key != "provider"}
    assert document["settings"] | settings == document["settings"]


def test_the_idle_time_lies_between_queries(engines: Builder, tmp_path: Path) -> None:
    point = check(benchmark(engines(SMALL), tmp_path, idle_ms=5, iterations=10))
    assert point["throughput"] < 400  # two in flight at most every 5 ms


@pytest.mark.parametrize("cuda_graph", [True, "capture", "runtime"])
def test_a_cuda_graph_is_used_or_its_absence_is_told(
    engines: Builder, tmp_path: Path, cuda_graph: bool | str
) -> None:
    point = check(benchmark(engines(SMALL), tmp_path, cuda_graph=cuda_graph))
    if point["cuda_graph"] == "none":
        assert any("without a CUDA graph" in text for text in point["warnings"])
    elif isinstance(cuda_graph, str):
        assert point["cuda_graph"] == cuda_graph


def test_several_shapes_are_measured_one_after_the_other(engines: Builder, tmp_path: Path) -> None:
    points = [{"name": f"batch={n}", "shapes": {"x": [n, 16]}} for n in (1, 64)]
    document = benchmark(engines(AFFINE), tmp_path, points=points)
    check(document)
    assert [point["name"] for point in document["points"]] == ["batch=1", "batch=64"]
    ratio = [p["samples_per_second"] / p["throughput"] for p in document["points"]]
    assert ratio == pytest.approx([1, 64])


@pytest.mark.parametrize("net", [SCALAR, SLICE, NONZERO], ids=lambda net: net.name)
def test_scalars_and_shapes_that_the_data_decides_can_be_measured(
    engines: Builder, tmp_path: Path, net: Net
) -> None:
    check(benchmark(engines(net), tmp_path))


def test_values_from_files_are_the_ones_that_are_measured(engines: Builder, tmp_path: Path) -> None:
    values = random_inputs(AFFINE, "opt")["x"]
    values.tofile(tmp_path / "x.raw")
    np.save(tmp_path / "x.npy", values)
    assert AFFINE.expected is not None
    for name in ("x.raw", "x.npy"):
        done = run_benchmark(
            engines(AFFINE), tmp_path, {"input.x": tmp_path / name}, export_outputs=True
        )
        assert done.error is None
        (written,) = json.loads((done.outputs / "output.json").read_bytes())
        assert (written["name"], written["dimensions"]) == ("y", "4x16")
        expected = AFFINE.expected(values)["y"].reshape(-1)
        assert np.allclose(written["values"], expected, rtol=1e-3)


def test_outputs_are_there_without_transfers_too(engines: Builder, tmp_path: Path) -> None:
    done = run_benchmark(engines(AFFINE), tmp_path, transfers=False, export_outputs=True)
    assert done.error is None
    (written,) = json.loads((done.outputs / "output.json").read_bytes())
    assert any(written["values"])


def test_trtexecs_files_are_written_when_asked_for(engines: Builder, tmp_path: Path) -> None:
    done = run_benchmark(
        engines(SMALL), tmp_path, export_times=True, export_layers=True, layer_profile=True
    )
    assert done.error is None, done.log.read_text()[-3000:]
    document = json.loads((done.outputs / "benchmark.json").read_bytes())
    point = check(document)
    times = json.loads((done.outputs / "times.json").read_bytes())
    assert len(times) == point["queries"]
    computes = sorted(row["computeMs"] for row in times)
    assert computes[0] == pytest.approx(point["metrics"]["gpu_compute"]["min"])
    starts = [row["startH2dMs"] for row in times]
    assert starts == sorted(starts)
    profile = json.loads((done.outputs / "profile.json").read_bytes())
    assert profile[0]["count"] >= 10
    assert sum(layer["percentage"] for layer in profile[1:]) == pytest.approx(100)
    assert "Layers" in json.loads((done.outputs / "layers.json").read_bytes())
    slowest = [layer["percentage"] for layer in point["layers"]]
    assert slowest == sorted(slowest, reverse=True)


def test_deserialising_is_timed(engines: Builder, tmp_path: Path) -> None:
    found = benchmark(engines(AFFINE), tmp_path, time_deserialize=True)["load"]["deserialize"]
    assert found["runs"] == 20
    assert 0 < found["min_ms"] <= found["median_ms"] <= found["max_ms"]


def test_compiled_kernels_are_kept_and_taken_again(engines: Builder, tmp_path: Path) -> None:
    first = run_benchmark(engines(SMALL), tmp_path, runtime_cache=True)
    if first.error is not None and "has no a runtime cache" in str(first.error):
        pytest.skip("this backend has none")
    assert first.error is None, first.log.read_text()[-3000:]
    cache = first.outputs / "runtime.cache"
    assert cache.stat().st_size > 0
    again = benchmark(engines(SMALL), tmp_path, {"runtime_cache": cache}, runtime_cache=True)
    assert again["runtime_cache_taken"] is True
    damaged = tmp_path / "damaged.cache"
    damaged.write_bytes(b"rubbish")
    other = benchmark(engines(SMALL), tmp_path, {"runtime_cache": damaged}, runtime_cache=True)
    assert other["runtime_cache_taken"] is False


def test_onnxruntime_is_a_baseline_and_one_that_cannot_run_is_told(
    engines: Builder, tmp_path: Path
) -> None:
    model = SMALL.save(tmp_path / "model.onnx")
    specs = [{"kind": "onnxruntime", "provider": "cpu", "threads": 1}, {"kind": "torch"}]
    document = benchmark(
        engines(SMALL), tmp_path, {"model": model}, baselines=specs, rounds=8, round_ms=20
    )
    found = check(document)["baselines"]
    (other,) = found["others"]
    assert other["name"] == "ONNX Runtime CPU"
    assert other["gpu_ms"] is None
    assert other["speedup"]["wall"]["estimate"] > 1
    assert found["missing"] == [
        {"kind": "torch", "options": {}, "reason": "the recipe's model is no PyTorch model"}
    ]


FACTORY = """
import torch

def net():
    return torch.nn.Sequential(
        torch.nn.Conv2d(16, 16, 3, padding=1, bias=False), torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, padding=1, bias=False), torch.nn.ReLU(),
    )
"""


@pytest.mark.slow
def test_pytorch_is_a_baseline_eager_and_compiled(engines: Builder, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    (tmp_path / "net.py").write_text(FACTORY)
    source = {"kind": "torch", "factory": "net.py:net", "kwargs": {}}
    specs = [{"kind": "torch"}, {"kind": "torch_compile"}, {"kind": "torch", "dtype": "float16"}]
    document = benchmark(
        engines(SMALL), tmp_path, source=source, baselines=specs, rounds=8, round_ms=20
    )
    found = check(document)["baselines"]
    assert found["missing"] == []
    assert [other["name"] for other in found["others"]] == [
        "PyTorch eager, float32, TF32",
        "PyTorch compiled (default), float32, TF32",
        "PyTorch eager, float16",
    ]
    assert all(other["speedup"]["gpu"]["estimate"] > 0 for other in found["others"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": [{"name": "x", "shapes": {"x": [65, 16]}}]}, "outside optimization profile 0"),
        ({"optimization_profile": 7}, "profile"),
        ({"weight_streaming_budget": "auto"}, "cannot stream its weights"),
        ({"time_refit": True}, "time_refit needs the ONNX model"),
        ({"backend": "tensorrt"}, "TensorRT"),
    ],
)
def test_what_the_engine_cannot_do_is_an_error_and_nothing_is_written(
    engines: Builder, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    done = run_benchmark(engines(AFFINE), tmp_path, **options)
    assert done.error is not None
    assert message in str(done.error)
    assert "bug" not in str(done.error)
    assert not (done.outputs / "benchmark.json").exists()


def test_an_input_file_of_the_wrong_size_is_refused(engines: Builder, tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(bytes(100))
    done = run_benchmark(engines(AFFINE), tmp_path, {"input.x": tmp_path / "x.raw"})
    assert done.error is not None
    assert "'x' has 100 bytes in this file, [4, 16] of float32 is 256 bytes" in str(done.error)
