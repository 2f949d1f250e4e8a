"""An NVML of a GPU that is not there: what a test sets is what it answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """What a GPU or a container does not say."""


class PretendedNvml:
    """Answers as nvidia-ml-py does; `violations_ns` are sums by policy, None where refused."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_TOTAL_POWER_SAMPLES, NVML_PROCESSOR_CLK_SAMPLES = 0, 5
    NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL = 0, 1
    NVML_PERF_POLICY_BOARD_LIMIT, NVML_PERF_POLICY_RELIABILITY = 3, 5

    def __init__(self) -> None:
        self.violations_ns: dict[int, int | None] = {}

    def nvmlDeviceGetViolationStatus(self, _handle: int, policy: int) -> Any:  # noqa: N802 - NVML's
        """How long a policy held the clocks down, in ns."""
        found = self.violations_ns.get(policy, 0)
        if found is None:
            raise NVMLError
        return SimpleNamespace(referenceTime=0, violationTime=found)

    def __getattr__(self, name: str) -> Any:
        """Every other question is refused."""

        def refuse(*_: object) -> Any:
            raise NVMLError(name)

        return refuse
