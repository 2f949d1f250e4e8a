"""The result document of a benchmark: schemas/benchmark.schema.json says what is in it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from trtbuild.benchmark.measure import Measured
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.statistics import Summary, summaries, throughput, warnings
from trtbuild.cuda.device import Device
from trtbuild.recipe.model import JSONValue, Options, Shape
from trtbuild.trt.engine import Engine

FORMAT = 1


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """Which engine was measured."""

    digest: str  # "sha256:HASH:SIZE" of the file
    size: int  # bytes
    backend: str


def engine_part(identity: EngineIdentity, engine: Engine) -> Options:
    """The engine: its digest, and what it takes and gives."""
    tensors: list[JSONValue] = [
        {
            "name": tensor.name,
            "mode": "input" if tensor.is_input else "output",
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
        }
        for tensor in engine.tensors
    ]
    return {
        **asdict(identity),
        "version": engine.flavour.version,
        "profiles": engine.profiles,
        "tensors": tensors,
    }


def device_part(device: Device) -> Options:
    """The GPU and its driver."""
    return {**asdict(device.facts), "provider": device.provider}


def point_part(
    name: str, shapes: dict[str, Shape], measured: Measured, settings: Settings
) -> Options:
    """One point: shapes, and every metric by trtexec's definitions, in ms and queries per second.

    The second says of the whole batch; `samples_per_second` counts along the first input's first
    axis, where it has one.
    """
    found = summaries(measured.trace, settings.percentiles)
    rate = throughput(measured.trace)
    launched = measured.cuda_graph != "none"
    doubts = warnings(found, settings.streams, cuda_graph=launched)
    first = next(iter(shapes.values()), ())
    return {
        "name": name,
        "shapes": {key: list(shape) for key, shape in shapes.items()},
        "queries": len(measured.trace),
        "warmup_queries": measured.warmup_queries,
        "walltime_ms": measured.trace.walltime_ms,
        "throughput": rate,
        "samples_per_second": rate * first[0] if first else rate,
        "metrics": {metric: summary_part(summary) for metric, summary in found.items()},
        "cuda_graph": measured.cuda_graph,
        "gpu_memory": measured.memory,
        "warnings": [*measured.warnings, *doubts],
    }


def summary_part(summary: Summary) -> Options:
    """One metric: ms, and percent for `cv`; percentiles by their percentage, as "99" or "99.9"."""
    return {
        "min": summary.min,
        "max": summary.max,
        "mean": summary.mean,
        "median": summary.median,
        "cv": summary.cv,
        "percentiles": {
            repr(float(p)).removesuffix(".0"): value for p, value in summary.percentiles
        },
    }


def host_part() -> Options:
    """The host that queued the work: enqueue times are its own."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((ln.partition(":")[2].strip() for ln in lines if ln.startswith("model name")), "")
