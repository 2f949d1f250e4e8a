"""Candidates of `best` whose benchmarks are near are run in turn, once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.graph.measured import Executor, opened, pretend_a_gpu
from tests.project import Project
from trtbuild.graph.execute import Request

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
