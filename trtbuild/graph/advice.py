"""What to try where a variant loses too much: a line to put over the recipe's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.recipe.precision_section import precision_line

if TYPE_CHECKING:
    from pathlib import Path

    from trtbuild.graph.action import Task
    from trtbuild.recipe.model import Recipe

REPORT = "verify.json"


def with_advice(error: StageError, task: Task, recipe: Recipe, outputs: Path) -> StageError:
    """The error of a failed task; where verify names nodes to keep in fp32, with them in its hint.

    The stage cannot say it: the recipe's other options are none of its own, so that a change of
    one that gives the same graph verifies nothing anew. `outputs` holds the report.
    """
    nodes = _nodes(outputs / REPORT) if task.stage == "verify" else []
    if not nodes or task.variant is None:
        return error
    options = recipe.precisions[task.variant]
    kept: Any = options.get("keep_fp32") or []
    line = precision_line(task.variant, {**options, "keep_fp32": [*kept, *nodes]})
    command = f"trtbuild sensitivity {recipe.path} --precision {task.variant}"
    hint = f"{error.hint}; try under `precisions:`\n    {line}\nor let `{command}` find the fewest"
    return StageError(error.what, where=error.where, hint=hint)


def _nodes(report: Path) -> list[str]:
    """The nodes that verify would try to keep; none where it did not come to write so."""
    try:
        document: Any = json.loads(report.read_bytes())
        return [str(name) for name in document["keep_fp32"]]
    except (OSError, ValueError, KeyError):
        return []
