"""Runs in turn, and the ratio with its confidence interval."""

from __future__ import annotations

import numpy as np
import pytest

from trtbuild.benchmark.interleave import MIN_ROUNDS, Timed, interleave, ratio


class Scripted:
    """A subject of constant speed that notes when it ran."""

    def __init__(self, name: str, ms: float, order: list[str]) -> None:
        self.name = name
        self._ms = ms
        self._order = order

    def run(self, queries: int) -> Timed:
        self._order.append(f"{self.name}{queries}")
        return Timed(np.full(queries, self._ms), np.full(queries, self._ms / 2))


def test_subjects_run_in_turn_and_every_other_round_in_reverse() -> None:
    order: list[str] = []
    subjects = [Scripted("a", 1.0, order), Scripted("b", 5.0, order)]
    rounds = interleave(subjects, rounds=3, round_ms=10)
    assert order[-6:] == ["a10", "b2", "b2", "a10", "a10", "b2"]
    assert [len(found.wall) for found in rounds] == [3, 3]
    assert rounds[1].medians("gpu").tolist() == [2.5, 2.5, 2.5]


def test_a_slow_subject_runs_two_queries_a_round_at_least() -> None:
    order: list[str] = []
    interleave([Scripted("slow", 400.0, order)], rounds=1, round_ms=10)
    assert order[-1] == "slow2"


class Waking(Scripted):
    """Loads something in its first query."""

    woken = False

    def run(self, queries: int) -> Timed:
        found = super().run(queries)
        if not self.woken:
            found.wall[0] += 200.0
            self.woken = True
        return found


def test_a_slow_first_query_does_not_shorten_the_rounds() -> None:
    order: list[str] = []
    interleave([Waking("waking", 0.1, order)], rounds=1, round_ms=100)
    assert order[-1] == "waking1000"


def test_the_ratio_of_a_known_slowdown_lies_in_its_interval() -> None:
    random = np.random.default_rng(1)
    first = random.normal(1.0, 0.01, 30)
    second = random.normal(1.1, 0.01, 30)
    found = ratio(first, second)
    assert found.low < 1.1 < found.high
    assert found.high - found.low < 0.02
    assert found.low < found.estimate < found.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for trial in range(60):
        found = ratio(random.normal(1.0, 0.02, 20), random.normal(1.05, 0.02, 20), seed=trial)
        hits += found.low <= 1.05 <= found.high
    assert hits >= 50  # 95 % of 60 is 57; the percentile method is a little short for 20 rounds


def test_equal_engines_are_seldom_told_apart_by_the_fewest_rounds() -> None:
    random = np.random.default_rng(4)
    surely = 0
    for trial in range(400):
        found = ratio(*random.normal(1.0, 0.08, (2, MIN_ROUNDS)), seed=trial)
        surely += found.low > 1
    assert surely <= 20  # 2.5 % of 400 is 10; of two rounds it would be 115


def test_drift_that_meets_both_alike_does_not_widen_the_interval() -> None:
    drift = np.linspace(1.0, 2.0, 21)
    found = ratio(drift, drift * 1.1)
    assert found.estimate == pytest.approx(1.1)
    assert found.high - found.low < 1e-9


def test_the_same_rounds_give_the_same_interval() -> None:
    rounds = np.random.default_rng(3).normal(1, 0.1, 20)
    assert ratio(rounds, rounds[::-1]) == ratio(rounds, rounds[::-1])
