"""What was timed of each query, and the part of it that counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtbuild.errors import StageError

Times: TypeAlias = NDArray[np.float64]

Query: TypeAlias = tuple[int, float, float, float, float, float, float, float, float]
"""One query, in the order of Trace's fields."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Queries, an array element each; all times in ms.

    GPU times start at the event that opened the gate (`compute`: from just before the engine's
    first kernel to just after its last), enqueue times at the host's clock at that moment.
    Durations are measured between their own two events, since an event's time since the gate has
    no more digits than a float32 (0.25 us after 4 s). Without transfers, `h2d_start` is
    `compute_start`, `d2h_start` its end, and both durations are 0.
    """

    stream: Times
    enqueue_start: Times
    enqueue_end: Times
    h2d_start: Times
    h2d: Times
    compute_start: Times
    compute: Times
    d2h_start: Times
    d2h: Times

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def enqueue(self) -> Times:
        """The host's time in the call that queues the engine; copies are not in it."""
        return self.enqueue_end - self.enqueue_start

    @property
    def latency(self) -> Times:
        """The sum of the three intervals, gaps between them left out (sampleReporting.h:52)."""
        return self.h2d + self.compute + self.d2h

    @property
    def d2h_end(self) -> Times:
        """When each query was done."""
        return self.d2h_start + self.d2h

    @property
    def walltime_ms(self) -> float:
        """From the first query's start to the last one's end, by the GPU's clock."""
        return float(self.d2h_end[-1] - self.h2d_start[0])

    def taken(self, index: NDArray[np.intp]) -> Trace:
        """The queries at these positions, in this order."""
        return Trace(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def trace_of(queries: Iterable[Query]) -> Trace:
    """The trace of queries in any order."""
    table = np.array(list(queries), np.float64).reshape(-1, len(fields(Trace)))
    return Trace(*(np.ascontiguousarray(column) for column in table.T))


def kept(trace: Trace, warmup_ms: float) -> Trace:
    """The queries that count: by start, from the first whose compute starts after the warm-up.

    As trtexec (sampleReporting.cpp:325-348): later ones count even where they start within the
    warm-up, on another stream. Raises StageError where nothing is left.
    """
    trace = trace.taken(np.argsort(trace.h2d_start, kind="stable"))
    after = np.flatnonzero(trace.compute_start >= warmup_ms)
    if not len(after):
        raise StageError("no query ran after the warm-up")
    return trace.taken(np.arange(after[0], len(trace)))
