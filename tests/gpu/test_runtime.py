"""Engines on arrays: right values for every kind of tensor, and clear errors for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gpu.nets import (
    AFFINE,
    HALVES,
    INTEGERS,
    NONZERO,
    SCALAR,
    SLICE,
    Net,
    random_inputs,
)
from tests.gpu.stages import BACKEND, run_benchmark
from trtbuild.cuda.device import Device
from trtbuild.errors import StageError
from trtbuild.trt.runtime import run_engine

ROOT = Path(__file__).parents[2]
Builder = Callable[[Net], Path]


def run(engine: Path, cases: list[dict[str, Any]], device: Device | None = None) -> list[Any]:
    return list(run_engine(engine, BACKEND, cases, device=device))


KINDS = [AFFINE, SCALAR, INTEGERS, HALVES, SLICE, NONZERO]


@pytest.mark.parametrize("net", KINDS, ids=lambda net: net.name)
def test_an_engine_gives_what_the_model_computes_at_every_shape(
    engines: Builder, device: Device, net: Net
) -> None:
    cases = [random_inputs(net, size, seed) for seed, size in enumerate(("min", "max", "opt"))]
    found = run(engines(net), cases, device)
    assert len(found) == 3
    for case, outputs in zip(cases, found, strict=True):
        assert net.expected is not None
        expected = net.expected(**case)
        assert outputs.keys() == expected.keys()
        for name, values in expected.items():
            assert outputs[name].dtype == values.dtype, name
            assert outputs[name].shape == values.shape, name
            assert np.allclose(outputs[name].astype(float), values.astype(float), rtol=1e-3)


def test_a_shape_that_the_data_decides_changes_from_case_to_case(
    engines: Builder, device: Device
) -> None:
    cases = [{"x": np.array(values, np.float32)} for values in ([1, 0, 2], [0, 0, 0], [1, 1, 1])]
    found = [outputs["where"].tolist() for outputs in run(engines(NONZERO), cases, device)]
    assert found == [[[0, 2]], [[]], [[0, 1, 2]]]


def test_the_values_of_an_input_decide_a_shape(engines: Builder, device: Device) -> None:
    x = np.arange(16, dtype=np.float32)
    cases = [{"x": x, "k": np.array([k], np.int64)} for k in (3, 16, 1)]
    found = [outputs["y"].tolist() for outputs in run(engines(SLICE), cases, device)]
    assert found == [[0, 1, 2], x.tolist(), [0]]


def test_floats_are_rounded_to_the_engines_type(engines: Builder, device: Device) -> None:
    case = random_inputs(HALVES, "opt")
    wide = {name: values.astype(np.float32) for name, values in case.items()}
    (narrow,), (rounded,) = (
        run(engines(HALVES), [case], device),
        run(engines(HALVES), [wide], device),
    )
    assert np.array_equal(narrow["yh"], rounded["yh"])


def test_earlier_outputs_stay_as_they_were(engines: Builder, device: Device) -> None:
    cases = [random_inputs(AFFINE, "opt", seed) for seed in range(3)]
    found: Iterator[dict[str, Any]] = run_engine(engines(AFFINE), BACKEND, cases, device=device)
    first = next(found)["y"]
    kept = first.copy()
    for _ in found:
        assert np.array_equal(first, kept)


def test_a_shape_outside_the_profile_is_refused_with_the_input_and_its_range(
    engines: Builder, device: Device
) -> None:
    case = {"x": np.zeros((65, 16), np.float32)}
    with pytest.raises(StageError) as caught:
        run(engines(AFFINE), [random_inputs(AFFINE, "opt"), case], device)
    assert "'x' is [65, 16], from [1, 16] to [64, 16] is built" in caught.value.what
    assert caught.value.where.endswith("(case 1)")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({}, "the engine wants the inputs x too"),
        ({"x": np.zeros((1, 16), np.float32), "z": np.zeros(1)}, "the engine has no inputs z"),
        ({"x": np.zeros((1, 16), np.int32)}, "'x' is int32, the engine wants float32"),
        ({"x": np.zeros(16, np.float32)}, "'x' has rank 1, the engine wants 2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    engines: Builder, device: Device, case: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError) as caught:
        run(engines(AFFINE), [case], device)
    assert message in caught.value.what


def test_a_truncated_engine_is_refused_with_both_sizes(engines: Builder, tmp_path: Path) -> None:
    whole = engines(AFFINE).read_bytes()
    cut = tmp_path / "engine.plan"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StageError, match=r"cut off|cannot load") as caught:
        run(cut, [random_inputs(AFFINE, "opt")])
    assert caught.value.where == str(cut)


def test_an_engine_of_another_version_is_refused_with_both_versions(
    engines: Builder, tmp_path: Path
) -> None:
    other = bytearray(engines(AFFINE).read_bytes())
    other[24:28] = bytes([1, 3, 0, 99])
    (tmp_path / "engine.plan").write_bytes(other)
    with pytest.raises(StageError, match=r"1\.3\.0\.99|cannot load"):
        run(tmp_path / "engine.plan", [random_inputs(AFFINE, "opt")])


def test_a_file_that_is_no_engine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "engine.plan").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(StageError, match="no TensorRT engine"):
        run(tmp_path / "engine.plan", [])


@pytest.mark.parametrize("place", [0.05, 0.5, 0.95])
def test_a_damaged_engine_ends_the_stage_with_an_error_or_runs(
    engines: Builder, tmp_path: Path, place: float
) -> None:
    damaged = bytearray(engines(AFFINE).read_bytes())
    start = max(64, int(len(damaged) * place))
    for index in range(start, min(start + 256, len(damaged))):
        damaged[index] ^= 0xA5
    path = tmp_path / "engine.plan"
    path.write_bytes(damaged)
    # In a child process, as always: TensorRT may crash on such a file. Never a hang or a bug.
    done = run_benchmark(path, tmp_path, duration_s=0.05)
    if done.error is not None:
        assert "Traceback" not in str(done.error)
        assert not (done.outputs / "benchmark.json").exists()


LOSE = """
import sys
from pathlib import Path
import numpy as np
from trtbuild.cuda.device import open_device
from trtbuild.errors import StageError
from trtbuild.trt.engine import opened
from trtbuild.trt.session import Session

device = open_device(provider=sys.argv[2])
try:
    with opened(Path(sys.argv[1]), sys.argv[3], device) as engine:
        session = Session(engine, engine.native.create_execution_context(), device.stream())
        session.prepare({"x": np.zeros((4, 16), np.float32)})
        nowhere = device.memory(256).address + (1 << 40)  # the kernel faults there
        session.native.set_tensor_address("x", nowhere)
        session.enqueue()
        session.stream.synchronize()
    print("nothing happened")
except StageError as error:
    print(error)
    sys.stdout.flush()
import os
os._exit(0)  # as the child process of a stage ends
"""


@pytest.mark.parametrize("provider", ["pycuda", "cuda-python"])
def test_a_lost_gpu_is_an_error_without_a_hang(engines: Builder, provider: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOSE, str(engines(AFFINE)), provider, BACKEND],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "MissingPackage" in done.stderr:
        pytest.skip(f"{provider} is not installed")
    assert done.returncode == 0, done.stderr
    assert "illegal" in done.stdout
    assert "hint: the GPU or its context is lost" in done.stdout


@pytest.mark.parametrize("kernels", ["lazy", "eager", "none"])
def test_every_way_to_specialize_kernels_gives_what_the_model_computes(
    engines: Builder, device: Device, kernels: str
) -> None:
    cases = [random_inputs(AFFINE, size) for size in ("min", "max", "opt", "min")]
    assert AFFINE.expected is not None
    ran = run_engine(engines(AFFINE), BACKEND, cases, device=device, kernels=kernels)
    for case, outputs in zip(cases, ran, strict=True):
        assert np.allclose(outputs["y"], AFFINE.expected(**case)["y"], rtol=1e-3)
