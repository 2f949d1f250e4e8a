"""Turns the `benchmark` of a recipe into options of the stage: every default filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trtbuild.recipe.benchmark_shapes import points_of
from trtbuild.recipe.model import Benchmark, Input, JSONValue, Options
from trtbuild.recipe.raw import RawBaseline, RawBenchmark
from trtbuild.recipe.torch_section import torch_section
from trtbuild.recipe.units import bytes_of, milliseconds_of, whole

DURATIONS = {  # key -> option in ms, default
    "warmup": ("warmup_ms", "200ms"),
    "sleep": ("sleep_ms", "0ms"),
    "idle": ("idle_ms", "0ms"),
    "round": ("round_ms", "100ms"),
}
DURATION = "3s"
PLAIN: dict[str, tuple[str, JSONValue]] = {  # key -> option, default
    "iterations": ("iterations", 10),
    "streams": ("streams", 1),
    "threads": ("threads", False),
    "transfers": ("transfers", True),
    "overlap": ("overlap", True),
    "spin_wait": ("spin_wait", True),
    "cuda_graph": ("cuda_graph", False),
    "profile_index": ("optimization_profile", 0),
    "allocation": ("allocation", "static"),
    "runtime_cache": ("runtime_cache", False),
    "kernel_specialization": ("kernel_specialization", "eager"),
    "profile": ("layer_profile", False),
    "time_deserialize": ("time_deserialize", False),
    "time_refit": ("time_refit", False),
    "rounds": ("rounds", 20),
}
EXPORTS = ("times", "outputs", "layers")
PERCENTILES = (90.0, 95.0, 99.0)
SHAPES = "opt"
_TORCH: Options = {"dtype": None, "tf32": True}
BASELINES: dict[str, Options] = {  # kind -> its options' defaults
    "torch": _TORCH,
    "torch_compile": {**_TORCH, "mode": "default"},
    "onnxruntime": {"provider": None, "threads": None, "graph": "model"},
}


def benchmark_section(benchmark: RawBenchmark, inputs: Sequence[Input]) -> Benchmark:
    """The values of a checked `benchmark` section of a recipe with these inputs."""
    given: dict[str, Any] = dict(benchmark)
    values = given.get("inputs", {})
    plain = {option: whole(given.get(key, default)) for key, (option, default) in PLAIN.items()}
    durations: Options = {
        option: milliseconds(given.get(key, default))
        for key, (option, default) in DURATIONS.items()
    }
    options: Options = {
        "points": [point.as_options() for point in points_of(given.get("shapes", SHAPES), inputs)],
        "seed": int(values.get("seed", 0)),
        "baselines": [_baseline(spec) for spec in given.get("baselines", ())],
        **plain,
        **durations,
        "duration_s": milliseconds(given.get("duration", DURATION)) / 1000,
        "persistent_cache_ratio": float(given.get("persistent_cache_ratio", 0)),
        "weight_streaming_budget": budget_of(given.get("weight_streaming_budget")),
        "percentiles": [float(value) for value in sorted(given.get("percentiles", PERCENTILES))],
        **{f"export_{name}": name in given.get("export", ()) for name in EXPORTS},
    }
    files = tuple(sorted(values.get("files", {}).items()))
    torch = torch_section(given["torch"]) if "torch" in given else None
    return Benchmark(options, files, given.get("gates", {}), torch)


def option_names(key: str) -> tuple[str, ...]:
    """The options of the stage that a key of the section decides."""
    if key in PLAIN:
        return (PLAIN[key][0],)
    if key in DURATIONS:
        return (DURATIONS[key][0],)
    if key == "export":
        return tuple(f"export_{name}" for name in EXPORTS)
    return _OTHERS.get(key, ())


_OTHERS = {
    "shapes": ("points",),
    "inputs": ("seed",),
    "duration": ("duration_s",),
    **{
        key: (key,)
        for key in ("baselines", "persistent_cache_ratio", "weight_streaming_budget", "percentiles")
    },
}


def milliseconds(text: str) -> float:
    """The milliseconds of a duration that was checked before."""
    found = milliseconds_of(text)
    assert found is not None  # noqa: S101 - the checks have refused what is no duration
    return found


def budget_of(value: Any) -> int | str | None:
    """A weight streaming budget: bytes, "auto" or a share as "40%"; None where none is given."""
    if value is None or value == "auto" or str(value).endswith("%"):
        return None if value is None else str(value)
    return bytes_of(value) if isinstance(value, str) else int(value)


def baseline_kind(spec: str | RawBaseline) -> str:
    """Which runtime a baseline is, in its short form or its long one; "" where nothing says."""
    return spec if isinstance(spec, str) else spec.get("kind", "")


def _baseline(spec: str | RawBaseline) -> Options:
    kind = baseline_kind(spec)
    given: Any = {} if isinstance(spec, str) else spec
    return {"kind": kind, **BASELINES[kind], **{key: whole(given[key]) for key in given}}
