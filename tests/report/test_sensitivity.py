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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, EVERY),
        ({"base": "fp16"}, f"{EVERY} (the rest is in fp16: try another `base`)"),
        ({"fp32_passes": False}, "even in fp32 the outputs are not within the tolerance"),
    ],
)
def test_why_nothing_was_found_is_said(
    changed: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_sensitivity(document(**changed), Path("sensitivity.json"))
    assert capsys.readouterr().out.splitlines()[-1] == said
