"""Measures an engine at one set of shapes: makes the streams, runs the loop, keeps what counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trtbuild.benchmark.loop import measure
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.streams import InferenceStream
from trtbuild.benchmark.trace import Trace, kept
from trtbuild.trt.contexts import Contexts
from trtbuild.trt.engine import Engine
from trtbuild.trt.tensors import Array


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one measurement."""

    trace: Trace  # the queries that count
    warmup_queries: int
    cuda_graph: str  # "capture", "runtime" or "none": how the engine was launched
    memory: int  # bytes on the GPU that contexts, buffers and graphs of all streams took
    outputs: dict[str, Array]  # of the last query of the first stream
    layers: str  # the inspector's JSON, verbatim; "" where it was not asked for
    warnings: tuple[str, ...]


def measure_engine(
    engine: Engine,
    settings: Settings,
    inputs: Mapping[str, Array],
    *,
    contexts: Contexts,
    layers: bool = False,
) -> Measured:
    """Measures at the shapes of `inputs`; the engine's device is current.

    Raises StageError for shapes outside the profile, memory that runs out, and a lost GPU.
    """
    device = engine.device
    warned: list[str] = []
    before = device.free_memory()
    streams = [InferenceStream(engine, contexts, settings, i) for i in range(settings.streams)]
    try:
        for stream in streams:
            stream.prepare(inputs, warned.append)
        device.synchronize()
        memory = before - device.free_memory()
        everything = measure(device, [stream.lane for stream in streams], settings)
        trace = kept(everything, settings.warmup_ms)
        return Measured(
            trace=trace,
            warmup_queries=len(everything) - len(trace),
            cuda_graph=streams[0].launched_by,
            memory=max(memory, 0),
            outputs=streams[0].outputs(),
            layers=engine.layer_information(streams[0].native) if layers else "",
            warnings=tuple(dict.fromkeys(warned)),
        )
    finally:
        for stream in streams:
            stream.free()
