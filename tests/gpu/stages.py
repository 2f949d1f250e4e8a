"""Runs stages in child processes, as trtbuild itself does."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.nets import Net
from trtbuild.graph.execute import Execution, LocalExecutor, Request

BACKEND = os.environ.get("TRTBUILD_TEST_BACKEND", "tensorrt_rtx")


def run_stage(
    module: str, options: dict[str, Any], inputs: dict[str, Path], folder: Path
) -> Execution:
    """One stage with its outputs below `folder`; its error, if any, is in what is returned."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    request = Request(
        module=module,
        options=options,
        inputs=inputs,
        folder=folder,
        project=folder,
        exclude=(),
        environment={},
    )
    return LocalExecutor().run(request, scratch, lambda _text, _fraction: None)


def build(net: Net, folder: Path) -> Path:
    """The engine of a net, by the build stage."""
    inputs = [
        {
            "name": item.name,
            "dtype": item.dtype,
            "min": list(item.min),
            "opt": list(item.opt),
            "max": list(item.max),
            "range": item.range,
        }
        for item in net.inputs
    ]
    options = {
        "backend": BACKEND,
        "precision": "fp32",
        "inputs": inputs,
        "workspace": None,
        "optimization_level": None,
        "compute_capabilities": [],
        "tf32": False,
    }
    model = net.save(folder / "model.onnx")
    done = run_stage("trtbuild.stages.build", options, {"model": model}, folder)
    if done.error is not None and "not supported" in str(done.error):
        pytest.skip(f"{BACKEND} does not take this model: {done.error.what}")
    assert done.error is None, f"{done.error}\n{done.log.read_text()[-4000:]}"
    return done.outputs / "engine.plan"


def benchmark(
    engine: Path, folder: Path, inputs: dict[str, Path] | None = None, **options: Any
) -> dict[str, Any]:
    """A benchmark's result document; the stage must succeed."""
    done = run_benchmark(engine, folder, inputs, **options)
    assert done.error is None, f"{done.error}\n{done.log.read_text()[-4000:]}"
    document: dict[str, Any] = json.loads((done.outputs / "benchmark.json").read_bytes())
    return document


def run_benchmark(
    engine: Path, folder: Path, inputs: dict[str, Path] | None = None, **options: Any
) -> Execution:
    """The benchmark stage, with short limits unless others are given."""
    given = {"backend": BACKEND, "warmup_ms": 100, "duration_s": 0.3, **options}
    return run_stage(
        "trtbuild.stages.benchmark", given, {"engine": engine, **(inputs or {})}, folder
    )
