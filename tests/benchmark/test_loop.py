"""When the measuring loop ends: its rules, with lanes whose queries take a known time."""

from __future__ import annotations

from typing import Any, cast

import pytest

from trtbuild.benchmark.lane import Gate
from trtbuild.benchmark.loop import Limits, _loop
from trtbuild.benchmark.trace import Query

GATE = cast("Gate", None)  # these lanes keep time themselves


class SteadyLane:
    """A lane whose queries take 10 ms each, two of them in flight."""

    def __init__(self, depth: int = 2) -> None:
        self.depth = depth
        self.started: list[int] = []
        self.waited: list[int] = []

    def start(self) -> None:
        self.started.append(len(self.started))

    def wait(self, _gate: Gate) -> Query | None:
        if len(self.started) - len(self.waited) < self.depth:
            return None
        return self._done()

    def rest(self, _gate: Gate) -> list[Query]:
        return [self._done() for _ in range(len(self.started) - len(self.waited))]

    def _done(self) -> Query:
        number = len(self.waited)
        self.waited.append(number)
        start = number * 10.0
        return (0, start, start, start, 0.0, start, 10.0, start + 10.0, 0.0)


def run(lane: SteadyLane, **limits: float) -> list[Query]:
    wanted: dict[str, Any] = {"warmup_ms": 0, "duration_ms": 0, "iterations": 1, "idle_s": 0}
    return _loop([cast("Any", lane)], GATE, Limits(**(wanted | limits)))


@pytest.mark.parametrize("depth", [1, 2])
def test_every_query_that_was_started_is_waited_for_in_order(depth: int) -> None:
    lane = SteadyLane(depth)
    queries = run(lane, iterations=7)
    assert lane.waited == lane.started
    assert [query[5] for query in queries] == [i * 10.0 for i in range(len(queries))]


def test_the_loop_runs_for_the_iterations_even_where_the_time_is_over() -> None:
    assert len(run(SteadyLane(1), iterations=25, duration_ms=1)) == 25


def test_the_loop_runs_for_the_duration_even_where_the_iterations_are_done() -> None:
    queries = run(SteadyLane(1), iterations=1, duration_ms=95)
    assert queries[-1][5] >= 95
    assert queries[-2][5] < 95


def test_queries_of_the_warm_up_are_no_iterations() -> None:
    # 5 queries start before 50 ms; the first one's start, 0.0, does not tell that it is over
    queries = run(SteadyLane(1), iterations=10, warmup_ms=50)
    assert len([query for query in queries if query[5] >= 50]) >= 9
    assert len(queries) == 14


def test_two_queries_are_in_flight_with_overlap_and_one_without() -> None:
    overlapping, exposed = SteadyLane(2), SteadyLane(1)
    overlapping.start()
    assert overlapping.wait(GATE) is None
    exposed.start()
    assert exposed.wait(GATE) is not None
