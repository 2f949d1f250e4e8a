"""Which measurements of two results can be held against each other, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SAME_SETTINGS = (
    "transfers",
    "spin_wait",
    "streams",
    "threads",
    "overlap",
    "sleep_ms",
    "idle_ms",
    "optimization_profile",
    "allocation",
    "persistent_cache_ratio",
    "weight_streaming_budget",
    "kernel_specialization",
)
"""Settings that times depend on. Whether there was a CUDA graph is told by each point, since one
that was wanted may not have been possible.
"""


def pairs(first: Any, second: Any) -> Iterator[tuple[Any, Any]]:
    """The points of two results that have the same shapes, with those of the first in order."""
    by_shapes = {str(sorted(point["shapes"].items())): point for point in second["points"]}
    for point in first["points"]:
        other = by_shapes.get(str(sorted(point["shapes"].items())))
        if other is not None:
            yield point, other


def with_layers(first: Any, second: Any) -> Iterator[tuple[Any, Any]]:
    """Those of `pairs` at which both have times of layers."""
    for point, other in pairs(first, second):
        if point.get("layers") and other.get("layers"):
            yield point, other


def caveats(first: Any, second: Any) -> Iterator[str]:
    """Why the times of the two mean different things; nothing where one has no result."""
    if first is None or second is None:
        return
    for key, what in (("name", "GPU"), ("driver", "driver")):
        a, b = first["device"][key], second["device"][key]
        if a != b:
            yield f"measured with another {what}: {a or '?'} and {b or '?'}"
    for key in _SAME_SETTINGS:
        a, b = first["settings"][key], second["settings"][key]
        if a != b:
            yield f"measured with other settings: {key} is {_shown(a)} and {_shown(b)}"
    for point, other in pairs(first, second):
        a, b = point["cuda_graph"], other["cuda_graph"]
        if a != b:
            yield f"launched in another way at {point['name']}: cuda_graph is {a} and {b}"
    both = all(any(point.get("layers") for point in side["points"]) for side in (first, second))
    if both and not any(with_layers(first, second)):
        yield "layers are not compared: they were measured at no shapes that both have"


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)
