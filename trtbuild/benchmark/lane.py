"""One inference stream of a benchmark: a query is queued, waited for, and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns

from trtbuild.benchmark.trace import Query
from trtbuild.cuda.device import Device, Event, Stream

Queue = Callable[[], None]
"""Queues one inference on the lane's compute stream."""
Copy = Callable[[Stream], None]
"""Queues the copies of all inputs, or of all outputs, on a stream."""


@dataclass(frozen=True, slots=True)
class Gate:
    """When the queries were let go: the zero of both clocks."""

    event: Event
    host_ns: int


@dataclass(frozen=True, slots=True)
class _Marks:
    """The six events of one query in flight."""

    h2d_start: Event
    h2d_end: Event
    compute_start: Event
    compute_end: Event
    d2h_start: Event
    d2h_end: Event


class Lane:
    """One inference stream: three CUDA streams and, per query in flight, six events.

    As trtexec's IterationBase (sampleInference.cpp:1099-1294). `start` and `wait` run in the loop
    that is measured, and do no more than they must.
    """

    def __init__(
        self,
        device: Device,
        index: int,
        compute: Stream,
        *,
        depth: int,
        spin_wait: bool,
        transfers: tuple[Copy, Copy] | None,
    ) -> None:
        self.index = index
        self.compute = compute
        self.enqueue: Queue
        self._transfers = transfers
        self._input = device.stream()
        self._output = device.stream()
        self._marks = [
            _Marks(*(device.event(spin=spin_wait) for _ in range(6))) for _ in range(depth)
        ]
        self._enqueued: list[tuple[int, int] | None] = [None] * depth
        self._next = 0

    def open(self, gate: Event) -> None:
        """Lets nothing run on this lane before the gate."""
        for stream in (self._input, self.compute, self._output):
            stream.wait_for_event(gate)

    def start(self) -> None:
        """Queues one query."""
        marks, compute, transfers = self._marks[self._next], self.compute, self._transfers
        if transfers is not None:
            source = self._input
            marks.h2d_start.record(source)
            transfers[0](source)
            marks.h2d_end.record(source)
            compute.wait_for_event(marks.h2d_end)
        marks.compute_start.record(compute)
        begun = perf_counter_ns()
        self.enqueue()
        ended = perf_counter_ns()
        marks.compute_end.record(compute)
        if transfers is not None:
            target = self._output
            target.wait_for_event(marks.compute_end)
            marks.d2h_start.record(target)
            transfers[1](target)
            marks.d2h_end.record(target)
        self._enqueued[self._next] = (begun, ended)
        self._next = (self._next + 1) % len(self._marks)

    def wait(self, gate: Gate) -> Query | None:
        """Waits for the oldest query in flight once all slots are taken; None before that."""
        enqueued = self._enqueued[self._next]
        if enqueued is None:
            return None
        self._enqueued[self._next] = None
        return self._timed(self._marks[self._next], enqueued, gate)

    def rest(self, gate: Gate) -> list[Query]:
        """Waits for every query still in flight, the oldest first."""
        found = []
        for _ in self._marks:
            query = self.wait(gate)
            if query is not None:
                found.append(query)
            self._next = (self._next + 1) % len(self._marks)
        return found

    def _timed(self, marks: _Marks, enqueued: tuple[int, int], gate: Gate) -> Query:
        begun = (enqueued[0] - gate.host_ns) / 1e6
        ended = (enqueued[1] - gate.host_ns) / 1e6
        if self._transfers is None:
            marks.compute_end.synchronize()
            started = marks.compute_start.time_since(gate.event)
            compute = marks.compute_end.time_since(marks.compute_start)
            finished = started + compute
            return (self.index, begun, ended, started, 0.0, started, compute, finished, 0.0)
        marks.d2h_end.synchronize()
        return (
            self.index,
            begun,
            ended,
            marks.h2d_start.time_since(gate.event),
            marks.h2d_end.time_since(marks.h2d_start),
            marks.compute_start.time_since(gate.event),
            marks.compute_end.time_since(marks.compute_start),
            marks.d2h_start.time_since(gate.event),
            marks.d2h_end.time_since(marks.d2h_start),
        )
