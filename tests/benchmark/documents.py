"""A benchmark's result document, as the stage writes it, of queries with known times."""

from __future__ import annotations

from typing import Any

from trtbuild.benchmark.measure import Measured
from trtbuild.benchmark.result import point_part
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.trace import Trace, trace_of

DIGEST = f"sha256:{'0' * 64}:1000"


def trace(compute: float = 1.0, h2d: float = 0.25, d2h: float = 0.125) -> Trace:
    """Queries one after the other, each a little longer than the one before."""
    rows = []
    now = 0.0
    for index in range(100):
        took = compute * (1 + index / 1000)
        rows.append((0, now, now + 0.01, now, h2d, now + h2d, took, now + h2d + took, d2h))
        now += h2d + took + d2h
    return trace_of(rows)


def point(
    name: str = "opt",
    batch: int = 8,
    percentiles: tuple[float, ...] = Settings().percentiles,
    **times: float,
) -> dict[str, Any]:
    """One point, by the functions that the stage uses."""
    measured = Measured(
        trace=trace(**times),
        warmup_queries=10,
        cuda_graph="none",
        memory=1 << 20,
        outputs={},
        layers="",
        warnings=(),
    )
    settings = Settings(percentiles=percentiles)
    part: dict[str, Any] = point_part(name, {"x": (batch, 4)}, measured, settings)
    return part | {"gpu": None}


def result(*points: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A whole document."""
    document: dict[str, Any] = {
        "format": 1,
        "engine": {
            "digest": DIGEST,
            "size": 1000,
            "backend": "tensorrt_rtx",
            "version": "1.6.1.120",
            "profiles": 1,
            "tensors": [{"name": "x", "mode": "input", "dtype": "float32", "shape": [-1, 4]}],
        },
        "device": {
            "ordinal": 0,
            "name": "NVIDIA Test",
            "compute_capability": "9.0",
            "memory": 1 << 30,
            "uuid": "GPU-0",
            "pci_bus": "0000:01:00.0",
            "multiprocessors": 1,
            "l2_cache": 0,
            "persisting_l2": 0,
            "integrated": False,
            "driver": "580.1",
            "cuda": "13.0",
            "provider": "pycuda 2026.1",
        },
        "host": {"cpu": "", "cores": 2, "python": "3.12.3", "system": "Linux x86_64"},
        "settings": Settings().as_options(),
        "weight_streaming_bytes": None,
        "runtime_cache_taken": None,
        "load": {"first_ms": 1.0, "deserialize": None, "refit": None},
        "points": list(points) or [point()],
    }
    return document | changes
