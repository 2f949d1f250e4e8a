"""The gates of benchmarks, for a person and for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from trtbuild.benchmark.gates import Judgement, Outcome


def print_gates(name: str, judgements: Sequence[Judgement]) -> None:
    """A line for each gate; what was broken goes to standard error."""
    for judgement in judgements:
        failed = judgement.outcome is Outcome.FAILED
        word = {Outcome.FAILED: "FAILED", Outcome.UNCLEAR: "warning"}.get(judgement.outcome, "ok")
        gate = f"{judgement.gate.key} {judgement.gate.text} [{judgement.point}]"
        print(
            f"{name:<32} gate {word:<8} {gate}: {judgement.message}",
            file=sys.stderr if failed else sys.stdout,
        )


def gate_document(task: str, judgement: Judgement) -> dict[str, Any]:
    """One judgement as JSON."""
    return {
        "task": task,
        "gate": judgement.gate.key,
        "limit": judgement.gate.text,
        "point": judgement.point,
        "outcome": judgement.outcome.value,
        "value": judgement.value,
        "message": judgement.message,
    }
