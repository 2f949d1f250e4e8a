"""Which tasks of a recipe a command line asks for, and what those need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trtbuild.errors import UsageError
from trtbuild.graph.action import Task

if TYPE_CHECKING:
    from trtbuild.graph.rebuild import Rebuilder


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line chooses; empty selections mean everything."""

    stages: frozenset[str] = frozenset()
    precisions: frozenset[str] = frozenset()
    forced: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    out: Path | None = None
    jobs: int = 1
    keep_going: bool = False
    only_cached: bool = False
    link: bool = False


def select(rebuilder: Rebuilder, settings: Settings) -> list[str]:
    """The tasks that the command line asks for. Raises UsageError for what the recipe lacks."""
    recipe = rebuilder.recipe
    if recipe.best and "best" in settings.precisions:  # which takes all of the candidates
        settings = replace(settings, precisions=frozenset())
    unknown = settings.precisions - recipe.precisions.keys()
    if unknown:
        raise UsageError(
            f"{rebuilder.recipe.path} has no precision {', '.join(sorted(unknown))}",
            hint=f"it has {', '.join(rebuilder.recipe.precisions)}",
        )
    _require_stages(rebuilder, settings.required)
    selected = [task.id for task in rebuilder.tasks.values() if _is_selected(task, settings)]
    if not selected:
        raise _no_stage(rebuilder, " or ".join(sorted(settings.stages)))
    return selected


def needed_by(rebuilder: Rebuilder, selected: Iterable[str]) -> list[str]:
    """The selected tasks and all that they need, in the order of the plan."""
    wanted: set[str] = set()
    waiting = list(selected)
    while waiting:
        task_id = waiting.pop()
        if task_id not in wanted:
            wanted.add(task_id)
            waiting += rebuilder.tasks[task_id].needs
    return [task_id for task_id in rebuilder.tasks if task_id in wanted]


def _require_stages(rebuilder: Rebuilder, required: Iterable[str]) -> None:
    for stage in sorted(required):
        if all(task.stage != stage for task in rebuilder.tasks.values()):
            raise _no_stage(rebuilder, stage)


def _no_stage(rebuilder: Rebuilder, stage: str) -> UsageError:
    return UsageError(
        f"{rebuilder.recipe.path} has no stage {stage}",
        hint=f"it has {', '.join(dict.fromkeys(t.stage for t in rebuilder.tasks.values()))}",
    )


def _is_selected(task: Task, settings: Settings) -> bool:
    """A task of no precision is wanted for itself only where its stage is asked for by name.

    Else the selected variants bring the ones that they need: fp32 needs no calibration.
    """
    if settings.stages and task.stage not in settings.stages:
        return False
    if task.variant is None:
        return bool(settings.stages or not settings.precisions)
    return not settings.precisions or task.variant in settings.precisions
