"""What differs between two engines, results or variants. Pure, on plain documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trtbuild.benchmark.alike import caveats, pairs, with_layers
from trtbuild.recipe.model import Options

FORMAT = 1
METRICS = ("latency", "enqueue", "h2d", "gpu_compute", "d2h")


@dataclass(frozen=True, slots=True)
class Side:
    """What there is of one of the two; None where there is no such document."""

    label: str  # as the user named it
    engine_size: int | None = None  # bytes
    benchmark: Options | None = None  # benchmark.json
    build: Options | None = None  # build.json
    verify: Options | None = None  # verify.json
    notes: tuple[str, ...] = ()  # what was left out of it, and why


def compare(first: Side, second: Side) -> Options:
    """The differences, second against first: ratios above 1 say that the second one has more.

    Parts that either side lacks are null.
    """
    return {
        "format": FORMAT,
        "first": first.label,
        "second": second.label,
        "size": _numbers(first.engine_size, second.engine_size),
        "caveats": [
            *dict.fromkeys((*first.notes, *second.notes)),
            *caveats(first.benchmark, second.benchmark),
            *_of_other_steps(first.verify, second.verify),
        ],
        "points": _points(first.benchmark, second.benchmark),
        "layers": _layers(first.benchmark, second.benchmark),
        "precision": _precision(first.build, second.build),
        "accuracy": _accuracy(first.verify, second.verify),
    }


def _numbers(first: float | None, second: float | None) -> Any:
    if first is None or second is None:
        return None
    ratio = second / first if first else None
    return {"first": first, "second": second, "difference": second - first, "ratio": ratio}


def _points(first: Any, second: Any) -> Any:
    """Each metric's statistics at each point that both have (same shapes)."""
    if first is None or second is None:
        return None
    return [_point(point, other) for point, other in pairs(first, second)]


def _point(first: Any, second: Any) -> Options:
    metrics: Options = {
        metric: {
            name: _numbers(_statistic(first, metric, name), _statistic(second, metric, name))
            for name in ("min", "median", "mean", "max", *_percentages(first, second, metric))
        }
        for metric in METRICS
    }
    return {
        "name": first["name"],
        "shapes": first["shapes"],
        "throughput": _numbers(first["throughput"], second["throughput"]),
        "gpu_memory": _numbers(first["gpu_memory"], second["gpu_memory"]),
        "metrics": metrics,
    }


def _percentages(first: Any, second: Any, metric: str) -> list[str]:
    """The percentiles that both have, as p99."""
    common = (
        first["metrics"][metric]["percentiles"].keys()
        & second["metrics"][metric]["percentiles"].keys()
    )
    return [f"p{key}" for key in sorted(common, key=float)]


def _statistic(point: Any, metric: str, name: str) -> float:
    summary = point["metrics"][metric]
    if name.startswith("p"):
        return float(summary["percentiles"][name[1:]])
    return float(summary[name])


def _layers(first: Any, second: Any) -> Any:
    """Layers by name: gone, new, and changed in time, kind, tactic, types or count.

    At the first shapes at which both have measured their layers; None where there are none.
    """
    if first is None or second is None:
        return None
    for point, other in with_layers(first, second):
        found = _tables(_by_name(point["layers"]), _by_name(other["layers"]))
        return {"point": point["name"], "shapes": point["shapes"], **found}
    return None


def _by_name(layers: Iterable[Any]) -> dict[str, Any]:
    """The layers by name. One that comes again in other places of the engine is there once, with
    the time of all of them: a document has them by time, so that no two places could be matched.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        known = found.setdefault(layer["name"], layer | {"average_ms": 0.0, "count": 0})
        known["average_ms"] += layer["average_ms"]
        known["count"] += 1
    return found


def _tables(before: dict[str, Any], after: dict[str, Any]) -> Options:
    changed: list[Any] = []
    for name in before:
        if name in after:
            what = [
                key
                for key in ("kind", "tactic", "types", "count")
                if before[name][key] != after[name][key]
            ]
            changed.append(
                {
                    "name": name,
                    "changed": what,
                    "average_ms": _numbers(before[name]["average_ms"], after[name]["average_ms"]),
                }
            )
    changed.sort(key=lambda layer: -abs(layer["average_ms"]["difference"]))
    return {
        "gone": [name for name in before if name not in after],
        "new": [name for name in after if name not in before],
        "common": changed,
    }


def _precision(first: Any, second: Any) -> Any:
    """The share of each element type among the outputs of the network's layers, in percent."""
    counts = [(side or {}).get("tensor_types") for side in (first, second)]
    if not all(counts):
        return None
    shares = [
        {name: number / sum(types.values()) * 100 for name, number in types.items()}
        for types in counts
        if types
    ]
    names = sorted({name for share in shares for name in share})
    return {name: _numbers(shares[0].get(name, 0.0), shares[1].get(name, 0.0)) for name in names}


def _accuracy(first: Any, second: Any) -> Any:
    """The scores of the task, and how far each output is off in the end, that both have."""
    if first is None or second is None:
        return None
    before, after = dict(_scores(first)), dict(_scores(second))
    return {key: _numbers(before[key], after[key]) for key in before if key in after}


def _scores(verify: Any) -> Iterable[tuple[str, float]]:
    for name, score in verify.get("metrics", {}).items():
        yield name, float(score["value"])
    for output in _last(verify)["outputs"]:
        for metric, value in (output["metrics"] or {}).items():
            if value is not None:
                yield f"{output['name']} {metric}", float(value)


def _last(verify: Any) -> Any:
    """The last step that was compared: what came before it is alike in variants of one model."""
    ran = [step for step in verify.get("steps", ()) if step["outputs"]]
    return ran[-1] if ran else {"step": "", "outputs": []}


def _of_other_steps(first: Any, second: Any) -> Iterable[str]:
    names = [_last(side or {})["step"] for side in (first, second)]
    if all(names) and (names[0] == "engine") != (names[1] == "engine"):
        yield f"the accuracy is that of {names[0]} and of {names[1]}: only one engine was run"
