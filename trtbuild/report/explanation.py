"""Why a task would run: the recorded action against the present one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trtbuild.errors import TrtbuildError
from trtbuild.graph.action import Verdict, differences
from trtbuild.graph.misses import nearest_misses
from trtbuild.graph.rebuild import Rebuilder


def explanation(rebuilder: Rebuilder, task_id: str) -> dict[str, Any]:
    """The recorded and the present action of a task, their differences, and the verdict.

    Of a task that no cache has a result of, also how the nearest entries differ.
    """
    task = rebuilder.tasks[task_id]
    outcome = rebuilder.outcomes[task_id]
    record = rebuilder.workspace.record(task)
    present: dict[str, Any] | None = None
    nearest: tuple[str, ...] = ()
    problem = ""
    if all(needed in rebuilder.results for needed in task.needs):
        try:
            action = rebuilder.present_action(task)
            present = action.document()
            if outcome.verdict not in (Verdict.UP_TO_DATE, Verdict.RESTORED):
                nearest = nearest_misses(rebuilder.cached, action)
        except TrtbuildError as error:
            problem = str(error)
    compared = record is not None and present is not None
    changed = differences(record.action, present) if compared and record else ()
    return {
        "task": task_id,
        "verdict": outcome.verdict,
        "certain": outcome.certain,
        "reasons": [reason.text for reason in outcome.reasons],
        "differences": [reason.text for reason in changed],
        "nearest": list(nearest),
        "problem": problem,
        "recorded": record.action if record else None,
        "present": present,
    }


def misses(rebuilder: Rebuilder) -> list[dict[str, Any]]:
    """The tasks that no cache has a result of, and how the nearest entries differ."""
    found = []
    for task_id, outcome in rebuilder.outcomes.items():
        if outcome.verdict in (Verdict.UP_TO_DATE, Verdict.RESTORED):
            continue
        explained = explanation(rebuilder, task_id)
        nearest = explained["nearest"] or [explained["problem"]] * bool(explained["problem"])
        found.append({"task": task_id, "reasons": explained["reasons"], "nearest": nearest})
    return found


def print_misses(found: Sequence[dict[str, Any]]) -> None:
    """Print them."""
    for miss in found:
        print(f"{miss['task']}: {'; '.join(miss['reasons'])}")
        for text in miss["nearest"]:
            print(f"  {text}")
    if not found:
        print("every task is up to date, or can be restored")


def print_explanation(found: dict[str, Any]) -> None:
    """Print one explanation."""
    print(f"{found['task']}: {found['verdict']}{'' if found['certain'] else '?'}")
    for text in found["reasons"]:
        print(f"  because  {text}")
    if found["problem"]:
        print(f"  {found['problem']}")
    if found["recorded"] is None:
        print("  no action is recorded in this output folder")
    elif found["present"] is None:
        print("  its present action is known once the tasks before it have run")
    elif found["differences"]:
        for text in found["differences"]:
            print(f"  changed  {text}")
    else:
        print("  the recorded and the present action are the same")
    for text in found["nearest"]:
        print(f"  in the cache: {text}")
