"""The run that times an engine's layers, apart from the one that is measured."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from trtbuild.benchmark.layers import LayerTimes
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.streams import context_options
from trtbuild.trt.callbacks import profiler
from trtbuild.trt.contexts import Contexts, give_memory
from trtbuild.trt.engine import Engine
from trtbuild.trt.session import Session
from trtbuild.trt.tensors import Array


def profile_layers(
    engine: Engine, contexts: Contexts, settings: Settings, inputs: Mapping[str, Array]
) -> tuple[LayerTimes, str]:
    """Times of the layers, and the inspector's JSON with these shapes.

    A context of its own without CUDA graphs, since a graph has no layers to time; for the same
    warm-up, duration and iterations as the measurement, after which trtexec does it too.
    """
    options = context_options(engine, replace(settings, cuda_graph=False))
    native = contexts.create(options)
    session = Session(engine, native, engine.device.stream(), settings.optimization_profile)
    session.prepare(inputs)
    memory = give_memory(engine, native, options)  # noqa: F841 - the context uses it
    session.copy_in(session.stream)
    _repeat(session, settings.warmup_ms / 1000, 1)
    times = LayerTimes()
    listener = profiler(engine.flavour.module, times.report)
    native.profiler = listener
    # Else each enqueue waits for the layers' times, and so does every kernel behind it.
    native.enqueue_emits_profile = False
    _repeat(session, settings.duration_s, settings.iterations)
    return times, engine.layer_information(native)


def _repeat(session: Session, seconds: float, least: int) -> None:
    until = time.monotonic() + seconds
    done = 0
    while done < least or time.monotonic() < until:
        session.enqueue()
        if session.native.profiler is not None and not session.native.report_to_profiler():
            raise session.engine.failure("the times of the layers cannot be reported")
        session.stream.synchronize()
        done += 1
