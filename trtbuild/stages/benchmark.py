"""Measures an engine on the GPU, as trtexec does, and beside other runtimes."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trtbuild.benchmark.asked import Asked
from trtbuild.benchmark.baselines import Source
from trtbuild.benchmark.points import PointRun
from trtbuild.benchmark.regression import Accepted, Ready
from trtbuild.benchmark.result import FORMAT, EngineIdentity, device_part, engine_part, host_part
from trtbuild.benchmark.settings import Settings, settings_of
from trtbuild.cuda.device import open_device
from trtbuild.cuda.nvml import Monitor, monitor
from trtbuild.cuda.probe import probe
from trtbuild.errors import StageError
from trtbuild.recipe.model import Options
from trtbuild.stages.base import StageContext
from trtbuild.store.digest import digest_of_file
from trtbuild.trt.contexts import Contexts, set_weight_streaming
from trtbuild.trt.engine import Engine, deserialise, opened
from trtbuild.trt.plugins import plugins_of
from trtbuild.trt.timing import time_deserialize, time_refit

_RUNTIME_CACHE = "runtime.cache"


def run(context: StageContext) -> None:
    """Role `engine` -> benchmark.json, and what the settings ask for of times.json, profile.json,
    output.json, layers.json (trtexec's files, of the first point) and runtime.cache (RTX).

    Roles that may be there: `input.NAME` (values of an input, else random), `accepted` (the
    engine to judge a regression by), `model` and `variant` (ONNX, for baselines), `refit` (ONNX,
    whose weights time_refit puts in), `runtime_cache`, `plugins/KIND/NUMBER`, and those of the
    source (factory, weights, program).
    Options: backend, inputs (of the recipe; [] for the engine's own opt shapes), points (a list
    of {"name", "shapes": {input: shape}}, the profile's opt where an input has none; missing: one
    at opt), renames (by surgery: old name -> new name), seed, provider (of CUDA; null), baselines
    (see make_baseline), source (of the export stage), and those of Settings.
    Raises StageError where there is no GPU, or the engine cannot be loaded or run on it.
    """
    settings = settings_of(context.options)
    with ExitStack() as stack:
        document = _measured(context, settings, stack)
    _write(context.outputs / "benchmark.json", json.dumps(document, indent=1, allow_nan=False))


def _measured(context: StageContext, settings: Settings, stack: ExitStack) -> Options:
    """The whole document; what is opened on the way closes with the stack."""
    options: Any = context.options
    identity = _identity(context.inputs["engine"], options["backend"])
    gpu, earlier = _watched(stack)
    device = open_device(provider=options.get("provider"))
    stack.callback(device.close)
    plugins = plugins_of(context.inputs)
    path = context.inputs["engine"]
    engine = stack.enter_context(opened(path, identity.backend, device, plugins))
    _require_profile(engine, settings)
    contexts, streaming, taken = _contexts(context, engine, settings)
    point_run = PointRun(
        engine=engine,
        contexts=contexts,
        settings=settings,
        source=_source(context),
        baselines=options.get("baselines") or (),
        monitor=gpu,
        earlier=earlier,
        warn=context.reporter.warn,
    )
    accepted = _accepted(context, engine, identity.digest, settings)
    document: Options = {
        "format": FORMAT,
        "engine": engine_part(identity, engine),
        "device": device_part(device),
        "host": host_part(),
        "settings": settings.as_options(),
        "weight_streaming_bytes": streaming,
        "runtime_cache_taken": taken,
        "load": _load_times(context, engine, settings),
        "points": _points(context, point_run, accepted),
    }
    for name, text in point_run.files.items():
        _write(context.outputs / name, text)
    if settings.runtime_cache:
        (context.outputs / _RUNTIME_CACHE).write_bytes(contexts.runtime_cache())
    return document


def _watched(stack: ExitStack) -> tuple[Monitor | None, tuple[int, ...]]:
    """A monitor of the GPU, and the processes on it before this one has a context there."""
    devices = probe().devices
    found = stack.enter_context(monitor(devices[0].uuid)) if devices else None
    return found, found.state().processes if found is not None else ()


def _points(context: StageContext, point_run: PointRun, accepted: Accepted | None) -> list[Any]:
    asked = Asked(context.options, context.inputs, point_run.engine)
    profile = point_run.settings.optimization_profile
    wanted = asked.points(profile)
    found: list[Any] = []
    for number, (name, shapes) in enumerate(wanted):
        context.reporter.progress(f"measuring {name}", number / len(wanted))
        found.append(point_run.measure(name, shapes, asked.values(shapes, profile)))
        for text in found[-1]["warnings"]:
            context.reporter.warn(f"{name}: {text}")
    if accepted is not None:
        for part, (name, shapes) in zip(found, wanted, strict=True):
            context.reporter.progress(f"measuring {name} beside the accepted engine", None)
            new = point_run.engine, point_run.contexts
            part |= accepted.beside(new, point_run.settings, asked.values(shapes, profile))
            if missing := part.get("regression_missing"):
                text = f"the accepted engine is not run beside this one: {missing}"
                part["warnings"].append(text)
                context.reporter.warn(f"{name}: {text}")
    return found


def _identity(path: Path, backend: str) -> EngineIdentity:
    try:
        digest = digest_of_file(path)
    except OSError as error:
        raise StageError(f"the engine cannot be read: {error.strerror}", where=str(path)) from error
    return EngineIdentity(digest.text, digest.size_bytes, backend)


def _source(context: StageContext) -> Source:
    source: Any = context.options.get("source")
    model, variant = context.inputs.get("model"), context.inputs.get("variant")
    renames: Any = context.options.get("renames") or {}
    return Source(source, context.inputs, context.folder, model, variant, renames)


def _accepted(
    context: StageContext, engine: Engine, digest: str, settings: Settings
) -> Accepted | None:
    """The accepted engine under the same settings, unless it is the very one that is measured."""
    path = context.inputs.get("accepted")
    if path is None:
        return None
    before = digest_of_file(path).text
    if before == digest:
        return None
    plugins = plugins_of(context.inputs)

    def load() -> Ready:
        accepted = deserialise(path, engine.flavour, engine.device, engine.log, plugins)
        _require_profile(accepted, settings)
        contexts, _, _ = _contexts(context, accepted, settings)
        return accepted, contexts

    return Accepted(before, load, context.reporter.warn)


def _require_profile(engine: Engine, settings: Settings) -> None:
    if settings.optimization_profile >= engine.profiles:
        raise StageError(
            f"there is no optimization profile {settings.optimization_profile}: this engine has "
            f"{engine.profiles}, counted from 0",
            where=str(engine.path),
        )


def _contexts(
    context: StageContext, engine: Engine, settings: Settings
) -> tuple[Contexts, int | None, bool | None]:
    """What makes an engine's contexts, the bytes of weights that stay on the GPU, and whether the
    kernels of an earlier run were taken.
    """
    streaming = set_weight_streaming(engine, settings.weight_streaming_budget)
    contexts = Contexts(engine)
    return contexts, streaming, _take_runtime_cache(context, contexts, settings)


def _take_runtime_cache(
    context: StageContext, contexts: Contexts, settings: Settings
) -> bool | None:
    """Whether RTX took the compiled kernels of an earlier run; None where none is wanted."""
    if not settings.runtime_cache:
        return None
    stored = context.inputs.get("runtime_cache")
    return contexts.use_runtime_cache(stored.read_bytes() if stored is not None else b"")


def _load_times(context: StageContext, engine: Engine, settings: Settings) -> Options:
    refit = None
    if settings.time_refit:
        if "refit" not in context.inputs:
            raise StageError("time_refit needs the ONNX model that the engine was built from")
        refit = time_refit(engine, context.inputs["refit"])
    return {
        "first_ms": engine.load_ms,
        "deserialize": time_deserialize(engine) if settings.time_deserialize else None,
        "refit": refit,
    }


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise StageError(f"cannot be written: {error.strerror}", where=str(path)) from error
