"""trtexec's definitions against examples worked by hand from sampleReporting.cpp."""

from __future__ import annotations

import numpy as np
import pytest

from trtbuild.benchmark.statistics import (
    Summary,
    percentile,
    summaries,
    summarise,
    throughput,
    warnings,
)
from trtbuild.benchmark.trace import Trace, kept, trace_of
from trtbuild.errors import StageError


def queries(*rows: tuple[float, ...]) -> Trace:
    """A trace of (enqueue start, end, h2d start, h2d, compute start, compute, d2h start, d2h)."""
    return trace_of((0, *row) for row in rows)  # type: ignore[misc] # rows have eight values


def summary(median: float, cv: float = 0.0) -> Summary:
    return Summary(median, median, median, median, cv, ())


@pytest.mark.parametrize(
    ("percentage", "expected"),
    [
        (100, 10.0),  # nothing is left out
        (99, 10.0),  # int(0.01 * 10) = 0 left out
        (90, 9.0),  # 1 - 90/100 is 0.100000024 in float32, times 10 is 1: one left out
        (95, 10.0),  # int(0.05 * 10) = 0 left out
        (50, 5.0),  # 5 left out
        (0, 1.0),  # all left out: the smallest
    ],
)
def test_a_percentile_is_a_value_that_was_measured(percentage: float, expected: float) -> None:
    ascending = np.arange(1.0, 11.0)
    assert percentile(ascending, percentage) == expected


def test_a_percentile_leaves_values_out_in_float32_as_trtexec_does() -> None:
    # In float32 1 - 99/100 is 0.00999999, times 100 is 0.999999: nothing is left out. In float64
    # it would be 0.010000000000000009 * 100, and one value would be.
    ascending = np.arange(1.0, 101.0)
    assert percentile(ascending, 99) == 100.0
    assert int((1 - 99 / 100) * 100) == 1


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert percentile(np.array([7.0]), 99) == 7.0
    assert percentile(np.array([7.0]), 0) == 7.0


def test_the_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle() -> None:
    assert summarise(np.array([4.0, 1.0, 3.0, 10.0]), [50]).median == 3.5
    assert summarise(np.array([4.0, 1.0, 3.0]), [50]).median == 3.0


def test_the_coefficient_of_variation_is_of_the_population_in_percent() -> None:
    # mean 5, squared differences 9 1 1 1 0 0 4 16 = 32, over 8 is 4, its root 2: 2 / 5 is 40 %
    found = summarise(np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), [99])
    assert found.mean == 5.0
    assert found.cv == pytest.approx(40.0)
    assert (found.min, found.max) == (2.0, 9.0)


def test_latency_is_the_sum_of_copies_and_compute_without_the_gaps() -> None:
    trace = queries((0.0, 0.1, 1.0, 0.5, 2.0, 3.0, 6.0, 0.25))
    found = summaries(trace, [99])
    assert found["latency"].median == 3.75
    assert found["enqueue"].median == pytest.approx(0.1)
    assert found["h2d"].median == 0.5
    assert found["gpu_compute"].median == 3.0
    assert found["d2h"].median == 0.25


def test_throughput_is_queries_over_the_time_from_first_start_to_last_end() -> None:
    # From 10 (first input copy) to 24 (last output copy): 3 queries in 14 ms
    trace = queries(
        (9, 9.1, 10, 1, 11, 2, 13, 1),
        (13, 13.1, 14, 1, 15, 2, 17, 1),
        (19, 19.1, 20, 1, 21, 2, 23, 1),
    )
    assert throughput(trace) == pytest.approx(3 / 14 * 1000)


def test_queries_count_from_the_first_whose_compute_starts_after_the_warm_up() -> None:
    trace = queries(
        (0, 0, 30.0, 1, 31.0, 1, 32.0, 1),
        (0, 0, 10.0, 1, 11.0, 1, 12.0, 1),
        (0, 0, 19.0, 1, 20.0, 1, 21.0, 1),
    )
    counted = kept(trace, 20.0)
    assert counted.compute_start.tolist() == [20.0, 31.0]


def test_a_query_of_another_stream_that_starts_in_the_warm_up_counts_after_the_first() -> None:
    # Sorted by the start of the input copy, as trtexec drops a prefix only.
    trace = queries((0, 0, 19.0, 1, 21.0, 1, 22.0, 1), (0, 0, 19.5, 0.1, 19.6, 1, 20.7, 1))
    assert len(kept(trace, 20.0)) == 2


def test_a_warm_up_longer_than_the_run_is_an_error() -> None:
    with pytest.raises(StageError, match="no query ran after the warm-up"):
        kept(queries((0, 0, 1, 0, 1, 1, 2, 0)), 10.0)


def test_nothing_is_warned_of_when_the_gpu_is_busy_and_steady() -> None:
    found = {"enqueue": summary(0.1), "h2d": summary(0.1), "d2h": summary(0.1)}
    assert warnings(found | {"gpu_compute": summary(1.0, cv=2.5)}, streams=1) == ()


def test_each_of_trtexecs_warnings_has_its_threshold() -> None:
    quiet = {"enqueue": summary(0.8), "h2d": summary(0.9), "d2h": summary(0.9)}
    assert warnings(quiet | {"gpu_compute": summary(1.0)}, 1) == ()
    loud = {"enqueue": summary(0.81), "h2d": summary(1.0), "d2h": summary(1.0)}
    texts = warnings(loud | {"gpu_compute": summary(1.0, cv=2.6)}, 2)
    assert len(texts) == 5
    for text, word in zip(
        texts, ("enqueue", "inputs", "outputs", "stable", "streams"), strict=True
    ):
        assert word in text
