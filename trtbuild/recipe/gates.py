"""Limits on what a benchmark measures: what a recipe's `gates` say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.problems import BadKey

METRICS = ("latency", "enqueue", "h2d", "gpu_compute", "d2h")
REGRESSION = "regression"
STATISTIC = re.compile(
    r"((?P<metric>[a-z0-9_]+)\.)?(?P<statistic>min|max|mean|median|cv|p(?P<percentage>\d+(\.\d+)?))"
)
"""A statistic of a metric of queries, as a gate's key names it."""

_LIMIT = re.compile(r"(?P<sign><=|>=|<|>)?\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>[A-Za-z%/]*)")
_TIMES = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
_SIZES = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_RATES = {"/s": 1.0, "/min": 1 / 60}
_SHARES = {"%": 1.0}
PER_POINT: dict[str, tuple[dict[str, float], str]] = {  # units, and which side is good
    "throughput": (_RATES, ">="),
    "samples_per_second": (_RATES, ">="),
    "gpu_memory": (_SIZES, "<="),
}


@dataclass(frozen=True, slots=True)
class Gate:
    """One limit; `limit` is in ms, queries per second, bytes or percent."""

    key: str  # as written: "p99", "gpu_compute.median", "throughput", "regression"
    sign: str  # "<=", "<", ">=" or ">"
    limit: float
    text: str  # as written: "5ms"
    point: str | None = None  # the point that it is about; None: every one

    @property
    def percentage(self) -> float | None:
        """The percentile that it is about, if it is about one."""
        match = STATISTIC.fullmatch(self.key)
        return float(match["percentage"]) if match and match["percentage"] else None


def parse_gates(spec: Mapping[str, Any]) -> tuple[Gate, ...]:
    """The gates of a recipe: {p99: 5ms, "batch=8": {throughput: ">= 2000/s"}, regression: 5%}.

    A statistic is of `latency`, or of the metric before its dot. A time must be at most its
    limit, a rate at least; another sign can be written before it. Raises BadKey.
    """
    found = []
    for key, value in spec.items():
        if isinstance(value, Mapping):
            found += [_gate(inner, limit, point=key) for inner, limit in value.items()]
        else:
            found.append(_gate(key, value, point=None))
    return tuple(found)


def _gate(key: str, value: Any, point: str | None) -> Gate:
    place = ("gates", key) if point is None else ("gates", point, key)
    units, good = _units(key, place)
    match = _LIMIT.fullmatch(str(value).strip())
    if match is None or match["unit"] not in units:
        examples = " or ".join(f"5{unit}" for unit in units)
        raise BadKey(place, f"{value!r} is no limit; write it as {examples}")
    sign = match["sign"] or good
    if key == REGRESSION and sign[0] != "<":
        raise BadKey(place, f"{value!r} is a lower limit; a regression has an upper one")
    return Gate(key, sign, float(match["number"]) * units[match["unit"]], str(value), point)


def _units(key: str, place: tuple[str, ...]) -> tuple[dict[str, float], str]:
    if key == REGRESSION:
        return _SHARES, "<="
    if key in PER_POINT:
        return PER_POINT[key]
    match = STATISTIC.fullmatch(key)
    if (
        match is None
        or match["metric"] not in (None, *METRICS)
        or float(match["percentage"] or 0) > 100
    ):
        raise BadKey(
            place,
            "it is no metric; there are throughput, samples_per_second, gpu_memory, "
            "regression, and min, median, mean, max, cv, p50 to p100 of the latency, or with a "
            f"metric and a dot before (gpu_compute.p99) of {', '.join(METRICS)}",
        )
    return (_SHARES if match["statistic"] == "cv" else _TIMES), "<="
