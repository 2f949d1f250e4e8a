"""Results that lie beside an engine that they do not speak of: they are taken away."""

from __future__ import annotations

from pathlib import Path

from trtbuild.graph.action import Task, Verdict
from trtbuild.graph.choose import ENGINE
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.graph.workspace import failed_name
from trtbuild.stages import STAGES
from trtbuild.store.files import store_errors

RECORDED = f"engine/{ENGINE}"
"""As what verify and benchmark, in whose folder the engine lies too, have it in their actions."""


def remove_leftovers(rebuilder: Rebuilder) -> None:
    """Remove results of an earlier engine, and those that a failure has taken the place of.

    Whoever reads verify.json takes it for the engine beside it, whether or not verify came to run
    after the engine was built. The cache can give them again. Raises StoreError.
    """
    for task in rebuilder.tasks.values():
        files = _result_files(rebuilder, task)
        if any(path.exists() for path in files) and _is_left_over(rebuilder, task, files[0]):
            for path in files:
                with store_errors("cannot remove", path):
                    path.unlink(missing_ok=True)


def _result_files(rebuilder: Rebuilder, task: Task) -> list[Path]:
    return [
        rebuilder.workspace.path(task, name)
        for output in STAGES[task.stage].outputs
        if output.name == "result"
        for name in output.files
    ]


def _is_left_over(rebuilder: Rebuilder, task: Task, result: Path) -> bool:
    outcome = rebuilder.outcomes.get(task.id)
    if outcome is not None and outcome.verdict is Verdict.FAILED:
        if result.with_name(failed_name(result.name)).exists():
            return True  # what it found this time
    elif outcome is not None and outcome.outputs:
        return False  # they are what the run came to
    return _engine_of_record(rebuilder, task) != _engine_there(rebuilder, task)


def _engine_of_record(rebuilder: Rebuilder, task: Task) -> str:
    record = rebuilder.workspace.record(task)
    inputs = record.action.get("inputs", {}) if record is not None else {}
    return str(inputs.get(RECORDED, ""))


def _engine_there(rebuilder: Rebuilder, task: Task) -> str:
    try:
        return rebuilder.store.memo.digest(rebuilder.workspace.path(task, ENGINE)).text
    except OSError:
        return "no engine"
