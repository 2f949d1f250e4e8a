"""The commands on a GPU, as a user has them: gates, accepted results, any engine, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from tests.gpu.nets import AFFINE, Net, convolutions
from tests.gpu.stages import BACKEND
from tests.project import Project, Result
from trtbuild.cuda.lease import FOLDER_VARIABLE, holder
from trtbuild.cuda.probe import probe
from trtbuild.recipe.schema import schema_text

Builder = Callable[[Net], Path]
HEAD = "trtbuild: 1\nname: tiny\nmodel: {onnx: tiny.onnx}\n"
STACK = f"""\
{HEAD}inputs:
  x: {{dtype: float32, min: [1, 64, 56, 56], opt: [8, 64, 56, 56], max: [8, 64, 56, 56]}}
build: {{backend: {BACKEND}}}
verify: {{tolerance: {{fp32: {{cosine: 0.999}}}}}}
benchmark:
  warmup: 100ms
  duration: 300ms
  rounds: 10
  round: 30ms
  gates: {{p99: 1s, throughput: ">= 1/s", regression: 5%}}
"""
QUICK = ("--warmup", "50ms", "--duration", "100ms")


def gates(result: Result) -> dict[str, str]:
    return {gate["gate"]: gate["outcome"] for gate in result.json["recipes"][0]["gates"]}


def test_a_slower_engine_breaks_the_gate_until_it_is_accepted(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("tiny.yaml", STACK)
    convolutions(2).save(project.folder / "tiny.onnx")
    first = project.run()
    assert first.code == 0, first.out + first.err
    assert gates(first) == {"p99": "passed", "throughput": "passed", "regression": "unclear"}
    assert project.trtbuild("accept", "tiny.yaml").code == 0
    accepted = json.loads((project.folder / "accepted.json").read_text())
    jsonschema.validate(accepted, json.loads(schema_text("accepted.schema.json")))
    assert accepted["accepted"][0]["gpu"] == probe().devices[0].name
    again = project.run()
    assert again.verdicts()["benchmark:fp32"] == "UP_TO_DATE"
    assert gates(again)["regression"] == "passed"

    built = project.folder / "build/tiny/fp32"
    old, result = tmp_path / "old.plan", tmp_path / "old.json"
    old.write_bytes((built / "engine.plan").read_bytes())
    result.write_bytes((built / "benchmark.json").read_bytes())
    convolutions(6).save(project.folder / "tiny.onnx")
    slower = project.run("--junit", "gates.xml")
    assert slower.code == 1
    assert slower.verdicts()["benchmark:fp32"] == "EXECUTED"
    assert gates(slower) == {"p99": "passed", "throughput": "passed", "regression": "failed"}
    _, suite = ElementTree.parse(project.folder / "gates.xml").getroot()  # noqa: S314
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("3", "1")
    turns = project.trtbuild(
        "bench", built / "engine.plan", "--against", old, "--gate", "regression=5%", *QUICK,
        "--rounds", "10", "--round", "30ms",
    )  # fmt: skip
    assert turns.code == 1, turns.out + turns.err
    assert "95 % sure of" in turns.err
    compared = project.trtbuild("compare", result, "tiny.yaml:fp32", "--json")
    assert compared.code == 0, compared.err
    assert compared.json["size"]["ratio"] > 1
    assert compared.json["points"], compared.json
    assert project.trtbuild("compare", old, built / "engine.plan").code == 0

    assert project.trtbuild("accept", "tiny.yaml").code == 0
    good = project.run()
    assert good.code == 0
    assert gates(good)["regression"] == "passed"


def test_any_engine_is_measured_without_a_recipe(engines: Builder, tmp_path: Path) -> None:
    net = convolutions(2)
    engine, model = engines(net), net.save(tmp_path / "model.onnx")
    project = Project(tmp_path)
    printed = project.trtbuild(
        "bench", engine, "--model", model, "--baseline", "onnxruntime", "--rounds", "8",
        "--profile", "--export", "times", "--export", "outputs", "--export", "layers",
        "--shapes", "x:1x64x56x56", "--shapes", "x:8x64x56x56", "--gate", "p99=1s",
        "--out", tmp_path / "out", *QUICK,
    )  # fmt: skip
    assert printed.code == 0, printed.out + printed.err
    for text in ("gpu_compute", "slowest layers", "Conv", "ONNX Runtime", "gate ok", "cuda_graph"):
        assert text in printed.out, text
    names = {file.name for file in (tmp_path / "out").iterdir()}
    wanted = {"benchmark.json", "times.json", "output.json", "layers.json", "profile.json"}
    assert names == wanted
    document = json.loads((tmp_path / "out/benchmark.json").read_text())
    jsonschema.validate(document, json.loads(schema_text("benchmark.schema.json")))
    assert [point["name"] for point in document["points"]] == ["x:1x64x56x56", "x:8x64x56x56"]
    broken = project.trtbuild("bench", engine, "--gate", "p99=1ns", "--json", *QUICK)
    assert broken.code == 1
    assert [gate["outcome"] for gate in broken.json["gates"]] == ["failed"]


def cut(engine: bytes) -> bytes:
    return engine[: len(engine) // 2]


def of_another_version(engine: bytes) -> bytes:
    return engine[:24] + bytes([1, 3, 0, 99]) + engine[28:]


def no_engine(_: bytes) -> bytes:
    return b"PK\x03\x04" + bytes(1000)


@pytest.mark.parametrize(
    ("damage", "arguments", "message"),
    [
        (cut, (), "cut off"),
        (of_another_version, (), "1.3.0.99"),
        (no_engine, (), "no TensorRT engine"),
        (bytes, ("--shapes", "x:65x16"), "'x' is [65, 16]"),
        (bytes, ("--shapes", "x:4x16x1"), "rank"),
        (bytes, ("--input", "x=short.raw"), "100 bytes in this file"),
        (bytes, ("--input", "x=rubbish.npy"), "rubbish.npy"),
        (bytes, ("--profile-index", "3"), "no optimization profile 3"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_error(
    engines: Builder,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    project = Project(tmp_path)
    (project.folder / "engine.plan").write_bytes(damage(engines(AFFINE).read_bytes()))
    (project.folder / "short.raw").write_bytes(bytes(100))
    (project.folder / "rubbish.npy").write_bytes(b"rubbish")
    done = project.trtbuild("bench", "engine.plan", "--out", "out", *QUICK, *arguments)
    assert done.code == 1, done.out + done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert "bug" not in done.err
    assert not (project.folder / "out").exists()


def test_an_engine_for_another_gpu_is_refused_or_computes_the_same(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    own = probe().devices[0].compute_capability
    other = 86 if own != "8.6" else 89
    if BACKEND != "tensorrt_rtx":
        pytest.skip("only TensorRT-RTX builds for a GPU that is not there")
    project = Project(tmp_path)
    AFFINE.save(project.folder / "tiny.onnx")
    shapes = "{x: {dtype: float32, min: [1, 16], opt: [4, 16], max: [64, 16]}}"
    build = f"{{backend: {BACKEND}, compute_capabilities: [{other}]}}"
    project.write("tiny.yaml", f"{HEAD}inputs: {shapes}\nbuild: {build}\n")
    built = project.trtbuild("run", "tiny.yaml", "--only", "build")
    assert built.code == 0, built.out + built.err
    values = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    done = project.trtbuild(
        *("bench", "build/tiny/fp32/engine.plan", "--input", f"x={tmp_path / 'x.npy'}"),
        *("--export", "outputs", "--out", "out", *QUICK),
    )
    record_property(f"an engine for {other} on {own}", "runs" if done.code == 0 else done.err)
    assert "Traceback" not in done.err
    if done.code == 0:  # TensorRT-RTX compiles its kernels where it runs: 1.6.1 takes such engines
        (output,) = json.loads((project.folder / "out/output.json").read_text())
        assert AFFINE.expected is not None
        wanted = AFFINE.expected(values)["y"].reshape(-1)
        assert np.allclose(output["values"], wanted, rtol=1e-2)
    else:
        assert done.code == 1
        assert "GPU" in done.err
        assert not (project.folder / "out").exists()


def bench(project: Project, engine: Path, leases: Path, duration: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        project.command("bench", engine, "--duration", duration, "--json"),
        env={**os.environ, FOLDER_VARIABLE: str(leases)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_bench_waits_for_the_first_and_goes_on_when_that_is_killed(
    engines: Builder, tmp_path: Path
) -> None:
    project, engine, device = Project(tmp_path), engines(AFFINE), probe().devices[0]
    first = bench(project, engine, tmp_path, "120s")
    deadline = time.monotonic() + 60
    while holder(device, tmp_path) is None:
        assert time.monotonic() < deadline
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second = bench(project, engine, tmp_path, "200ms")
    assert second.stderr is not None
    waiting = second.stderr.readline()
    assert f"held by pid {first.pid}" in waiting
    assert second.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    result: Any = json.loads(out)["result"]
    assert result["points"][0]["queries"] >= 10


def test_values_of_a_file_are_what_every_shape_is_measured_with(
    engines: Builder, tmp_path: Path
) -> None:
    project = Project(tmp_path)
    values = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    arguments = ("--input", f"x={tmp_path / 'x.npy'}", "--export", "outputs", "--out", "out")
    done = project.trtbuild("bench", engines(AFFINE), *arguments, *QUICK)
    assert done.code == 0, done.err
    (output,) = json.loads((project.folder / "out/output.json").read_text())
    assert AFFINE.expected is not None
    assert np.allclose(output["values"], AFFINE.expected(values)["y"].reshape(-1), rtol=1e-3)
