"""Limits on results: what may be written, and when they hold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmark.documents import point, result
from trtbuild.benchmark.gates import Judgement, Outcome, judge
from trtbuild.recipe.gates import Gate, parse_gates


def one(spec: dict[str, Any], document: dict[str, Any]) -> Judgement:
    (judgement,) = judge(document, parse_gates(spec))
    return judgement


def with_regression(estimate: float, low: float, high: float) -> dict[str, Any]:
    found = {"accepted": "sha256:x:1", "estimate": estimate, "low": low, "high": high}
    return result(point() | {"regression": found})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("p99", "5ms", Gate("p99", "<=", 5.0, "5ms")),
        ("gpu_compute.median", "< 200us", Gate("gpu_compute.median", "<", 0.2, "< 200us")),
        ("throughput", ">= 2000/s", Gate("throughput", ">=", 2000.0, ">= 2000/s")),
        ("samples_per_second", "600/min", Gate("samples_per_second", ">=", 10.0, "600/min")),
        ("gpu_memory", "1.5GiB", Gate("gpu_memory", "<=", 1.5 * 2**30, "1.5GiB")),
        ("cv", "2.5%", Gate("cv", "<=", 2.5, "2.5%")),
        ("regression", "5%", Gate("regression", "<=", 5.0, "5%")),
    ],
)
def test_a_gate_is_read_with_its_unit_and_its_good_side(
    key: str, value: str, expected: Gate
) -> None:
    assert parse_gates({key: value}) == (expected,)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("p99", "5", "gates.p99: '5' is no limit; write it as 5ns or 5us or 5ms or 5s"),
        ("p99", 5, "gates.p99: 5 is no limit"),
        ("throughput", "5ms", "write it as 5/s or 5/min"),
        ("regression", ">= 5%", "a regression has an upper one"),
        ("p101", "5ms", "gates.p101: it is no metric"),
        ("gpu.p99", "5ms", "gates.gpu.p99: it is no metric"),
        ("speed", "5ms", "gates.speed: it is no metric; there are throughput"),
    ],
)
def test_what_is_no_gate_is_refused_with_its_key(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match="gates") as caught:
        parse_gates({key: value})
    assert message in str(caught.value)


def test_a_limit_that_is_met_exactly_is_met() -> None:
    document = result(point() | {"throughput": 2000.0})
    assert one({"throughput": "2000/s"}, document).outcome is Outcome.PASSED
    assert one({"throughput": "> 2000/s"}, document).outcome is Outcome.FAILED


def test_a_statistic_without_a_metric_is_of_the_latency() -> None:
    document = result(point(compute=1.0, h2d=0.25, d2h=0.125))
    latency = document["points"][0]["metrics"]["latency"]["percentiles"]["99"]
    found = one({"p99": "1.4ms"}, document)
    assert found.value == latency
    assert found.outcome is Outcome.FAILED
    assert found.message == f"p99 is {latency:.4f} ms, the limit is <= 1.4000 ms"
    assert one({"gpu_compute.p99": "1.4ms"}, document).outcome is Outcome.PASSED


def test_percentiles_that_differ_in_a_late_digit_are_told_apart() -> None:
    asked = (99, 99.9, 99.99995, 100.0)
    document = result(point(percentiles=asked))
    percentiles = document["points"][0]["metrics"]["latency"]["percentiles"]
    assert list(percentiles) == ["99", "99.9", "99.99995", "100"]
    assert one({"p99.99995": "5ms"}, document).value == percentiles["99.99995"]


def test_a_percentile_that_was_not_measured_fails_and_says_what_to_add() -> None:
    found = one({"p99.9": "5ms"}, result())
    assert found.outcome is Outcome.FAILED
    assert "add it to benchmark.percentiles" in found.message


def test_gates_are_judged_at_every_point_unless_they_name_one() -> None:
    document = result(point("batch=1", batch=1), point("batch=8", batch=8, compute=4.0))
    gates = parse_gates({"median": "2ms", "batch=8": {"median": "10ms"}})
    found = [(j.point, j.outcome) for j in judge(document, gates)]
    assert found == [
        ("batch=1", Outcome.PASSED),
        ("batch=8", Outcome.FAILED),
        ("batch=8", Outcome.PASSED),
    ]


def test_a_gate_for_a_point_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such point was measured, only opt"):
        judge(result(), parse_gates({"batch=9": {"p99": "1ms"}}))


def test_a_regression_fails_only_where_it_is_large_and_sure() -> None:
    gate = {"regression": "5%"}
    assert one(gate, with_regression(1.08, 1.06, 1.1)).outcome is Outcome.FAILED
    assert one(gate, with_regression(1.08, 1.01, 1.2)).outcome is Outcome.FAILED
    assert one(gate, with_regression(1.08, 0.95, 1.2)).outcome is Outcome.UNCLEAR
    assert one(gate, with_regression(1.04, 1.03, 1.05)).outcome is Outcome.PASSED
    assert one(gate, with_regression(0.8, 0.79, 0.81)).outcome is Outcome.PASSED


def test_a_regressions_message_holds_the_interval() -> None:
    found = one({"regression": "5%"}, with_regression(1.08, 1.06, 1.1))
    assert found.message == (
        "+8.00 % against the accepted engine (95 % sure of +6.00 to +10.00 %), the limit is 5%"
    )


def test_without_an_accepted_result_a_regression_is_unclear() -> None:
    found = one({"regression": "5%"}, result())
    assert found.outcome is Outcome.UNCLEAR
    assert "trtbuild accept" in found.message
