"""What a command line selects of a recipe's tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import RECIPE, Project

TWO = RECIPE.replace("[fp32]", "{fp32: {}, int8: {}}").replace(
    "verify:", "calibration: {dataset: {npz: data.npz}}\nverify:"
)
SHARED = ["export", "surgery", "reference"]


@pytest.mark.parametrize(
    ("arguments", "tasks"),
    [
        (["--precision", "fp32"], [*SHARED, "build:fp32", "verify:fp32"]),
        (
            ["--precision", "int8"],
            [*SHARED, "calibrate", "quantize:int8", "build:int8", "verify:int8"],
        ),
        (["--only", "calibrate"], ["export", "surgery", "calibrate"]),
        (["--only", "calibrate", "--precision", "fp32"], ["export", "surgery", "calibrate"]),
        (["--only", "build", "--precision", "fp32"], ["export", "surgery", "build:fp32"]),
    ],
)
def test_a_precision_brings_only_what_it_needs(
    tmp_path: Path, arguments: list[str], tasks: list[str]
) -> None:
    project = Project(tmp_path).tiny(TWO)
    planned = project.trtbuild("plan", "tiny.yaml", "--json", *arguments)
    assert planned.code == 0, planned.err
    assert sorted(planned.verdicts()) == sorted(tasks)
