"""Prints a benchmark's result document, for a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trtbuild.report.tables import print_rows
from trtbuild.report.terminal import size_text

METRICS = ("latency", "enqueue", "h2d", "gpu_compute", "d2h")
SLOWEST = 15
"""Layers that are printed; the result has them all."""


def print_result(result: Any) -> None:
    """What was measured on what, then for each point its times, layers and comparisons."""
    engine, device, settings = result["engine"], result["device"], result["settings"]
    print(f"engine {engine['digest'][7:19]}, {size_text(engine['size'])}", end="")
    print(f", {engine['backend']} {engine['version']}, on {device['name']}", end="")
    print(f" (driver {device['driver'] or '?'}, {device['provider']})")
    names = ("transfers", "spin_wait", "cuda_graph", "layer_profile", "streams", "overlap")
    print("measured with " + ", ".join(f"{name} {_word(settings[name])}" for name in names))
    for point in result["points"]:
        _print_point(point)


def _print_point(point: Any) -> None:
    shapes = ", ".join(f"{name} {shape}" for name, shape in point["shapes"].items())
    print(f"\n{point['name']}: {shapes}")
    print(
        f"  {point['throughput']:.1f} queries/s, {point['samples_per_second']:.1f} samples/s, "
        f"{point['queries']} queries, CUDA graph: {point['cuda_graph']}, "
        f"{size_text(point['gpu_memory'])} on the GPU"
    )
    percentiles = list(point["metrics"]["latency"]["percentiles"])
    columns = ("ms", "min", "median", "mean", *(f"p{p}" for p in percentiles), "max", "cv %")
    print_rows(columns, [_times(name, point["metrics"][name], percentiles) for name in METRICS])
    for text in point["warnings"]:
        print(f"  warning: {text}")
    if layers := point.get("layers"):
        print_rows(("slowest layers", "ms", "%", "ONNX nodes"), _layers(layers))
    if baselines := point.get("baselines"):
        print_rows(("in turn with", "ms", "GPU ms", "times as long", "95 %"), _baselines(baselines))
        for missing in baselines["missing"]:
            print(f"  {missing['kind']} is left out: {missing['reason']}")
    if found := point.get("regression"):
        print(
            f"  {found['estimate']:.4f} times the accepted engine's time "
            f"(95 %: {found['low']:.4f} to {found['high']:.4f})"
        )


def _times(name: str, summary: Any, percentiles: list[str]) -> tuple[str, ...]:
    values = [summary["min"], summary["median"], summary["mean"]]
    values += [summary["percentiles"][p] for p in percentiles]
    return (name, *(f"{v:.4f}" for v in (*values, summary["max"])), f"{summary['cv']:.2f}")


def _layers(layers: list[Any]) -> Iterable[tuple[str, ...]]:
    for layer in layers[:SLOWEST]:
        nodes = ", ".join(layer["onnx"][:3]) + (" ..." if len(layer["onnx"]) > 3 else "")
        share = f"{layer['percentage']:.1f}"
        yield layer["name"][:60], f"{layer['average_ms']:.4f}", share, nodes


def _baselines(baselines: Any) -> Iterable[tuple[str, ...]]:
    engine = baselines["engine"]
    yield engine["name"], _median(engine["wall_ms"]), _median(engine["gpu_ms"]), "1", ""
    for other in baselines["others"]:
        ratio = other["speedup"]["wall"]
        shown = ("", "")
        if ratio is not None:
            shown = (f"{ratio['estimate']:.2f}", f"{ratio['low']:.2f} to {ratio['high']:.2f}")
        label = f"{other['name']} {other['version']}".strip()
        yield label, _median(other["wall_ms"]), _median(other["gpu_ms"]), *shown


def _median(summary: Any) -> str:
    return "" if summary is None else f"{summary['median']:.4f}"


def _word(value: Any) -> str:
    return (
        {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else f"{value}"
    )
