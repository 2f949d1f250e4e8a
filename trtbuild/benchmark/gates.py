"""Limits on a benchmark's result: what a recipe's `gates` say, and whether a result meets them.

Pure, on plain documents: a gate is judged anew without measuring anew.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.model import Options

METRICS = ("latency", "enqueue", "h2d", "gpu_compute", "d2h")
REGRESSION = "regression"
_KEY = re.compile(
    r"((?P<metric>[a-z0-9_]+)\.)?(?P<statistic>min|max|mean|median|cv|p(?P<percentage>\d+(\.\d+)?))"
)
_LIMIT = re.compile(r"(?P<sign><=|>=|<|>)?\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>[A-Za-z%/]*)")
_TIMES = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
_SIZES = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_RATES = {"/s": 1.0, "/min": 1 / 60}
_SHARES = {"%": 1.0}
_PER_POINT: dict[str, tuple[dict[str, float], str]] = {  # units, and which side is good
    "throughput": (_RATES, ">="),
    "samples_per_second": (_RATES, ">="),
    "gpu_memory": (_SIZES, "<="),
}
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
class Gate:
    """One limit; `limit` is in ms, queries per second, bytes or percent."""

    key: str  # as written: "p99", "gpu_compute.median", "throughput", "regression"
    sign: str  # "<=", "<", ">=" or ">"
    limit: float
    text: str  # as written: "5ms"
    point: str | None = None  # the point that it is about; None: every one


@dataclass(frozen=True, slots=True)
class Judgement:
    """A gate, judged at one point; `value` is in the gate's unit, None where there is none."""

    gate: Gate
    point: str
    outcome: Outcome
    value: float | None
    message: str


def parse_gates(spec: Mapping[str, Any]) -> tuple[Gate, ...]:
    """The gates of a recipe: {p99: 5ms, "batch=8": {throughput: ">= 2000/s"}, regression: 5%}.

    A statistic is of `latency`, or of the metric before its dot. A time must be at most its
    limit, a rate at least; another sign can be written before it. Raises ValueError with the key.
    """
    found = []
    for key, value in spec.items():
        if isinstance(value, Mapping):
            found += [_gate(inner, limit, point=key) for inner, limit in value.items()]
        else:
            found.append(_gate(key, value, point=None))
    return tuple(found)


def judge(result: Options, gates: tuple[Gate, ...]) -> tuple[Judgement, ...]:
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
                found.append(_judge(gate, point))
    return tuple(found)


def _gate(key: str, value: Any, point: str | None) -> Gate:
    units, good = _units(key)
    match = _LIMIT.fullmatch(str(value).strip())
    if match is None or match["unit"] not in units:
        examples = " or ".join(f"5{unit}" for unit in units)
        raise ValueError(f"gates.{key}: {value!r} is no limit; write it as {examples}")
    sign = match["sign"] or good
    if key == REGRESSION and sign[0] != "<":
        raise ValueError(f"gates.{key}: {value!r} is a lower limit; a regression has an upper one")
    return Gate(key, sign, float(match["number"]) * units[match["unit"]], str(value), point)


def _units(key: str) -> tuple[dict[str, float], str]:
    if key == REGRESSION:
        return _SHARES, "<="
    if key in _PER_POINT:
        return _PER_POINT[key]
    match = _KEY.fullmatch(key)
    if (
        match is None
        or match["metric"] not in (None, *METRICS)
        or float(match["percentage"] or 0) > 100
    ):
        raise ValueError(
            f"gates.{key}: it is no metric; there are throughput, samples_per_second, gpu_memory, "
            "regression, and min, median, mean, max, cv, p50 to p100 of the latency, or with a "
            f"metric and a dot before (gpu_compute.p99) of {', '.join(METRICS)}"
        )
    return (_SHARES if match["statistic"] == "cv" else _TIMES), "<="


def _judge(gate: Gate, point: Any) -> Judgement:
    if gate.key == REGRESSION:
        return _judge_regression(gate, point)
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
    if key in _PER_POINT:
        return float(point[key])
    match = _KEY.fullmatch(key)
    assert match is not None  # noqa: S101 - it was parsed before
    summary = point["metrics"][match["metric"] or "latency"]
    if match["percentage"]:
        by_percentage = {float(p): value for p, value in summary["percentiles"].items()}
        return by_percentage.get(float(match["percentage"]))
    return float(summary[match["statistic"]])


def _judge_regression(gate: Gate, point: Any) -> Judgement:
    """Fails where the new engine is surely slower, and by more than the limit.

    The point holds the ratio of the two engines' GPU times, new to accepted, and its confidence
    interval. Within noise the interval holds 1, and then the estimate says nothing.
    """
    found = point.get("regression")
    if found is None:
        message = "nothing was accepted for this GPU and these settings: `trtbuild accept`"
        return Judgement(gate, point["name"], Outcome.UNCLEAR, None, message)
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
