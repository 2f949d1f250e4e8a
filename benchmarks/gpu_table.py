"""The results of benchmarks.gpu as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GOOD = ("EXECUTED", "UP_TO_DATE", "RESTORED")
END = " |" * 6
"""The cells of an engine that was not measured."""


def table(document: dict[str, Any]) -> str:
    """The results as Markdown: engines, then each beside other runtimes, then the tests."""
    models = document["models"]
    lines = [
        f"# {document['gpu']}, driver {document['driver']}, {document['date']}",
        "",
        ", ".join(f"{name} {found}" for name, found in document["versions"].items())
        + f", Python {document['python']}",
        "",
        "## Engines",
        "",
        "Milliseconds at the recipe's opt shapes: the GPU's compute time; the latency with the",
        "copies to the GPU and back; queries per second with two in flight. Then the median of the",
        "compute time and queries per second as a CUDA graph of our own without copies. A score is",
        "that of the engine on the recipe's data, in brackets that of the source model.",
        "",
        "| model | verified | GPU | p99 | latency | p99 | queries/s | graph | queries/s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *map(_engine, models),
        "",
        "## Beside other runtimes",
        "",
        "One query at a time by the host's clock, in turn on the same inputs, which lie on the GPU",
        "already except for a runtime on the CPU; queries per second from the median. The last",
        "column is how many times as long it takes as the engine, with a 95 % interval.",
        "",
        "| model | runtime | median ms | p99 ms | queries/s | times as long |",
        "| --- | --- | --- | --- | --- | --- |",
        *(row for model in models for row in _beside(model)),
        "",
        "## Tests",
        *(line for tests in document["tests"] for line in _tests(tests)),
    ]
    if document["not_run"]:
        lines += ["", f"Not run for want of time: {', '.join(document['not_run'])}"]
    return "\n".join(lines) + "\n"


def _name(model: dict[str, Any]) -> str:
    return f"{model['recipe']} {model.get('variant', '')}".strip()


def _first(model: dict[str, Any]) -> dict[str, Any]:
    """The measurement with baselines, or {"error": why there is none}."""
    verify = model.get("verify", {})
    error = model.get("error") or model.get("not_built") or verify.get("error") or "not measured"
    found: dict[str, Any] = model.get("measured", {}).get("with baselines", {"error": error})
    return found


def _engine(model: dict[str, Any]) -> str:
    first = _first(model)
    if "error" in first and model.get("verify", {}).get("verdict") in GOOD:
        return f"| {_name(model)} | {_verified(model['verify'])} | {_short(first['error'])} |{END}"
    if "error" in first:
        verdict = model.get("verify", {}).get("verdict")
        what = "not verified: " if verdict == "FAILED" else ""
        what = "not built: " if "not_built" in model else what
        return f"| {_name(model)} | {what}{_short(first['error'])} | |{END}"
    point = first["points"][0]
    compute, latency = point["metrics"]["gpu_compute"], point["metrics"]["latency"]
    cells = [
        _name(model),
        _verified(model["verify"]),
        *(_ms(summary) for summary in (compute, latency) for _ms in (_median, _p99)),
        f"{point['throughput']:.0f}",
        *_launched(model["measured"].get("own graph")),
    ]
    return f"| {' | '.join(cells)} |"


def _verified(verify: dict[str, Any]) -> str:
    if verify["verdict"] not in GOOD:
        return f"{verify['verdict']}: {_short(verify['error'])}"
    scores = (verify["result"] or {}).get("metrics", {})
    return "; ".join(["passes", *(_score(name, score) for name, score in scores.items())])


def _score(name: str, score: dict[str, Any]) -> str:
    source = "" if score["source"] is None else f" ({score['source']:.4f})"
    return f"{name} {score['value']:.4f}{source}"


def _launched(document: dict[str, Any] | None) -> tuple[str, str]:
    """The compute time's median and queries per second, unless it ran without a graph."""
    if document is None or "error" in document:
        return "-", "-"
    point = document["points"][0]
    if point["cuda_graph"] == "none":
        return "no graph", "-"
    return _median(point["metrics"]["gpu_compute"]), f"{point['throughput']:.0f}"


def _beside(model: dict[str, Any]) -> Iterator[str]:
    first = _first(model)
    found = first["points"][0].get("baselines") if "error" not in first else None
    if not found:
        return
    yield _runtime(f"{_name(model)}", "this engine", found["engine"]["wall_ms"], "1")
    for other in found["others"]:
        ratio = other["speedup"]["wall"]
        shown = f"{ratio['estimate']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        yield _runtime("", other["name"], other["wall_ms"], shown)
    for missing in found["missing"]:
        yield f"| | {missing['kind']} | left out: {_short(missing['reason'])} | | | |"


def _runtime(model: str, name: str, wall: dict[str, Any], times: str) -> str:
    rate = f"{1000 / wall['median']:.0f}"
    return f"| {model} | {name} | {_median(wall)} | {_p99(wall)} | {rate} | {times} |"


def _tests(tests: dict[str, Any]) -> Iterator[str]:
    skipped = tests.get("skipped", {})
    yield ""
    yield (
        f"`pytest -m gpu {' '.join(tests['arguments'])}`: {tests.get('tests', 0)} tests, "
        f"{len(skipped)} skipped, failed: {', '.join(tests['failed']) or 'none'}"
    )
    if skipped or tests.get("recorded"):
        yield ""
    for name, why in skipped.items():
        yield f"- skipped: {name}: {_short(why)}"
    for name, value in tests.get("recorded", {}).items():
        if isinstance(value, int | float | str):
            yield f"- {name}: {value}"


def _short(text: str) -> str:
    return " ".join(str(text).split())[:160].replace("|", "/")


def _median(summary: dict[str, Any]) -> str:
    return f"{summary['median']:.3f}"


def _p99(summary: dict[str, Any]) -> str:
    return f"{summary['percentiles']['99']:.3f}"
