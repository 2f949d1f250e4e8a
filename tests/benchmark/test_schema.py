"""The result document is as schemas/benchmark.schema.json says."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.benchmark.documents import point, result
from trtbuild.benchmark.result import host_part
from trtbuild.benchmark.settings import Settings
from trtbuild.cuda.nvml import GpuState, state_part
from trtbuild.recipe.gates import METRICS

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "benchmark.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_result_is_valid() -> None:
    VALIDATOR.validate(result(host=host_part()))


def test_every_setting_is_in_the_schema_and_has_to_be_in_a_result() -> None:
    settings = SCHEMA["$defs"]["settings"]
    assert settings["required"] == list(settings["properties"])
    assert sorted(settings["required"]) == sorted(field.name for field in fields(Settings))


def test_the_metrics_are_the_same_everywhere() -> None:
    assert tuple(SCHEMA["$defs"]["point"]["properties"]["metrics"]["required"]) == METRICS


def test_a_result_with_everything_in_it_is_valid() -> None:
    state = state_part(GpuState(1980, 2619, 1980, 120.5, 700.0, 41, 1 << 30, ("power_cap",), (7,)))
    summary = point()["metrics"]["latency"]
    ratio = {"estimate": 2.0, "low": 1.9, "high": 2.1}
    side = {"name": "PyTorch eager, float32", "wall_ms": summary, "gpu_ms": None}
    speedup = {"wall": ratio, "gpu": None}
    other = {**side, "version": "2.11.0", "speedup": speedup}
    full = point() | {
        "gpu": {
            "before": state,
            "after": state,
            "during": {
                "sm_clock_mhz": {"min": 1.0, "mean": 1.5, "max": 2.0},
                "elapsed_ms": 3200.0,
                "throttled_ms": {"power": 12.0, "thermal": 0.0},
            },
            "foreign_processes": [7],
        },
        "baselines": {
            "rounds": 20,
            "round_ms": 100.0,
            "engine": side,
            "others": [other],
            "missing": [{"kind": "torch_compile", "reason": "no compiler"}],
        },
        "regression": {"accepted": "sha256:x:1", **ratio},
    }
    VALIDATOR.validate(result(full))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"format": 2}, "format"),
        ({"points": []}, "points"),
        ({"hostname": "x"}, ""),
        ({"settings": {}}, "settings"),
    ],
)
def test_what_is_no_result_is_refused(change: dict[str, Any], path: str) -> None:
    document = result() | change
    (error, *_) = VALIDATOR.iter_errors(document)
    assert ".".join(map(str, error.path)) == path
