"""Our times against a plain loop, written here on its own with nothing but PyCUDA and TensorRT."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import pytest

from tests.gpu.nets import AFFINE, Net, convolutions, random_inputs
from tests.gpu.stages import BACKEND, benchmark
from trtbuild.benchmark.lane import Lane
from trtbuild.benchmark.loop import measure
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.streams import InferenceStream
from trtbuild.benchmark.trace import kept
from trtbuild.cuda.device import Device, open_device
from trtbuild.trt.contexts import Contexts
from trtbuild.trt.engine import Engine, opened

Builder = Callable[[Net], Path]
HEAVY = convolutions()
LONG = convolutions(batch=32)
"""About a millisecond, of which the host's launches are little: they vary from loop to loop."""
PAIRS = 10
QUERIES = 1000
# One query in flight and no copies: what the plain loop does.
PLAIN = Settings(
    transfers=False, overlap=False, warmup_ms=200, duration_s=0.4, kernel_specialization="eager"
)


@pytest.fixture
def pycuda_device() -> Iterator[Device]:
    """The first GPU by PyCUDA, since the plain loop uses that."""
    pytest.importorskip("pycuda")
    opened_device = open_device(provider="pycuda")
    yield opened_device
    opened_device.close()


class PlainLoop:
    """The loop that a person would write: events around execute_async_v3, nothing of ours."""

    def __init__(self, engine: Engine, values: np.ndarray[Any, Any]) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        self._stream = cuda.Stream(1)
        self._context = engine.native.create_execution_context()
        self._buffers = []
        self._context.set_input_shape("x", values.shape)
        for index in range(engine.native.num_io_tensors):
            name = engine.native.get_tensor_name(index)
            shape = tuple(self._context.get_tensor_shape(name))
            buffer = cuda.mem_alloc(int(np.prod(shape)) * 4)
            self._buffers.append(buffer)
            self._context.set_tensor_address(name, int(buffer))
            if name == "x":
                cuda.memcpy_htod(buffer, values)

    def run(self, queries: int) -> tuple[list[float], list[int]]:
        """Milliseconds between the events, and the host's clock as each query began."""
        start, end = self._cuda.Event(), self._cuda.Event()
        times, begun = [], []
        for _ in range(queries):
            begun.append(perf_counter_ns())
            start.record(self._stream)
            self._context.execute_async_v3(self._stream.handle)
            end.record(self._stream)
            end.synchronize()
            times.append(start.time_till(end))
        return times, begun


def ours(device: Device, lane: Lane) -> tuple[float, float]:
    """Median GPU compute time in ms, and median period of queries on the host in us."""
    trace = kept(measure(device, [lane], PLAIN), PLAIN.warmup_ms)
    periods = np.diff(trace.enqueue_start)
    return float(np.median(trace.compute)), float(np.median(periods)) * 1000


def plain(loop: PlainLoop) -> tuple[float, float]:
    """The same of the plain loop."""
    times, begun = loop.run(QUERIES)
    return statistics.median(times), float(np.median(np.diff(begun))) / 1000


def alternated(engines: Builder, device: Device, net: Net) -> tuple[list[Any], list[Any]]:
    """Our loop and the plain one in one process on one engine: A B B A, since the GPU warms up."""
    inputs = random_inputs(net, "opt")
    with opened(engines(net), BACKEND, device) as engine:
        stream = InferenceStream(engine, Contexts(engine), PLAIN, 0)
        stream.prepare(inputs, pytest.fail)
        loop = PlainLoop(engine, inputs["x"])
        loop.run(QUERIES // 2)
        mine, theirs = [], []
        for pair in range(PAIRS):
            if pair % 2:
                theirs.append(plain(loop))
            mine.append(ours(device, stream.lane))
            if not pair % 2:
                theirs.append(plain(loop))
        stream.free()
    return mine, theirs


def test_our_compute_time_is_that_of_a_plain_loop_within_one_percent(
    engines: Builder, pycuda_device: Device, record_property: Callable[[str, object], None]
) -> None:
    mine, theirs = alternated(engines, pycuda_device, LONG)
    ratios = [a[0] / b[0] for a, b in zip(mine, theirs, strict=True)]
    record_property(
        "compute time, ours over the plain loop's", json.dumps(round(statistics.median(ratios), 5))
    )
    record_property(
        "compute ms and period us, ours and the plain loop's", json.dumps([mine, theirs])
    )
    assert statistics.median(ratios) == pytest.approx(1, abs=0.01), (mine, theirs)


def test_our_overhead_on_the_host_is_below_15_us_a_query(
    engines: Builder, pycuda_device: Device, record_property: Callable[[str, object], None]
) -> None:
    mine, theirs = alternated(engines, pycuda_device, AFFINE)
    overheads = [a[1] - b[1] for a, b in zip(mine, theirs, strict=True)]
    record_property(
        "our overhead per query on the host, us", json.dumps(round(statistics.median(overheads), 2))
    )
    record_property("overheads, us", json.dumps(overheads))
    assert statistics.median(overheads) < 15, (mine, theirs)


def test_five_benchmarks_of_one_engine_differ_by_less_than_two_percent(
    engines: Builder, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    medians = []
    for _ in range(5):
        document = benchmark(engines(HEAVY), tmp_path, warmup_ms=500, duration_s=1)
        medians.append(document["points"][0]["metrics"]["gpu_compute"]["median"])
    record_property(
        "largest over smallest of five medians", json.dumps(round(max(medians) / min(medians), 5))
    )
    record_property("five medians, ms", json.dumps(medians))
    assert max(medians) / min(medians) < 1.02, medians


def test_the_compute_times_of_the_layers_add_up_to_that_of_the_engine(
    engines: Builder, tmp_path: Path
) -> None:
    document = benchmark(engines(HEAVY), tmp_path, layer_profile=True, overlap=False)
    point = document["points"][0]
    layers = sum(layer["median_ms"] for layer in point["layers"])
    # Profiling adds an event per layer, so the sum is the longer one as a rule.
    assert 0.5 < layers / point["metrics"]["gpu_compute"]["median"] < 2


def test_an_engine_beside_itself_is_no_regression(engines: Builder, tmp_path: Path) -> None:
    twin = replace(HEAVY, name="twin", scope="twin")
    assert engines(twin).read_bytes() != engines(HEAVY).read_bytes()  # in the layers' names only
    accepted = {"accepted": engines(twin)}
    document = benchmark(engines(HEAVY), tmp_path, accepted, rounds=15, round_ms=40)
    found = document["points"][0]["regression"]
    assert found["rounds"] == 15
    assert found["estimate"] == pytest.approx(1, abs=0.02)
    assert found["low"] <= found["estimate"] <= found["high"]


def test_a_slower_engine_is_a_regression(engines: Builder, tmp_path: Path) -> None:
    quick, slow = convolutions(2), HEAVY
    document = benchmark(
        engines(slow), tmp_path, {"accepted": engines(quick)}, rounds=10, round_ms=30
    )
    found = document["points"][0]["regression"]
    assert found["low"] > 1.2
