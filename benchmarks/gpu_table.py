"""The results of benchmarks.gpu as a Markdown table."""

from __future__ import annotations

from typing import Any


def table(document: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        f"# {document['gpu']}, driver {document['driver']}, {document['date']}",
        "",
        ", ".join(f"{name} {found}" for name, found in document["versions"].items()),
        "",
        "Times in ms: GPU compute time (median, p99) with copies, throughput in queries per",
        "second; the median without copies, plain and in a CUDA graph of our own; then how many",
        "times as long each baseline takes (host's clock, one query at a time, 95 % interval).",
        "",
        "| model | verify | median | p99 | queries/s | plain | graph | baselines |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(model) for model in document["models"]),
    ]
    for tests in document["tests"]:
        lines += ["", f"`pytest {' '.join(tests['arguments'])}`: {tests.get('tests', 0)} tests, "
                  f"{tests.get('skipped', 0)} skipped, failed: "
                  f"{', '.join(tests['failed']) or 'none'}"]  # fmt: skip
    if document["not_run"]:
        lines += ["", f"Not run for want of time: {', '.join(document['not_run'])}"]
    return "\n".join(lines) + "\n"


def _row(model: dict[str, Any]) -> str:
    name = f"{model['recipe']} {model.get('variant', '')}".strip()
    measured = model.get("measured", {})
    first = measured.get("with baselines", {"error": model.get("error", "not built")})
    if "error" in first:
        reason = " ".join(str(first["error"]).split())[:100]
        return f"| {name} | {model.get('verify', {}).get('verdict', '')} | {reason} | | | | | |"
    point = first["points"][0]
    compute = point["metrics"]["gpu_compute"]
    cells = [
        name,
        model["verify"]["verdict"],
        f"{compute['median']:.3f}",
        f"{compute['percentiles']['99']:.3f}",
        f"{point['throughput']:.0f}",
        *(_median(measured.get(way)) for way in ("no copies", "own graph")),
        "; ".join(_baseline(other) for other in point["baselines"]["others"]),
    ]
    return f"| {' | '.join(cells)} |"


def _median(document: dict[str, Any] | None) -> str:
    if document is None or "error" in document:
        return "-"
    point = document["points"][0]
    shown = f"{point['metrics']['gpu_compute']['median']:.3f}"
    wanted = document["settings"]["cuda_graph"]
    return f"{shown} (no graph)" if wanted and point["cuda_graph"] == "none" else shown


def _baseline(other: dict[str, Any]) -> str:
    ratio = other["speedup"]["wall"]
    return f"{other['name']} {ratio['estimate']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
