"""What a point says of the GPU beside its times."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmark.documents import point, result
from tests.benchmark.test_schema import VALIDATOR
from tests.cuda.pretended_nvml import PretendedNvml
from trtbuild.benchmark.points import PointRun
from trtbuild.benchmark.settings import Settings
from trtbuild.cuda.nvml import Monitor


def test_a_point_warns_of_clocks_that_were_held_down_meanwhile() -> None:
    nvml = PretendedNvml()
    watch = Monitor(nvml, 0)
    unused: Any = None
    run = PointRun(unused, unused, Settings(), unused, (), watch, (), print)
    before = watch.state()
    nvml.violations_ns[nvml.NVML_PERF_POLICY_THERMAL] = 3_600_000_000_000
    part = point()
    part["gpu"] = run._gpu(before, 0, part)
    assert part["gpu"]["during"]["throttled_ms"]["thermal"] == pytest.approx(3_600_000)
    assert any("held its clocks down for a share" in text for text in part["warnings"])
    VALIDATOR.validate(result(part))
