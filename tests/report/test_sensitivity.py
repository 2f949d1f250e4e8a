"""What a person reads of a search for nodes to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trtbuild.report.sensitivity import print_sensitivity


def document(**changed: Any) -> dict[str, Any]:
    """sensitivity.json of a search that found nothing, as graph.sensitivity hands it on."""
    return {
        "precision": "int8",
        "base": "fp32",
        "nodes": 2,
        "complete": True,
        "probes": [],
        "keeping": {"nodes": ["a"], "enough": False, "settled": True},
        "fp32_passes": True,
        "yaml": "",
        **changed,
    }


EVERY = (
    "int8 cannot be used on this model within this tolerance: every node that it changes would "
    "have to stay in fp32"
)
IN_TIME = {"nodes": [], "enough": False, "settled": False}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, EVERY),
        ({"base": "fp16"}, f"{EVERY} (the rest is in fp16: try another `base`)"),
        ({"fp32_passes": False}, "even in fp32 the outputs are not within the tolerance"),
        (
            {"keeping": IN_TIME},
            "the time was up before enough nodes were found: run it again with more --seconds",
        ),
        (
            {"keeping": IN_TIME, "complete": False},
            "the time was up before enough nodes were found: run it again to go on from here",
        ),
    ],
)
def test_why_nothing_was_found_is_said(
    changed: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_sensitivity(document(**changed), Path("sensitivity.json"))
    assert capsys.readouterr().out.splitlines()[-1] == said


@pytest.mark.parametrize(
    ("settled", "few"), [(True, "the fewest found"), (False, "perhaps not the fewest: time was up")]
)
def test_time_is_blamed_only_where_it_was_up(
    settled: bool, few: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keeping = {"nodes": ["a"], "enough": True, "settled": settled}
    print_sensitivity(document(keeping=keeping), Path("sensitivity.json"))
    said = f"With 1 more in fp32 every case is within the tolerance ({few})."
    assert said in capsys.readouterr().out.splitlines()
