"""Engines as subjects of a comparison, one query at a time, without copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter_ns

import numpy as np

from trtbuild.benchmark.interleave import Timed
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.streams import InferenceStream
from trtbuild.trt.contexts import Contexts
from trtbuild.trt.engine import Engine
from trtbuild.trt.tensors import Array


class EngineSubject:
    """An engine with its inputs on the GPU, launched as the settings say (CUDA graph or not)."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        contexts: Contexts,
        settings: Settings,
        inputs: Mapping[str, Array],
    ) -> None:
        self.name = name
        self.warnings: list[str] = []
        alone = replace(settings, streams=1, transfers=False, overlap=False)
        self._stream = InferenceStream(engine, contexts, alone, 0)
        self._stream.prepare(inputs, self.warnings.append)
        self._start = engine.device.event(spin=settings.spin_wait)
        self._end = engine.device.event(spin=settings.spin_wait)

    def run(self, queries: int) -> Timed:
        """Runs so many queries, each waited for before the next; the device is current."""
        start, end, compute = self._start, self._end, self._stream.lane.compute
        enqueue = self._stream.lane.enqueue
        wall, gpu = np.empty(queries), np.empty(queries)
        for index in range(queries):
            begun = perf_counter_ns()
            start.record(compute)
            enqueue()
            end.record(compute)
            end.synchronize()
            wall[index] = (perf_counter_ns() - begun) / 1e6
            gpu[index] = end.time_since(start)
        return Timed(wall, gpu)

    def free(self) -> None:
        """Gives the graph back."""
        self._stream.free()
