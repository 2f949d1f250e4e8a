"""How long an engine takes to load, to be made ready, and to be refitted."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from trtbuild.errors import StageError
from trtbuild.recipe.model import Options
from trtbuild.trt.engine import Engine, load_plan

_WARMUPS, _RUNS, _REFITS = 2, 20, 10  # as trtexec: sampleInference.cpp:1950


def time_deserialize(engine: Engine) -> Options:
    """ms to deserialise the engine again: 2 runs are thrown away, 1 is the first, 20 are timed.

    trtexec (--timeDeserialize) fails where the first is over twice the mean; here that is told.
    """
    plan = load_plan(engine.path, engine.flavour)

    def once() -> None:
        if engine.deserialise_again(plan) is None:
            raise engine.failure("the engine cannot be deserialised a second time")

    for _ in range(_WARMUPS):
        once()
    first = _timed(once)
    times = [_timed(once) for _ in range(_RUNS)]
    found = _summary(times)
    return {
        **found,
        "first_ms": first,
        "bytes": len(plan),
        "steady": first <= 2 * statistics.fmean(times),
    }


def time_refit(engine: Engine, model: Path) -> Options:
    """ms to refit the engine with the weights of an ONNX file; one run is thrown away.

    Raises StageError for an engine that is not refittable, or a model that does not fit it.
    """
    if not engine.native.refittable:
        raise StageError(
            "this engine cannot be refitted",
            where=str(engine.path),
            hint="build it with refit, or leave time_refit out",
        )
    log = engine.log

    def once() -> None:
        refitter = log.create("Refitter", engine.native)
        parser = log.create("OnnxParserRefitter", refitter)
        if not parser.refit_from_file(str(model)) or not refitter.refit_cuda_engine():
            raise engine.failure(f"the engine cannot be refitted from {model.name}")

    once()
    return _summary([_timed(once) for _ in range(_REFITS)])


def _timed(function: Callable[[], None]) -> float:
    started = perf_counter()
    function()
    return (perf_counter() - started) * 1000


def _summary(times: list[float]) -> Options:
    return {
        "runs": len(times),
        "mean_ms": statistics.fmean(times),
        "median_ms": statistics.median(times),
        "min_ms": min(times),
        "max_ms": max(times),
    }
