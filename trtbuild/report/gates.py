"""The gates of benchmarks, for a person, for machines and for CI servers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trtbuild.benchmark.gates import Judgement, Outcome
from trtbuild.errors import StoreError
from trtbuild.graph.rebuild import Rebuilder


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


def write_junit(path: Path, rebuilders: Sequence[Rebuilder]) -> None:
    """A JUnit file of all gates: a suite for each benchmark. Raises StoreError."""
    from trtbuild.benchmark.junit import junit_xml

    suites = {
        f"{rebuilder.recipe.name} {task_id}": judgements
        for rebuilder in rebuilders
        for task_id, judgements in rebuilder.gates.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(junit_xml(suites))
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error
