"""The GPU's state beside a measurement, by NVML: clocks, power, heat, who else is on it.

NVML is asked before and after a measurement, never during it: its calls would disturb the host.
What happened in between is taken from the samples and sums that the driver keeps of itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from trtbuild.recipe.model import Options

_REASONS = {  # nvmlClocksEventReasons; "idle" and "application clocks" are no trouble
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "thermal_software",
    0x40: "thermal_hardware",
    0x80: "power_brake",
    0x100: "display_clocks",
}
_TROUBLE = {"power_cap", "hardware_slowdown", "thermal_software", "thermal_hardware", "power_brake"}

_POLICIES = ("POWER", "THERMAL", "BOARD_LIMIT", "RELIABILITY")  # nvmlPerfPolicyType_t
_USUAL = ("reliability",)  # the voltage allows no higher clock: how a GPU at its best is held
_NOTED = 0.01
"""A share of the time that clocks may be held down without a warning."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """How long each policy has held the clocks down since the driver was loaded.

    A policy is left out where the GPU does not say, as in some containers.
    """

    at_ms: float = 0.0  # when it was asked, by a clock of this host
    total_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GpuState:
    """One look at the GPU; None where it does not say."""

    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    max_sm_clock_mhz: int | None
    power_w: float | None
    power_limit_w: float | None
    temperature_c: int | None
    memory_used: int | None  # bytes, of all processes
    throttling: tuple[str, ...]  # what holds the clocks down now
    processes: tuple[int, ...]  # ids of compute processes, as the driver counts them
    throttled: Throttled = field(default_factory=Throttled)


class Monitor:
    """Looks at one GPU."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def state(self) -> GpuState:
        """The state now; takes some milliseconds."""
        nvml, handle = self._nvml, self._handle
        memory = self._ask(lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).used))
        power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        limit = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000)
        return GpuState(
            sm_clock_mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            memory_clock_mhz=self._ask(
                lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)
            ),
            max_sm_clock_mhz=self._ask(
                lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)
            ),
            power_w=power,
            power_limit_w=limit,
            temperature_c=self._ask(
                lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            ),
            memory_used=memory,
            throttling=reasons_in(
                self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
            ),
            processes=self._processes(),
            throttled=self._throttled(),
        )

    def between(self, before: GpuState, after: GpuState, since_us: int) -> Options:
        """What the driver noted between two states: the lowest, mean and highest SM clock (MHz) and
        power (W), and for how long (ms) clocks were held down, by the policy that did.

        `since_us` is the driver's clock, as `now_us` gives it. What it does not keep is left out.
        """
        found = self._sampled(since_us)
        if shares := throttled_shares(before, after):
            elapsed = after.throttled.at_ms - before.throttled.at_ms
            found["elapsed_ms"] = elapsed
            found["throttled_ms"] = {name: share * elapsed for name, share in shares.items()}
        return found

    def _sampled(self, since_us: int) -> Options:
        nvml = self._nvml
        kinds = {
            "sm_clock_mhz": (nvml.NVML_PROCESSOR_CLK_SAMPLES, 1),
            "power_w": (nvml.NVML_TOTAL_POWER_SAMPLES, 1000),
        }
        found: Options = {}
        for name, (kind, scale) in kinds.items():
            values = [value / scale for _, value in self._samples(kind, since_us)]
            if values:
                mean = sum(values) / len(values)
                found[name] = {"min": min(values), "mean": mean, "max": max(values)}
        return found

    def now_us(self) -> int:
        """The time of the newest sample, in the driver's microseconds; 0 where it keeps none."""
        kinds = (self._nvml.NVML_PROCESSOR_CLK_SAMPLES, self._nvml.NVML_TOTAL_POWER_SAMPLES)
        times = [time for kind in kinds for time, _ in self._samples(kind, 0)]  # some keep one kind
        return max(times, default=0)

    def _samples(self, kind: int, since_us: int) -> list[tuple[int, float]]:
        def ask() -> list[tuple[int, float]]:
            value_type, samples = self._nvml.nvmlDeviceGetSamples(self._handle, kind, since_us)
            field = _VALUE_FIELDS.get(int(value_type), "uiVal")
            return [(int(s.timeStamp), float(getattr(s.sampleValue, field))) for s in samples]

        return self._ask(ask) or []

    def _throttled(self) -> Throttled:
        nvml, handle = self._nvml, self._handle
        found = {}
        for policy in _POLICIES:
            kind = getattr(nvml, f"NVML_PERF_POLICY_{policy}")
            status = self._ask(lambda kind=kind: nvml.nvmlDeviceGetViolationStatus(handle, kind))
            if status is not None:
                found[policy.lower()] = status.violationTime / 1e6  # it is in ns
        return Throttled(time.monotonic() * 1000, found)

    def _processes(self) -> tuple[int, ...]:
        found = self._ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        return tuple(sorted(int(process.pid) for process in found or ()))

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        except self._nvml.NVMLError:
            return None  # this GPU, or this container, does not say


_VALUE_FIELDS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal"}  # nvmlValueType_t


@contextmanager
def monitor(uuid: str) -> Iterator[Monitor | None]:
    """A monitor of the GPU with this UUID; None without nvidia-ml-py or where NVML fails."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield _monitor(pynvml, uuid)
    finally:
        pynvml.nvmlShutdown()


def _monitor(nvml: Any, uuid: str) -> Monitor | None:
    try:
        return Monitor(nvml, nvml.nvmlDeviceGetHandleByUUID(uuid))
    except nvml.NVMLError:
        return None  # a GPU that another container owns, say


def state_part(state: GpuState) -> Options:
    """A state as JSON, without sums that say nothing of themselves."""
    document = asdict(state)
    del document["throttled"]
    return {
        **document,
        "throttling": list(state.throttling),
        "processes": list(state.processes),
    }


def reasons_in(mask: int) -> tuple[str, ...]:
    """The names of the reasons in NVML's bit mask, except that the GPU is idle."""
    return tuple(name for bit, name in _REASONS.items() if mask & bit and name != "idle")


def foreign_processes(earlier: tuple[int, ...], now: tuple[int, ...], own: int) -> tuple[int, ...]:
    """Processes on the GPU that are not this one, whose id is `own`.

    `earlier` were there before this process had a context, so that they are foreign. Where `own`
    is not listed (in a container it has another id there) one newcomer is taken for this one.
    """
    new = sorted({*now} - {*earlier, own})
    if own not in now:
        new = new[1:]
    return tuple(sorted({pid for pid in now if pid in earlier and pid != own} | {*new}))


def throttled_shares(before: GpuState, after: GpuState) -> dict[str, float]:
    """The share of the time between two states that each policy held the clocks down for."""
    first, last = before.throttled, after.throttled
    elapsed = last.at_ms - first.at_ms
    if elapsed <= 0:
        return {}
    rises = {
        name: total - first.total_ms[name]
        for name, total in last.total_ms.items()
        if name in first.total_ms
    }
    return {name: rise / elapsed for name, rise in rises.items() if rise >= 0}  # < 0: driver reset


def state_warnings(before: GpuState, after: GpuState, foreign: tuple[int, ...]) -> tuple[str, ...]:
    """What makes a measurement doubtful."""
    texts = []
    shares = throttled_shares(before, after)
    held = [
        f"{name} {share * 100:.0f} %"
        for name, share in shares.items()
        if share > _NOTED and name not in _USUAL
    ]
    if held:
        texts.append(f"the GPU held its clocks down for a share of the time: {', '.join(held)}")
    if trouble := [reason for reason in after.throttling if reason in _TROUBLE]:
        texts.append(f"the GPU held its clocks down: {', '.join(trouble)}")
    if foreign:
        shown = ", ".join(map(str, foreign))
        texts.append(f"other processes were on this GPU (pid {shown}): times are not its best")
    return tuple(texts)
