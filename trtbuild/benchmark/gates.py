"""Whether a benchmark's result meets its gates.

Pure, on plain documents: a gate is judged anew without measuring anew.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.gates import PER_POINT, REGRESSION, STATISTIC, Gate
from trtbuild.recipe.model import Options

_COMPARE = {
    "<=": lambda value, limit: value <= limit,
    "<": lambda value, limit: value < limit,
    ">=": lambda value, limit: value >= limit,
    ">": lambda value, limit: value > limit,
}


class Outcome(enum.Enum):
    """What became of a gate."""

    PASSED = "passed"
    FAILED = "failed"
    UNCLEAR = "unclear"  # too noisy, or nothing accepted to compare with: does not fail a run


@dataclass(frozen=True, slots=True)
class Judgement:
    """A gate, judged at one point; `value` is in the gate's unit, None where there is none."""

    gate: Gate
    point: str
    outcome: Outcome
    value: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Instead:
    """What a regression gate comes to where no accepted engine was run beside the new one.

    `not_run` is what it comes to where there is one that cannot be run, and `remedy` the end of
    what is said then.
    """

    outcome: Outcome
    value: float | None
    message: str
    not_run: Outcome = Outcome.UNCLEAR
    remedy: str = "; if this one is right: `trtbuild accept`"


NOTHING_ACCEPTED = Instead(
    Outcome.UNCLEAR,
    None,
    "nothing was accepted for this GPU and these settings: `trtbuild accept`",
)


def not_measured(gates: tuple[Gate, ...], outcome: Outcome, why: str) -> tuple[Judgement, ...]:
    """The gates of a benchmark that has no result."""
    return tuple(Judgement(gate, gate.point or "all", outcome, None, why) for gate in gates)


def judge(
    result: Options, gates: tuple[Gate, ...], instead: Instead = NOTHING_ACCEPTED
) -> tuple[Judgement, ...]:
    """Each gate at each point of a benchmark's result document that it is about.

    Raises ValueError where a gate names a point that was not measured.
    """
    points: Any = result["points"]
    names = [point["name"] for point in points]
    found = []
    for gate in gates:
        if gate.point is not None and gate.point not in names:
            raise ValueError(
                f"gates.{gate.point}: no such point was measured, only {', '.join(names)}"
            )
        for point in points:
            if gate.point in (None, point["name"]):
                found.append(_judge(gate, point, instead))
    return tuple(found)


def _judge(gate: Gate, point: Any, instead: Instead) -> Judgement:
    if gate.key == REGRESSION:
        return _judge_regression(gate, point, instead)
    value = _value(gate.key, point)
    if value is None:
        message = f"{gate.key} was not measured: add it to benchmark.percentiles"
        return Judgement(gate, point["name"], Outcome.FAILED, None, message)
    good = _COMPARE[gate.sign](value, gate.limit)
    said = f"{gate.key} is {_shown(gate.key, value)}, the limit is {gate.sign} "
    message = said + _shown(gate.key, gate.limit)
    return Judgement(
        gate, point["name"], Outcome.PASSED if good else Outcome.FAILED, value, message
    )


def _value(key: str, point: Any) -> float | None:
    if key in PER_POINT:
        return float(point[key])
    match = STATISTIC.fullmatch(key)
    assert match is not None  # noqa: S101 - it was parsed before
    summary = point["metrics"][match["metric"] or "latency"]
    if match["percentage"]:
        by_percentage = {float(p): value for p, value in summary["percentiles"].items()}
        return by_percentage.get(float(match["percentage"]))
    return float(summary[match["statistic"]])


def _judge_regression(gate: Gate, point: Any, instead: Instead) -> Judgement:
    """Fails where the new engine is surely slower, and by more than the limit.

    The point holds the ratio of the two engines' GPU times, new to accepted, and its confidence
    interval. Within noise the interval holds 1, and then the estimate says nothing.
    """
    found = point.get("regression")
    if missing := point.get("regression_missing"):
        message = f"the accepted engine is not run beside this one: {missing}{instead.remedy}"
        return Judgement(gate, point["name"], instead.not_run, None, message)
    if found is None:
        return Judgement(gate, point["name"], instead.outcome, instead.value, instead.message)
    change = (found["estimate"] - 1) * 100
    said = (
        f"{change:+.2f} % against the accepted engine (95 % sure of {(found['low'] - 1) * 100:+.2f}"
        f" to {(found['high'] - 1) * 100:+.2f} %), the limit is {gate.text}"
    )
    over = not _COMPARE[gate.sign](change, gate.limit)
    if over and found["low"] > 1:
        return Judgement(gate, point["name"], Outcome.FAILED, change, said)
    if over:
        return Judgement(gate, point["name"], Outcome.UNCLEAR, change, f"too noisy to say: {said}")
    return Judgement(gate, point["name"], Outcome.PASSED, change, said)


def _shown(key: str, value: float) -> str:
    if key in ("throughput", "samples_per_second"):
        return f"{value:.1f}/s"
    if key == "gpu_memory":
        return f"{value / 2**20:.1f} MiB"
    return f"{value:.2f} %" if key.endswith("cv") else f"{value:.4f} ms"
