"""What is made of NVML's answers; the answers themselves need a GPU."""

from __future__ import annotations

from dataclasses import replace

from trtbuild.cuda.nvml import (
    GpuState,
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
    assert state_warnings(QUIET, ()) == ()
    hot = replace(QUIET, throttling=("application_clocks", "thermal_hardware"))
    first, second = state_warnings(hot, (10, 11))
    assert first == "the GPU held its clocks down: thermal_hardware"
    assert "pid 10, 11" in second


def test_without_an_nvidia_driver_there_is_no_monitor() -> None:
    with monitor("GPU-00000000-0000-0000-0000-000000000000") as found:
        assert found is None or probe().devices
