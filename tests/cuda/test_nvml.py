"""What is made of NVML's answers; the answers themselves need a GPU."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from tests.cuda.pretended_nvml import PretendedNvml
from trtbuild.cuda.nvml import (
    GpuState,
    Monitor,
    Throttled,
    foreign_processes,
    monitor,
    reasons_in,
    state_warnings,
)
from trtbuild.cuda.probe import probe

QUIET = GpuState(1980, 2619, 1980, 100.0, 700.0, 40, 1 << 30, (), ())


def test_the_bits_of_throttling_have_names_and_idling_is_none() -> None:
    assert reasons_in(0) == ()
    assert reasons_in(0x1) == ()
    assert reasons_in(0x4 | 0x40) == ("power_cap", "thermal_hardware")


def test_processes_that_were_there_before_are_foreign_while_they_stay() -> None:
    assert foreign_processes((10, 11), (10, 42), own=42) == (10,)


def test_this_process_is_not_foreign_where_it_measures_again() -> None:
    assert foreign_processes((10, 42), (10, 42), own=42) == (10,)


def test_a_process_that_came_during_the_measurement_is_foreign() -> None:
    assert foreign_processes((), (42, 50), own=42) == (50,)


def test_one_newcomer_is_this_process_under_another_id() -> None:
    assert foreign_processes((), (9001,), own=42) == ()
    assert foreign_processes((), (9001, 9002), own=42) == (9002,)


def test_a_quiet_gpu_gives_no_warning_and_a_busy_one_says_why() -> None:
    assert state_warnings(QUIET, QUIET, ()) == ()
    hot = replace(QUIET, throttling=("application_clocks", "thermal_hardware"))
    first, second = state_warnings(QUIET, hot, (10, 11))
    assert first == "the GPU held its clocks down: thermal_hardware"
    assert "pid 10, 11" in second


def test_what_held_the_clocks_down_only_meanwhile_is_told() -> None:
    nvml = PretendedNvml()
    nvml.violations_ns = {0: 5_000_000_000, 1: 7_000_000_000, 3: 0, 5: None}
    watch = Monitor(nvml, 0)
    before = watch.state()
    time.sleep(0.05)
    nvml.violations_ns[0] = 5_025_000_000
    after = watch.state()
    during: Any = watch.between(before, after, 0)
    assert during["throttled_ms"] == pytest.approx({"power": 25, "thermal": 0, "board_limit": 0})
    assert during["elapsed_ms"] >= 50
    assert after.throttling == ()
    (told,) = state_warnings(before, after, ())
    share = 2500 / during["elapsed_ms"]
    assert told == f"the GPU held its clocks down for a share of the time: power {share:.0f} %"


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ({"power": 0.0}, {"power": 10.0}, None),  # 1 %
        ({"power": 0.0}, {"power": 11.0}, "power 1 %"),
        (
            {"reliability": 5.0, "thermal": 0.0},
            {"reliability": 505.0, "thermal": 20.0},
            "thermal 2 %",  # reliability is the usual state of a GPU at its highest clock
        ),
        ({}, {"power": 500.0}, None),
        ({"power": 500.0}, {}, None),
        ({"power": 500.0}, {"power": 0.0}, None),
    ],
)
def test_a_warning_is_for_what_rose_by_more_than_a_hundredth_of_the_time(
    first: dict[str, float], last: dict[str, float], words: str | None
) -> None:
    before = replace(QUIET, throttled=Throttled(1000.0, first))
    after = replace(QUIET, throttled=Throttled(2000.0, last))
    expected = (f"the GPU held its clocks down for a share of the time: {words}",) if words else ()
    assert state_warnings(before, after, ()) == expected


def test_a_gpu_that_does_not_say_how_long_leaves_it_out() -> None:
    nvml = PretendedNvml()
    nvml.violations_ns = dict.fromkeys((0, 1, 3, 5))
    watch = Monitor(nvml, 0)
    before, after = watch.state(), watch.state()
    assert watch.between(before, after, 0) == {}
    assert state_warnings(before, after, ()) == ()


def test_without_an_nvidia_driver_there_is_no_monitor() -> None:
    with monitor("GPU-00000000-0000-0000-0000-000000000000") as found:
        assert found is None or probe().devices
