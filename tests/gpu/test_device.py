"""The device layer: the same tests for every provider."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from trtbuild.cuda.device import Device, Stream, open_device
from trtbuild.cuda.errors import CudaError
from trtbuild.cuda.nvml import monitor
from trtbuild.cuda.probe import probe

ROOT = Path(__file__).parents[2]


def test_the_facts_are_those_that_the_driver_gives_nvml(device: Device) -> None:
    facts = device.facts
    with monitor(facts.uuid) as found:
        if found is None:
            pytest.skip("NVML does not know this GPU")
        state = found.state()
    assert facts.name
    assert facts.driver
    major, minor = facts.compute_capability.split(".")
    assert int(major) >= 5
    assert int(minor) >= 0
    assert 0 <= (state.memory_used or 0) <= facts.memory * 1.1


def test_bytes_come_back_from_the_gpu_as_they_were(device: Device) -> None:
    stream = device.stream()
    source, target = device.pinned(1 << 20), device.pinned(1 << 20)
    source[:] = np.random.default_rng(0).integers(0, 256, source.size, np.uint8)
    target[:] = 0
    memory = device.memory(source.size)
    device.copy_to_device(memory, source, stream)
    device.copy_to_host(target, memory, stream)
    stream.synchronize()
    assert np.array_equal(source, target)


def test_nothing_is_copied_where_there_is_nothing(device: Device) -> None:
    stream = device.stream()
    memory = device.memory(0)
    assert memory.address
    device.copy_to_device(memory, device.pinned(0), stream)
    device.copy_to_host(device.pinned(0), memory, stream)
    stream.synchronize()


def test_memory_is_given_back_at_once(device: Device) -> None:
    before = device.free_memory()
    memory = device.memory(1 << 28)
    assert device.free_memory() <= before - (1 << 28)
    memory.free()
    memory.free()
    assert device.free_memory() == before


@pytest.mark.parametrize("spin", [True, False])
def test_an_event_after_a_pause_is_that_much_later(device: Device, spin: bool) -> None:
    stream = device.stream()
    start, end = device.event(spin=spin), device.event(spin=spin)
    start.record(stream)
    device.sleep(stream, 30)
    end.record(stream)
    end.synchronize()
    assert 29 < end.time_since(start) < 60


def test_a_stream_waits_for_an_event_of_another(device: Device) -> None:
    first, second = device.stream(), device.stream()
    start, gate, end = (device.event(spin=True) for _ in range(3))
    start.record(second)
    device.sleep(first, 30)
    gate.record(first)
    second.wait_for_event(gate)
    end.record(second)
    end.synchronize()
    assert end.time_since(start) > 25


def test_streams_do_not_wait_for_each_other_otherwise(device: Device) -> None:
    slow, quick = device.stream(), device.stream()
    done = device.event(spin=True)
    device.sleep(slow, 200)
    started = time.perf_counter()
    done.record(quick)
    done.synchronize()
    assert time.perf_counter() - started < 0.1
    slow.synchronize()


def test_a_captured_graph_does_its_work_when_it_is_launched_and_not_before(device: Device) -> None:
    stream = device.stream()
    source, target = device.pinned(256), device.pinned(256)
    memory = device.memory(256)
    target[:] = 0
    device.begin_capture(stream)
    device.copy_to_device(memory, source, stream)
    device.copy_to_host(target, memory, stream)
    graph = device.end_capture(stream)
    for value in (7, 9):
        source[:] = value
        assert not np.array_equal(target, source)
        graph.launch()
        stream.synchronize()
        assert np.array_equal(target, source)
    graph.free()


def test_what_cannot_be_captured_is_an_error_and_leaves_the_stream_usable(device: Device) -> None:
    stream = device.stream()
    with pytest.raises(CudaError):
        spoil_a_capture(device, stream)
    stream.synchronize()


def spoil_a_capture(device: Device, stream: Stream) -> None:
    """Waits for the stream while it is captured, which is not allowed."""
    with device.current():
        device.begin_capture(stream)
        try:
            stream.synchronize()
        finally:
            device.end_capture(stream)


def test_memory_that_there_is_not_is_an_error_with_a_remedy(device: Device) -> None:
    with pytest.raises(CudaError) as caught, device.current():
        device.memory(device.facts.memory * 4)
    assert caught.value.out_of_memory
    assert "smaller batch" in caught.value.hint
    assert device.memory(1 << 20).address  # the device goes on working


def test_another_thread_can_use_the_device(device: Device) -> None:
    found: list[bool] = []

    def work() -> None:
        with device.current():
            stream, event = device.stream(), device.event(spin=True)
            event.record(stream)
            event.synchronize()
            found.append(True)
            del event, stream  # PyCUDA frees them only while their context is current

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert found == [True]


def test_a_device_can_be_opened_again_after_it_was_closed(device: Device) -> None:
    name = device.provider.partition(" ")[0]
    again = open_device(provider=name)
    with again.current():
        assert again.memory(16).address
    again.close()
    again.close()
    assert device.memory(16).address


def test_torch_uses_the_same_context(device: Device) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    tensor = torch.arange(64, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    target = device.pinned(64)

    class Borrowed:
        address, size = tensor.data_ptr(), 64

        def free(self) -> None: ...

    stream = device.stream()
    device.copy_to_host(target, Borrowed(), stream)
    stream.synchronize()
    assert target.tolist() == list(range(64))


@pytest.mark.parametrize("provider", ["pycuda", "cuda-python"])
def test_a_process_that_fails_within_a_context_ends_cleanly(provider: str) -> None:
    code = (
        "from trtbuild.cuda.device import open_device\n"
        f"device = open_device(provider={provider!r})\n"
        "with device.current():\n"
        "    stream = device.stream(); memory = device.memory(1 << 20)\n"
        "    raise RuntimeError('on purpose')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    if "MissingPackage" in done.stderr:
        pytest.skip(f"{provider} is not installed")
    assert done.returncode == 1, done.stderr
    assert "RuntimeError: on purpose" in done.stderr
    assert "context stack was not empty" not in done.stderr


def test_the_probe_makes_no_context() -> None:
    facts = probe().devices[0]
    with monitor(facts.uuid) as found:
        if found is None:
            pytest.skip("NVML does not know this GPU")
        before = len(found.state().processes)
        code = "from trtbuild.cuda.probe import probe; probe(); print(flush=True); input()"
        child = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        assert len(found.state().processes) == before
        child.communicate(b"\n", timeout=30)
