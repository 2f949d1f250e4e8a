"""The gates of benchmarks, for a person and for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from trtbuild.benchmark.gates import Judgement, Outcome
from trtbuild.graph.rebuild import Rebuilder


def print_gates(name: str, judgements: Sequence[Judgement]) -> None:
    """A line for each gate; what was broken goes to standard error."""
    for judgement in judgements:
        failed = judgement.outcome is Outcome.FAILED
        word = {Outcome.FAILED: "FAILED", Outcome.UNCLEAR: "warning"}.get(judgement.outcome, "ok")
        print(
            f"{name:<32} gate {word:<8} {gate_name(judgement)}: {judgement.message}",
            file=sys.stderr if failed else sys.stdout,
        )


def gate_name(judgement: Judgement) -> str:
    """A gate with its limit and point, as `p99 5ms [opt]`."""
    return f"{judgement.gate.key} {judgement.gate.text} [{judgement.point}]"


def gate_documents(rebuilder: Rebuilder) -> list[dict[str, Any]]:
    """Every judgement of a recipe's gates as JSON."""
    return [
        gate_document(task_id, judgement)
        for task_id, judgements in rebuilder.gates.items()
        for judgement in judgements
    ]


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
