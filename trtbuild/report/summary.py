"""What a person wants to know of each variant after a run, gathered from its results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.graph.action import Outcome, Verdict
from trtbuild.graph.rebuild import Rebuilder

COMPARED = "compared"
"""What verify.json says of an engine that was run."""


@dataclass(frozen=True, slots=True)
class VariantSummary:
    """One precision of one recipe: its engine, how it was verified, and what it cost.

    `seconds` is what its stages took when they ran, here or where the cache got them from;
    `latency_ms` is the median GPU compute time of the benchmark. `engine_ran` says whether verify
    ran the engine, or the graphs alone; None where there is no result of it.
    """

    name: str
    verdict: Verdict
    engine: Path | None
    engine_bytes: int
    verified: str
    engine_ran: bool | None
    metrics: tuple[tuple[str, float], ...]
    seconds: float
    latency_ms: float | None
    benchmark: str


def in_order(rebuilder: Rebuilder) -> list[Outcome]:
    """The outcomes in the order of the plan; those beside it, of turns of candidates, come last."""
    outcomes = rebuilder.outcomes
    beside = (name for name in outcomes if name not in rebuilder.tasks)
    return [outcomes[name] for name in (*rebuilder.tasks, *beside) if name in outcomes]


def summarise(rebuilder: Rebuilder) -> tuple[VariantSummary, ...]:
    """One summary per variant that the run came to, in the recipe's order."""
    found = []
    for variant in rebuilder.recipe.precisions:
        outcomes = {
            outcome.task.stage: outcome
            for outcome in rebuilder.outcomes.values()
            if outcome.task.variant == variant
        }
        if outcomes:
            found.append(_summary(rebuilder, variant, outcomes))
    return tuple(found)


def _summary(rebuilder: Rebuilder, name: str, outcomes: dict[str, Outcome]) -> VariantSummary:
    build = outcomes.get("build")
    digests = dict(build.outputs) if build else {}
    engine = digests.get("engine.plan")
    verify = result_of(rebuilder, outcomes.get("verify"), "verify.json")
    benchmark = result_of(rebuilder, outcomes.get("benchmark"), "benchmark.json")
    return VariantSummary(
        name=name,
        verdict=_worst(outcomes),
        engine=rebuilder.workspace.path(build.task, "engine.plan") if build and engine else None,
        engine_bytes=engine.size_bytes if engine else 0,
        verified=_verified(outcomes.get("verify"), verify),
        engine_ran=verify["engine"] == COMPARED if "engine" in verify else None,
        metrics=tuple((k, float(v["value"])) for k, v in verify.get("metrics", {}).items()),
        seconds=sum(outcome.seconds for outcome in outcomes.values()),
        latency_ms=_latency(benchmark),
        benchmark=_state(outcomes.get("benchmark"), benchmark),
    )


def _verified(outcome: Outcome | None, result: dict[str, Any]) -> str:
    """How verify went; that only the graphs passed is less than that the engine did."""
    state, engine = _state(outcome, result), result.get("engine", COMPARED)
    return state if state != "passed" or engine == COMPARED else f"{state} (engine {engine})"


def _latency(benchmark: dict[str, Any]) -> float | None:
    for point in benchmark.get("points", []):
        return float(point["metrics"]["gpu_compute"]["median"])
    return None


def _worst(outcomes: dict[str, Outcome]) -> Verdict:
    """The verdict that says most: a failure, else that something ran, else a restoration."""
    order = (Verdict.FAILED, Verdict.EXECUTED, Verdict.RESTORED, Verdict.UP_TO_DATE)
    verdicts = {outcome.verdict for outcome in outcomes.values()}
    return next((verdict for verdict in order if verdict in verdicts), Verdict.SKIPPED)


def _state(outcome: Outcome | None, result: dict[str, Any]) -> str:
    if outcome is None:
        return ""
    match outcome.verdict:
        case Verdict.FAILED:
            return "failed"
        case Verdict.SKIPPED:
            return f"skipped: {outcome.reasons[0].text}" if outcome.reasons else "skipped"
        case _:
            return {True: "passed", None: "not compared"}.get(result.get("passed", True), "failed")


def result_of(rebuilder: Rebuilder, outcome: Outcome | None, name: str) -> dict[str, Any]:
    """A stage's result document; of a failed stage, what it wrote of its failure."""
    if outcome is None or outcome.verdict is Verdict.SKIPPED:
        return {}
    if outcome.verdict is Verdict.FAILED:
        name = name.replace(".json", ".failed.json")
    try:
        document = json.loads(rebuilder.workspace.path(outcome.task, name).read_bytes())
    except (OSError, ValueError):
        return {}
    return dict(document) if isinstance(document, dict) else {}
