"""Runs subjects in turn, round by round, and says how their times compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from trtbuild.benchmark.trace import Times

CONFIDENCE = 0.95
_RESAMPLES = 10_000
_AT_ONCE = 1 << 20
"""Draws of a round in memory: so many rounds of so many resamples would take gigabytes."""

MIN_ROUNDS = 8
"""The percentile method cannot see beyond the rounds that there were: of two rounds of the same
engine its 95 % miss the truth half of the time, of 8 about as seldom as they say."""


@dataclass(frozen=True, slots=True)
class Timed:
    """The times of some queries, one after the other, in ms.

    `wall` is the host's time from the call to the result being there, `gpu` the time between two
    events around the work on the GPU; empty for what runs on the CPU.
    """

    wall: Times
    gpu: Times


class Subject(Protocol):
    """Something that is measured beside others: an engine, PyTorch, ONNX Runtime."""

    name: str

    # Runs so many queries, one at a time, inputs where they belong already.
    def run(self, queries: int) -> Timed: ...


@dataclass(slots=True)
class Rounds:
    """What one subject did: all queries, and the median of each round."""

    name: str
    wall: list[Times] = field(default_factory=list)
    gpu: list[Times] = field(default_factory=list)

    def medians(self, clock: str) -> Times:
        """The median of each round by "wall" or "gpu"; empty where there is no such clock."""
        return np.array([np.median(times) for times in getattr(self, clock) if len(times)])


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the first one's time the second one's is, and where that surely lies."""

    estimate: float
    low: float
    high: float


def interleave(
    subjects: Sequence[Subject],
    *,
    rounds: int,
    round_ms: float,
    report: Callable[[int], None] = lambda _round: None,
) -> list[Rounds]:
    """Runs each subject once a round, every other round in reverse: A B, B A, A B ...

    What drifts with time (clocks, temperature) then meets all of them alike. A round of a subject
    takes about `round_ms`, and two queries at least. The first ones warm it up and do not count.
    """
    found = [Rounds(subject.name) for subject in subjects]
    queries = [_queries_for(subject, round_ms) for subject in subjects]
    for number in range(rounds):
        report(number)
        order = range(len(subjects))
        for index in order if number % 2 == 0 else reversed(order):
            timed = subjects[index].run(queries[index])
            found[index].wall.append(timed.wall)
            found[index].gpu.append(timed.gpu)
    return found


def ratio(first: Times, second: Times, *, seed: int = 0) -> Ratio:
    """second / first of the medians over rounds, with a bootstrap confidence interval (95 %).

    Rounds are drawn with replacement, the same ones for both, since what disturbs a round
    disturbs both; the interval is the middle 95 % of the ratios of 10000 draws (Efron, the
    percentile method). `first` and `second` are medians of rounds, in the order they ran.
    """
    random, count = np.random.default_rng(seed), len(first)
    parts = []
    for _ in range(0, _RESAMPLES, step := min(_RESAMPLES, max(1, _AT_ONCE // count))):
        draws = random.integers(0, count, (step, count))
        parts.append(np.median(second[draws], axis=1) / np.median(first[draws], axis=1))
    ratios = np.concatenate(parts)[:_RESAMPLES]
    edge = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(ratios, [edge, 100 - edge])
    return Ratio(float(np.median(second) / np.median(first)), float(low), float(high))


def _queries_for(subject: Subject, round_ms: float) -> int:
    """How many queries of the subject take about so long; runs some, which warms it up too.

    The first ones may load or compile something, which says nothing of the others.
    """
    queries = 2
    while np.sum(subject.run(queries).wall) < round_ms / 4:
        queries *= 4
    return max(2, round(round_ms / float(np.median(subject.run(queries).wall))))
