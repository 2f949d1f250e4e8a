"""Memory that runs out: these tests take nearly all of it, and run alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gpu.nets import LARGE, Net
from tests.gpu.stages import BACKEND
from tests.project import Project
from trtbuild.cuda.device import Device, open_device
from trtbuild.cuda.errors import CudaError
from trtbuild.errors import StageError
from trtbuild.trt.runtime import run_engine

Builder = Callable[[Net], Path]
HEAD = f"trtbuild: 1\nname: tiny\nmodel: {{onnx: tiny.onnx}}\nbuild: {{backend: {BACKEND}}}\n"


def test_memory_that_runs_out_is_an_error_and_the_device_goes_on(
    engines: Builder, device: Device
) -> None:
    engine = engines(LARGE)

    def run(cases: list[dict[str, Any]]) -> list[Any]:
        return list(run_engine(engine, BACKEND, cases, device=device))

    hoard = device.memory(device.free_memory() - (200 << 20))  # less than its input needs
    try:
        with pytest.raises(StageError) as caught:
            run([{"x": np.zeros((64, 1 << 20), np.float32)}] * 2)
        assert "memory" in f"{caught.value.what} {caught.value.hint}".lower()
        if isinstance(caught.value, CudaError):
            assert caught.value.out_of_memory
    finally:
        hoard.free()
    (found,) = run([{"x": np.full((1, 1 << 20), -1, np.float32)}])
    assert not found["y"].any()


def test_a_batch_that_does_not_fit_fails_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    project = Project(tmp_path)
    LARGE.save(project.folder / "tiny.onnx")
    x = LARGE.inputs[0]
    shapes = f"dtype: float32, min: {[*x.min]}, opt: {[*x.opt]}, max: {[*x.max]}"
    measured = "benchmark: {shapes: max, duration: 100ms}\n"
    project.write("tiny.yaml", f"{HEAD}inputs: {{x: {{{shapes}}}}}\n{measured}")
    assert project.trtbuild("run", "tiny.yaml", "--only", "build").code == 0
    device = open_device()
    with device.current():
        hoard = device.memory(device.free_memory() - (700 << 20))  # room for little but a context
        failed = project.run()
        hoard.free()
    device.close()
    assert failed.code == 1, failed.out
    tasks = failed.json["recipes"][0]["tasks"]
    (task,) = [task for task in tasks if task["verdict"] == "FAILED"]  # verify, as a rule
    assert "memory" in task["error"].lower(), task["error"]
    assert "Traceback" not in failed.err
    good = project.run()
    assert good.code == 0, good.out + good.err
    assert good.verdicts()["build:fp32"] == "UP_TO_DATE"
    assert good.verdicts()[task["id"]] == "EXECUTED"
    assert good.verdicts()["benchmark:fp32"] == "EXECUTED"
