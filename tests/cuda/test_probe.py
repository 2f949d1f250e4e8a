from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trtbuild.cuda.device import open_device
from trtbuild.cuda.driver import load_driver
from trtbuild.cuda.errors import CudaError, hint_for
from trtbuild.cuda.probe import driver_version, probe
from trtbuild.errors import StageError, UsageError

without_driver = pytest.mark.skipif(load_driver() is not None, reason="there is a CUDA driver")
HEAVY = ("numpy", "torch", "onnx", "onnxruntime", "tensorrt_rtx", "pycuda", "cuda")


def in_a_new_process(code: str) -> str:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_probe_imports_nothing_heavy() -> None:
    code = "import json, sys; from trtbuild.cuda.probe import probe; probe(); "
    loaded = json.loads(in_a_new_process(code + "print(json.dumps(list(sys.modules)))"))
    assert not set(HEAVY) & set(loaded)
    assert "trtbuild.cuda.probe" in loaded


@without_driver
def test_without_a_driver_the_reason_is_said_within_milliseconds() -> None:
    seconds = []
    for _ in range(10):  # a busy machine makes one wait, not all
        probe.cache_clear()
        started = time.perf_counter()
        found = probe()
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.02
    assert found.devices == ()
    assert found.reason == "no CUDA device (libcuda.so.1 is not on this machine)"
    assert driver_version() == ""


@without_driver
def test_opening_a_device_without_one_says_so() -> None:
    with pytest.raises(StageError, match="no CUDA device") as caught:
        open_device()
    assert "NVIDIA GPU" in caught.value.hint


@pytest.mark.skipif(load_driver() is None, reason="there is no CUDA driver")
def test_with_a_driver_and_no_visible_gpu_there_is_no_device() -> None:
    code = (
        "import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''; "
        "from trtbuild.cuda.probe import probe; print(probe())"
    )
    assert "reason='no CUDA device'" in in_a_new_process(code)


def test_the_package_imports_without_any_provider() -> None:
    code = "import sys; import trtbuild.cuda.device; print(*sys.modules)"
    assert not {"pycuda", "cuda", "torch"} & set(in_a_new_process(code).split())


def test_running_out_of_memory_and_losing_the_gpu_are_told_apart() -> None:
    memory = CudaError("cuMemAlloc", 2, "out of memory")
    assert memory.out_of_memory
    assert not memory.device_lost
    assert "smaller batch" in memory.hint
    assert memory.what == "cuMemAlloc failed: out of memory (CUDA error 2)"
    lost = CudaError("cuEventSynchronize", 700, "an illegal memory access was encountered")
    assert lost.device_lost
    assert not lost.out_of_memory
    assert "Xid" in lost.hint


def test_an_exclusive_gpu_has_a_hint_of_its_own() -> None:
    assert "exclusively" in hint_for(46)
    assert hint_for(1) == ""


@pytest.mark.skipif(not probe().devices, reason="there is no CUDA device")
def test_a_provider_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="none of pycuda, cuda-python"):
        open_device(provider="opencl")
