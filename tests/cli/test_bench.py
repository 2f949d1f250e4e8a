"""`trtbuild bench`: what it asks of the stage, says, and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.benchmark.documents import point, result
from tests.cli.plans import plan_file
from tests.graph.measured import Executor
from tests.project import RECIPE, Project
from trtbuild.cli import main
from trtbuild.cuda.probe import DeviceFacts, Probe, probe
from trtbuild.errors import ExitCode, StageError
from trtbuild.graph.execute import Request
from trtbuild.store.digest import digest_of_file

GPU = DeviceFacts(
    ordinal=0,
    name="NVIDIA Test",
    compute_capability="9.0",
    memory=1 << 30,
    uuid="GPU-0",
    pci_bus="0000:01:00.0",
    multiprocessors=1,
    l2_cache=0,
    persisting_l2=0,
    integrated=False,
    driver="580.1",
    cuda="13.0",
)
BENCH = "benchmark: {warmup: 1s, streams: 2, gates: {p99: 9ms}, shapes: [min, max]}\n"

without_gpu = pytest.mark.skipif(bool(probe().devices), reason="there is a GPU")


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return plan_file(tmp_path / "engine.plan")


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[ExitCode, Request]]:
    """Run bench on a machine that seems to have a GPU; its exit code, and what the stage got."""
    monkeypatch.setattr("trtbuild.graph.bench.probe", lambda: Probe((GPU,), ""))
    monkeypatch.setenv("TRTBUILD_LEASES", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path, **stage: Any) -> tuple[ExitCode, Request]:
        executor = Executor(**stage)
        monkeypatch.setattr("trtbuild.cli.bench.LocalExecutor", lambda: executor)
        return main(["bench", *map(str, arguments)]), executor.requests[-1]

    return call


def test_an_engine_alone_is_measured_at_its_own_opt_shapes(bench: Any, engine: Path) -> None:
    code, request = bench(engine)
    assert code is ExitCode.DONE
    assert request.options["backend"] == "tensorrt_rtx"
    assert request.options["provider"] is None
    assert "points" not in request.options
    assert "inputs" not in request.options
    assert request.inputs == {"engine": engine}
    assert request.environment == {"CUDA_VISIBLE_DEVICES": "GPU-0"}


def test_every_argument_arrives_at_the_stage(bench: Any, engine: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(4))
    arguments = (
        "--shapes x:8x4,y: --shapes x:1x4,y:2 --input x=x.npy --seed 3 --warmup 1s --streams 2 "
        "--no-transfers --cuda-graph true --percentiles 50,99.9 --export times --out out "
        "--round 50ms --persistent-cache-ratio 0.5 --weight-streaming-budget 40% "
        "--runtime-cache-file r.cache "
        "--provider cuda-python --baseline onnxruntime --model x.npy --profile-index 1"
    )
    code, request = bench(engine, *arguments.split())
    assert code is ExitCode.DONE
    expected = {
        "points": [
            {"name": "x:8x4,y:", "shapes": {"x": [8, 4], "y": []}},
            {"name": "x:1x4,y:2", "shapes": {"x": [1, 4], "y": [2]}},
        ],
        "seed": 3,
        "warmup_ms": 1000.0,
        "streams": 2,
        "transfers": False,
        "cuda_graph": True,
        "percentiles": [50.0, 99.9],
        "export_times": True,
        "export_layers": False,
        "round_ms": 50.0,
        "persistent_cache_ratio": 0.5,
        "weight_streaming_budget": "40%",
        "runtime_cache": True,
        "provider": "cuda-python",
        "optimization_profile": 1,
        "duration_s": 3.0,
    }
    assert {key: request.options[key] for key in expected} == expected
    assert request.options["baselines"][0]["kind"] == "onnxruntime"
    assert set(request.inputs) == {"engine", "input.x", "model", "refit"}
    assert (tmp_path / "r.cache").read_bytes() == b"kernels"


def test_a_recipe_gives_settings_gates_and_points_and_arguments_go_before_it(
    bench: Any, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(tmp_path).tiny(RECIPE + BENCH)
    recipe = tmp_path / "project/tiny.yaml"
    code, request = bench(engine, "--recipe", recipe, "--streams", "1", "--json")
    assert code is ExitCode.DONE
    assert (request.options["warmup_ms"], request.options["streams"]) == (1000.0, 1)
    assert [point["name"] for point in request.options["points"]] == ["min", "max"]
    assert request.options["inputs"][0]["name"] == "x"
    assert request.inputs["model"] == tmp_path / "project/tiny.onnx"
    document = json.loads(capsys.readouterr().out)
    assert document["result"]["format"] == 1
    assert [gate["gate"] for gate in document["gates"]] == ["p99"]


def test_a_broken_gate_is_exit_code_1(
    bench: Any, engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = bench(engine, "--gate", "median=0.5ms")
    assert code is ExitCode.FAILED
    printed = capsys.readouterr()
    assert "gate FAILED   median 0.5ms [opt]: median is 1." in printed.err
    assert "gpu_compute" in printed.out


def test_gates_are_test_cases_of_a_junit_file(bench: Any, engine: Path, tmp_path: Path) -> None:
    gates = ("--gate", "median=0.5ms", "--gate", "p99=9s", "--gate", "regression=5%")
    code, _ = bench(engine, *gates, "--junit", "reports/gates.xml", "--json")
    assert code is ExitCode.FAILED
    (suite,) = ElementTree.parse(tmp_path / "reports/gates.xml").getroot()  # noqa: S314 - our own
    assert suite.attrib["name"] == "engine.plan"
    assert {case.attrib["name"]: case[0].tag for case in suite} == {
        "median 0.5ms [opt]": "failure",
        "p99 9s [opt]": "system-out",
        "regression 5% [opt]": "skipped",
    }


def test_another_engine_is_run_in_turn(bench: Any, engine: Path, tmp_path: Path) -> None:
    old = plan_file(tmp_path / "old.plan", fill=1)
    code, request = bench(engine, "--against", old, "--gate", "regression=5%", slower=1.2)
    assert code is ExitCode.FAILED
    assert request.inputs["accepted"] == old
    assert bench(engine, "--against", old, "--gate", "regression=5%", slower=1.0)[0] == 0


def test_the_files_of_a_measurement_can_be_kept(bench: Any, engine: Path, tmp_path: Path) -> None:
    bench(engine, "--out", tmp_path / "kept/here")
    document = json.loads((tmp_path / "kept/here/benchmark.json").read_text())
    assert document["engine"]["digest"] == digest_of_file(engine).text


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ("--streams 0", 2, "benchmark.streams: expected an integer from 1 to 64, got 0"),
        ("--warmup 3", 2, "benchmark.warmup: expected a duration such as 200ms"),
        ("--cuda-graph maybe", 2, "benchmark.cuda_graph: expected false, true, capture or runtime"),
        ("--gate p99=fast", 2, "benchmark.gates.p99: 'fast' is no limit"),
        ("--gate p99", 2, "--gate: 'p99' is no pair"),
        ("--shapes x", 2, "--shapes: 'x' is no shape"),
        ("--shapes x:1xa", 2, "--shapes: 'x:1xa' is no shape"),
        ("--input x=none.npy", 2, "none.npy: there is no such file"),
        ("--model none.onnx", 2, "none.onnx: there is no such file"),
        ("--against none.plan", 2, "none.plan: there is no such file"),
        ("--baseline jax", 2, "benchmark.baselines[0]: expected torch, torch_compile"),
        ("--recipe none.yaml", 2, "none.yaml: no such file"),
        ("--seed -1", 2, "benchmark.inputs.seed: expected an integer"),
        ("--export times", 2, "--export: nowhere to write the files"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    engine: Path, arguments: str, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(engine), *arguments.split()]) == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--device -1", "'-1' is no device"),
        ("--wait-for-gpu nan", "'nan' is no number of seconds"),
        ("--wait-for-gpu -1", "'-1' is no number of seconds"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused(
    engine: Path, arguments: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", str(engine), *arguments.split()])
    assert caught.value.code == ExitCode.INVALID
    assert text in capsys.readouterr().err


def test_inputs_go_by_the_recipes_names_or_the_engines(
    bench: Any, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = RECIPE.replace("  - op: fold", "  - {op: rename, tensors: {x: image}}\n  - op: fold")
    recipe = Project(tmp_path).tiny(renamed + BENCH).folder / "tiny.yaml"
    np.save(tmp_path / "values.npy", np.zeros((4, 4)))
    for name in ("x", "image"):
        chosen = ("--shapes", f"{name}:4x4", "--input", f"{name}=values.npy")
        _, request = bench(engine, "--recipe", recipe, *chosen)
        (point,) = request.options["points"]
        assert point["shapes"] == {"image": [4, 4]}
        assert "input.image" in request.inputs
    for chosen in (("--shapes", "imge:4x4"), ("--input", "imge=values.npy")):
        assert main(["bench", str(engine), "--recipe", str(recipe), *chosen]) == 2
        assert "'imge' is no input (x)" in capsys.readouterr().err


def test_shapes_that_nothing_says_are_those_of_the_engines_profile(
    bench: Any, engine: Path, tmp_path: Path
) -> None:
    recipe = Project(tmp_path).tiny(RECIPE + BENCH).folder / "tiny.yaml"
    _, request = bench(engine, "--recipe", recipe, "--shapes", "x:4x4")
    assert request.options["points"] == [{"name": "x:4x4", "shapes": {"x": [4, 4]}}]
    _, request = bench(engine, "--recipe", recipe, "--profile-index", "1")
    assert request.options["points"] == [{"name": "opt", "shapes": {}}]
    _, request = bench(engine, "--recipe", recipe, "--profile-index", "0")
    assert [point["name"] for point in request.options["points"]] == ["min", "max"]


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ((), [50.0, 99.9]),
        (("--gate", "p50=1s"), [50.0, 99.9]),
        (("--gate", "p99=1s"), [50.0, 99.0, 99.9]),
        (("--percentiles", "90"), [50.0, 90.0]),
        (("--percentiles", "90", "--gate", "throughput=1/s"), [90.0]),
    ],
)
def test_percentiles_that_gates_are_about_are_reported(
    bench: Any, engine: Path, tmp_path: Path, arguments: tuple[str, ...], reported: list[float]
) -> None:
    section = "benchmark: {percentiles: [50, 99.9], gates: {p50: 1s}}\n"
    recipe = Project(tmp_path).tiny(RECIPE + section).folder / "tiny.yaml"
    _, request = bench(engine, "--recipe", recipe, *arguments)
    assert request.options["percentiles"] == reported


def test_an_engine_to_compare_with_that_cannot_run_is_no_pass(
    bench: Any, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = plan_file(tmp_path / "old.plan", fill=1)
    gate = ("--against", old, "--gate", "regression=5%")
    code, _ = bench(engine, *gate, missing="it was built for another GPU")
    assert code is ExitCode.FAILED
    assert "the accepted engine is not run beside this one: it was" in capsys.readouterr().err
    assert bench(engine, "--against", engine, "--gate", "regression=5%")[0] is ExitCode.DONE
    assert "engine.plan is the very engine that is measured" in capsys.readouterr().out


def test_scalars_are_written_as_trtexec_writes_them(bench: Any, engine: Path) -> None:
    _, request = bench(engine, "--shapes", "x:4x4,sr:scalar")
    assert request.options["points"][0]["shapes"] == {"x": [4, 4], "sr": []}


def test_a_recipes_gates_at_other_points_are_left_out_before_anything_is_measured(
    bench: Any, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = BENCH.replace("{p99: 9ms}", "{median: 9ms, max: {p99: 9ms}}")
    recipe = Project(tmp_path).tiny(RECIPE + text).folder / "tiny.yaml"
    code, _ = bench(engine, "--recipe", recipe, "--shapes", "x:1x4")
    printed = capsys.readouterr()
    assert code is ExitCode.DONE
    assert "warning: the recipe's gates at 'max' are left out" in printed.err
    assert "gate ok       median" in printed.out


@pytest.mark.parametrize("arguments", ["--out file/below", "--junit file/gates.xml"])
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_measured(
    bench: Any, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexError):  # the stage was asked for nothing
        bench(engine, *arguments.split())
    assert "cannot be made: Not a directory" in capsys.readouterr().err


def test_a_benchmark_that_fails_leaves_no_folder(bench: Any, engine: Path, tmp_path: Path) -> None:
    code, _ = bench(engine, "--out", tmp_path / "a/b", error=StageError("out of memory"))
    assert code is ExitCode.FAILED
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("command", ["bench", "compare"])
def test_what_is_no_engine_is_refused(
    command: str, engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.plan"
    other.write_bytes(b"PK\x03\x04" + bytes(100))
    second = [str(engine)] if command == "compare" else []
    assert main([command, str(tmp_path / "none.plan"), *second]) is ExitCode.INVALID
    assert "none.plan" in capsys.readouterr().err
    assert main([command, str(other), *second]) is ExitCode.FAILED
    assert "this is no TensorRT engine but a zip archive" in capsys.readouterr().err
    other.write_bytes(engine.read_bytes()[:40])
    assert main([command, str(other), *second]) is ExitCode.FAILED
    assert "the engine is cut off: 40 of 64 bytes are there" in capsys.readouterr().err


@without_gpu
def test_without_a_gpu_there_is_nothing_to_measure(
    engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(engine)]) is ExitCode.FAILED
    assert "no CUDA device" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["recipe", "benchmark", "accepted"])
def test_each_schema_is_printed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", kind]) is ExitCode.DONE
    file = Path(__file__).parents[2] / f"schemas/{kind}.schema.json"
    assert capsys.readouterr().out == file.read_text()


def test_a_result_is_printed_with_layers_baselines_and_regression(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from trtbuild.report.benchmark import print_result

    measured = point()
    summary = measured["metrics"]["latency"]
    measured["layers"] = [
        {"name": "conv", "average_ms": 0.5, "percentage": 80.0, "onnx": ["/a", "/b", "/c", "/d"]}
    ]
    speedup = {"wall": {"estimate": 2.0, "low": 1.9, "high": 2.1}, "gpu": None}
    other = {"name": "ONNX Runtime CPU", "version": "1.32", "wall_ms": summary, "gpu_ms": None}
    engine = {"name": "engine", "wall_ms": summary, "gpu_ms": summary}
    missing = [{"kind": "torch", "reason": "torch is not installed"}]
    measured["baselines"] = {
        "engine": engine,
        "others": [{**other, "speedup": speedup}],
        "missing": missing,
    }
    measured["regression"] = {"estimate": 1.02, "low": 1.01, "high": 1.03}
    measured["warnings"] = ["the clock was changed"]
    print_result(result(measured))
    printed = capsys.readouterr().out
    for text in (
        "on NVIDIA Test",
        "/a, /b, /c ...",
        "ONNX Runtime CPU 1.32",
        "1.90 to 2.10",
        "torch is left out: torch is not installed",
        "1.0200 times the accepted engine's time (95 %: 1.0100 to 1.0300)",
        "warning: the clock was changed",
    ):
        assert text in printed


def test_the_place_of_outputs_is_that_of_the_settings(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    project.write("trtbuild.toml", 'out = "elsewhere"\n')
    assert project.trtbuild("run", "tiny.yaml", "--only", "build").code == 0
    sides = ("tiny.yaml:fp32", "elsewhere/tiny/fp32/engine.plan")
    compared = project.trtbuild("compare", *sides, "--json")
    assert compared.code == 0, compared.err
    assert compared.json["exit_code"] == 0
    assert compared.json["size"]["ratio"] == 1
    exported = project.trtbuild("export-trtexec", "tiny.yaml").out
    assert "elsewhere/tiny/" in exported
