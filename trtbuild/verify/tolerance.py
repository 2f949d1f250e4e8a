"""How far an output may be off: the limits of a precision, and what breaks them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtbuild.model.compare import HIGHER_IS_BETTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trtbuild.model.compare import Tally

DEFAULTS: dict[str, dict[str, float]] = {
    "fp32": {"cosine": 0.9999, "snr_db": 37.0, "equal": 0.999},
    "tf32": {"cosine": 0.9999, "snr_db": 37.0, "equal": 0.999},
    "fp16": {"cosine": 0.999, "snr_db": 27.0, "equal": 0.99},
    "bf16": {"cosine": 0.995, "snr_db": 20.0, "equal": 0.98},
    "int8": {"cosine": 0.98, "snr_db": 13.8, "equal": 0.95},
    "fp8": {"cosine": 0.98, "snr_db": 13.8, "equal": 0.95},
    "int4": {"cosine": 0.98, "snr_db": 13.8, "equal": 0.95},
}
"""Limits for a precision to which the recipe gives none.

An error orthogonal to the signal that brings the cosine down to c has a signal-to-noise ratio of
-10 log10(1 / c**2 - 1): 37 dB for 0.9999, 27 dB for 0.999. The ratio also sees a wrong scale, to
which the cosine is blind. For comparison: on the models of recipes/, exporters differ from torch
by 120 dB and more, and float16 (like TF32 11 bits of significand) from float32 by 48 to 70 dB;
what is far below that is a mistake rather than rounding. `equal` is for
integers and booleans, such as the index of a class, which flips where two classes are near.
"""


_TINY = 1e-12
"""What a limit of nothing at all is taken for, since no ratio to that exists."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that an output breaks, or (metric "") a difference that no limit allows."""

    output: str
    text: str  # "has cosine = 0.91 (at least 0.999)"
    metric: str
    case: int | None
    severity: float  # dB beyond the limit: orders breaches


def judge(
    output: str, tally: Tally, given: Mapping[str, float], precision: str
) -> tuple[Breach, ...]:
    """What an output breaks: of the limits given, or of the defaults where none of those applies
    to it (a share of equal rows says nothing of a single number).
    """
    if tally.problem:
        return (Breach(output, tally.problem, "", tally.case, float("inf")),)
    values = tally.metrics()
    limits = {name: limit for name, limit in given.items() if name in values}
    for name, limit in (limits or DEFAULTS[precision]).items():
        if name in values and not _holds(name, values[name], limit):
            worst = tally.worst_case(name)
            value, bound = told_apart(values[name], limit)
            text = f"has {name} = {value} ({_bound(name)} {bound})"
            return (Breach(output, text, name, worst, _beyond(name, values[name], limit)),)
    return ()


def _beyond(name: str, value: float, limit: float) -> float:
    """By how many dB a value is beyond its limit, so that a class can be held against a score.

    An SNR is in dB; a share or a cosine counts by what it lacks of 1, a difference as an amplitude.
    """
    if not math.isfinite(value):
        return math.inf
    if name == "snr_db":
        return limit - value
    if HIGHER_IS_BETTER[name]:
        return 10 * math.log10(max(1 - value, _TINY) / max(1 - limit, _TINY))
    return 20 * math.log10(max(value, _TINY) / max(limit, _TINY))


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """A value in 6 digits, or in as many as it takes to see on which side of the limit it is, and
    the limit as it was given.

    >>> told_apart(0.99999993, 0.99999999)
    ('0.9999999', '0.99999999')
    """
    values = (f"{value:.{digits}g}" for digits in range(6, 18))
    return (
        next((text for text in values if _same_side(float(text), value, limit)), repr(value)),
        f"{limit:g}" if float(f"{limit:g}") == limit else repr(limit),
    )


def _same_side(shown: float, value: float, limit: float) -> bool:
    return shown != limit and (shown < limit) == (value < limit)


def _holds(name: str, value: float, limit: float) -> bool:
    return value >= limit if HIGHER_IS_BETTER[name] else value <= limit


def _bound(name: str) -> str:
    return "at least" if HIGHER_IS_BETTER[name] else "at most"
