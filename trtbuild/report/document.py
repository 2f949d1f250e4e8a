"""Results as one JSON document, for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import trtbuild
from trtbuild.errors import ExitCode, RecipeError, TrtbuildError
from trtbuild.graph.action import Outcome
from trtbuild.graph.made import outdated_engines
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.report.gates import gate_documents
from trtbuild.report.summary import in_order, summarise

FORMAT = 1


def run_document(rebuilders: Sequence[Rebuilder], exit_code: ExitCode) -> dict[str, Any]:
    """The outcome of a run or a plan."""
    return {
        "format": FORMAT,
        "trtbuild": trtbuild.__version__,
        "exit_code": int(exit_code),
        "recipes": [_recipe(rebuilder) for rebuilder in rebuilders],
    }


def error_document(error: TrtbuildError) -> dict[str, Any]:
    """An error that kept a command from its work."""
    problems = error.problems if isinstance(error, RecipeError) else (str(error),)
    return {
        "format": FORMAT,
        "trtbuild": trtbuild.__version__,
        "exit_code": int(error.exit_code),
        "errors": list(problems),
    }


def print_json(document: dict[str, Any], exit_code: ExitCode | None = None) -> None:
    """Print a document on standard output, with the exit code where it does not have it itself."""
    more = {} if exit_code is None else {"exit_code": int(exit_code)}
    print(json.dumps({**document, **more}, indent=2, default=str))


def _recipe(rebuilder: Rebuilder) -> dict[str, Any]:
    return {
        "name": rebuilder.recipe.name,
        "path": str(rebuilder.recipe.path),
        "output": str(rebuilder.workspace.root),
        "tasks": [_task(rebuilder, outcome) for outcome in in_order(rebuilder)],
        "gates": gate_documents(rebuilder),
        "outdated": [
            str(path)
            for path in outdated_engines(rebuilder.workspace.root, rebuilder.recipe.precisions)
        ],
        "best": rebuilder.choice.document() if rebuilder.choice else None,
        "variants": [dataclasses.asdict(summary) for summary in summarise(rebuilder)],
    }


def _task(rebuilder: Rebuilder, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.task.id,
        "stage": outcome.task.stage,
        "variant": outcome.task.variant,
        "verdict": outcome.verdict,
        "certain": outcome.certain,
        "reasons": [
            {"kind": reason.kind, "text": reason.text, "field": reason.field}
            for reason in outcome.reasons
        ],
        "key": outcome.key,
        "seconds": round(outcome.seconds, 3),
        "outputs": {
            name: {
                "path": str(rebuilder.workspace.path(outcome.task, name)),
                "sha256": digest.hash,
                "size_bytes": digest.size_bytes,
            }
            for name, digest in outcome.outputs
        },
        "warnings": list(outcome.warnings),
        "error": outcome.error,
        "log": outcome.log,
    }
