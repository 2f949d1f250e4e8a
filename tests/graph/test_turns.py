"""Candidates of `best` whose benchmarks are near are run in turn, once."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.graph.measured import Executor, opened, pretend_a_gpu
from tests.project import Project
from trtbuild.errors import ExitCode, StageError
from trtbuild.graph.execute import Execution, Progress, Request
from trtbuild.release.lock import lock_path, make_lock, write_lock
from trtbuild.release.lock_read import read_lock
from trtbuild.release.locked import require_current
from trtbuild.report.document import run_document
from trtbuild.report.junit import write_junit
from trtbuild.report.terminal import print_outcomes

RECIPE = """\
trtbuild: 1
name: tiny
model: {onnx: tiny.onnx}
inputs: {x: {dtype: float32, min: [1, 4], opt: [2, 4], max: [8, 4]}}
precisions: [best, fp32, fp16]
build: {backend: tensorrt_rtx}
benchmark: {baselines: [onnxruntime]}
"""


@dataclass
class Raced(Executor):
    """Engines with names of their own, and the times of each alone."""

    alone: tuple[float, float] = (1.0, 1.2)  # fp32, fp16

    def _files(self, stage: str, request: Request) -> dict[str, bytes]:
        if stage == "build":
            name = str(request.options["precision"]).encode()
            return {"engine.plan": name, "build.json": b"{}", "build.log": b""}
        if stage == "quantize":
            return {"model.onnx": b"fp16", "quantize.json": b"{}"}
        if stage == "benchmark":
            self.compute = self.alone[request.inputs["engine"].read_bytes() == b"fp16"]
        return super()._files(stage, request)


def chosen(project: Project, executor: Executor) -> tuple[dict[str, Any], int]:
    """best.json, and how many times engines were run in turn."""
    before = len(executor.requests)
    with opened(project.folder / "tiny.yaml", project.cache, executor) as session:
        assert session.run()
    asked = [r for r in executor.requests[before:] if "accepted" in r.inputs]
    for request in asked:
        assert request.options["baselines"] == []
        assert set(request.inputs) == {"engine", "accepted"}
    document = project.folder / "build/tiny/best/best.json"
    return json.loads(document.read_text()), len(asked)


@pytest.mark.parametrize(
    ("slower", "alone", "variant", "times"),
    [
        (0.8, (1.0, 1.2), "fp16", 1),  # whatever the two benchmarks said
        (1.005, (1.0, 1.2), "fp32", 1),  # not surely faster
        (0.995, (1.0, 1.2), "fp32", 1),
        (0.8, (1.0, 1.6), "fp32", 0),  # far apart
    ],
)
def test_what_is_surely_faster_in_turn_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slower: float,
    alone: tuple[float, float],
    variant: str,
    times: int,
) -> None:
    pretend_a_gpu(monkeypatch)
    project = Project(tmp_path).tiny(RECIPE)
    executor = Raced(slower=slower, alone=alone)
    found, taken = chosen(project, executor)
    assert (found["variant"], found["by"], taken) == (variant, "latency", times)
    assert (project.folder / "build/tiny/best/engine.plan").read_bytes() == variant.encode()
    expected = [{"variant": "fp16", "against": "fp32", "estimate": slower}] * times
    assert [{k: turn[k] for k in expected[0]} for turn in found["turns"]] == expected
    assert chosen(project, executor) == (found, 0)  # it is not measured again


def take_the_gpu_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtbuild.graph.device.find_device", lambda _=0: None)


@pytest.mark.parametrize("gpu", [True, False])
def test_where_nothing_runs_the_choice_is_the_one_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    pretend_a_gpu(monkeypatch)
    project = Project(tmp_path).tiny(RECIPE)
    executor = Raced(slower=0.8)
    found, _ = chosen(project, executor)
    shutil.rmtree(project.folder / "build")
    if not gpu:
        take_the_gpu_away(monkeypatch)
    executor.requests.clear()
    with opened(project.folder / "tiny.yaml", project.cache, executor, only_cached=True) as session:
        assert session.run()
    assert executor.requests == []
    document = json.loads((project.folder / "build/tiny/best/best.json").read_text())
    assert document["turns"] == found["turns"]
    assert document["variant"] == "fp16"


@pytest.mark.parametrize("gpu", [True, False])
def test_a_lock_keeps_what_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool
) -> None:
    pretend_a_gpu(monkeypatch)
    project = Project(tmp_path).tiny(RECIPE)
    recipe = project.folder / "tiny.yaml"
    executor = Raced(slower=0.8)
    with opened(recipe, project.cache, executor) as session:
        assert session.run()
        (rebuilder,) = session.rebuilders
        write_lock(lock_path(rebuilder.recipe), make_lock(rebuilder, None))
    assert "\nbest: fp16\n" in recipe.with_suffix(".lock").read_text()
    executor.slower = 1.2  # what would be measured now
    shutil.rmtree(project.cache)
    if not gpu:
        take_the_gpu_away(monkeypatch)
    with opened(recipe, project.cache, executor) as session:
        guards = require_current(session.rebuilders)
        assert session.run()
        assert [guard.refused for guard in guards] == [[]]
        (rebuilder,) = session.rebuilders
        assert rebuilder.choice is not None
        assert (rebuilder.choice.variant, rebuilder.choice.by) == ("fp16", "lock")
        again = make_lock(rebuilder, read_lock(rebuilder.recipe))
    assert again.best == "fp16"


def test_the_report_has_a_variants_own_times_and_the_turns_as_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_a_gpu(monkeypatch)
    project = Project(tmp_path).tiny(RECIPE)
    with opened(project.folder / "tiny.yaml", project.cache, Raced(slower=0.8)) as session:
        assert session.run()
        (recipe,) = run_document(session.rebuilders, ExitCode.DONE)["recipes"]
    alone = {entry["variant"]: entry["latency_ms"] for entry in recipe["best"]["candidates"]}
    assert {entry["name"]: entry["latency_ms"] for entry in recipe["variants"]} == alone
    assert recipe["tasks"][-1]["id"] == "turns:fp16:fp32"


def test_turns_that_fail_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Failing(Raced):
        def run(self, request: Request, scratch: Path, progress: Progress) -> Execution:
            if "accepted" in request.inputs:
                scratch.mkdir(exist_ok=True)
                error = StageError("the GPU is lost")
                return Execution(scratch, scratch / "log", 0.1, (), (), error)
            return super().run(request, scratch, progress)

    pretend_a_gpu(monkeypatch)
    project = Project(tmp_path).tiny(RECIPE)
    with opened(project.folder / "tiny.yaml", project.cache, Failing(slower=0.8)) as session:
        assert not session.run()
        write_junit(tmp_path / "junit.xml", session.rebuilders)
        assert "<failure" in (tmp_path / "junit.xml").read_text()
        print_outcomes(session.rebuilders)
        (rebuilder,) = session.rebuilders
        assert rebuilder.choice is not None
        assert rebuilder.choice.variant == "fp32"  # by the benchmarks alone


def test_a_gate_that_another_candidate_breaks_is_no_failure_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_a_gpu(monkeypatch)
    recipe = RECIPE.replace("[onnxruntime]}", "[onnxruntime], gates: {gpu_compute.median: 1.1ms}}")
    project = Project(tmp_path).tiny(recipe)
    executor = Raced(slower=1.3)
    with opened(project.folder / "tiny.yaml", project.cache, executor) as session:
        assert session.run()
        write_junit(tmp_path / "junit.xml", session.rebuilders)
    text = (tmp_path / "junit.xml").read_text()
    assert "<failure" not in text
    assert "it is fp32 that is kept" in text
    assert 'name="best"' in text
