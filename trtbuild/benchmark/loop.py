"""The measuring loop: when queries start, when the loop ends, one thread or several."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns

from trtbuild.benchmark.lane import Gate, Lane
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.trace import Query, Trace, trace_of
from trtbuild.cuda.device import Device

_COMPUTE_START = 5  # in Query


@dataclass(frozen=True, slots=True)
class Limits:
    """When a loop ends: all of it, and how long its warm-up is."""

    warmup_ms: float
    duration_ms: float  # after the warm-up
    iterations: int  # after the warm-up
    idle_s: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings ask for."""
        return cls(
            settings.warmup_ms,
            settings.duration_s * 1000,
            settings.iterations,
            settings.idle_ms / 1000,
        )


def measure(device: Device, lanes: Sequence[Lane], settings: Settings) -> Trace:
    """Every query of every lane, the warm-up included; the device is current.

    All lanes wait for one event, which is recorded after `sleep_ms`, so that several streams
    start together and their first queries are queued already (trtexec's runInference).
    """
    limits = Limits.of(settings)
    with _undisturbed():
        gate = _gate(device, lanes, settings)
        if settings.threads and len(lanes) > 1:
            queries = _threaded(device, lanes, gate, limits)
        else:
            queries = _loop(lanes, gate, limits)
    return trace_of(queries)


def _gate(device: Device, lanes: Sequence[Lane], settings: Settings) -> Gate:
    main = device.stream()
    event = device.event(spin=settings.spin_wait)
    if settings.sleep_ms:
        device.sleep(main, settings.sleep_ms)
    host_ns = perf_counter_ns()
    event.record(main)
    for lane in lanes:
        lane.open(event)
    return Gate(event, host_ns)


def _loop(lanes: Sequence[Lane], gate: Gate, limits: Limits) -> list[Query]:
    """One host thread's loop over its lanes (sampleInference.cpp:1607-1703).

    It goes on until both limits are reached; iterations within the warm-up do not count.
    """
    queries: list[Query] = []
    elapsed, done, warming = 0.0, 0, 0
    until = limits.duration_ms + limits.warmup_ms
    while done < limits.iterations + warming or elapsed < until:
        for lane in lanes:
            lane.start()
        for lane in lanes:
            query = lane.wait(gate)
            if query is not None:
                queries.append(query)
                elapsed = max(elapsed, query[_COMPUTE_START])
        done += 1
        if elapsed < limits.warmup_ms:
            warming += elapsed > 0
        elif limits.idle_s:
            time.sleep(limits.idle_s)
    for lane in lanes:
        queries += lane.rest(gate)
    return queries


def _threaded(device: Device, lanes: Sequence[Lane], gate: Gate, limits: Limits) -> list[Query]:
    """The loop with a host thread for each lane; the first failure is raised."""

    def work(lane: Lane) -> list[Query]:
        with device.current():
            return _loop([lane], gate, limits)

    with ThreadPoolExecutor(len(lanes)) as threads:
        found = [threads.submit(work, lane) for lane in lanes]
        return [query for future in found for query in future.result()]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection: its pauses would be counted as the host's time."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
