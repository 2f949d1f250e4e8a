"""Holds what is there against the lock: before anything runs, and as tasks get their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trtbuild.errors import DifferenceError
from trtbuild.graph.action import Action, Task, differences
from trtbuild.graph.bind import Outputs, bind, with_discovered
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.release.lock import (
    Lock,
    LockedTask,
    action_part,
    key_of,
    lock_path,
    locked_outputs,
)
from trtbuild.release.lock_read import read_lock

RELOCK = "if the change is meant: trtbuild lock {recipe}"


def compare(rebuilder: Rebuilder, lock: Lock) -> tuple[str, ...]:
    """Every difference of the recipe and the tools here from the lock, as `task.field: a -> b`.

    Nothing runs and nothing need be cached: what a task reads of another is what the lock says
    that one gave. Tasks that need a GPU are left out where there is none. Raises StageError for
    an input that cannot be read, MissingPackage for a tool that is not installed.
    """
    results = {task_id: task.outputs for task_id, task in lock.tasks.items()}
    found = [
        f"{task_id}.action: {task.key[:12]} -> {key[:12]}, as the rest of the block has it"
        for task_id, task in lock.tasks.items()
        if (key := key_of(task)) != task.key
    ]
    for task_id, task in rebuilder.tasks.items():
        if rebuilder.lacks_device(task):
            continue
        locked = lock.tasks.get(task_id)
        if locked is None:
            found.append(f"{task_id}: absent -> in the recipe")
        elif all(needed in results for needed in task.needs):
            found += _compare_task(rebuilder, task, locked, results)
    gone = [task_id for task_id in lock.tasks if task_id not in rebuilder.tasks]
    found += [f"{task_id}: locked -> no longer in the recipe" for task_id in gone]
    return tuple(found)


def _compare_task(
    rebuilder: Rebuilder, task: Task, locked: LockedTask, results: Mapping[str, Outputs]
) -> list[str]:
    folder, memo = rebuilder.recipe.folder, rebuilder.store.memo
    action = bind(task, results, folder, rebuilder.device, memo)
    action = with_discovered(action, tuple(locked.action["discovered"]), folder, memo)
    return _differences(locked, action, machine_has_gpu=rebuilder.device is not None)


def _differences(locked: LockedTask, action: Action, *, machine_has_gpu: bool) -> list[str]:
    present = action_part(action.document())
    if locked.action["options"].get("gpu") and not machine_has_gpu:
        # It was locked where it ran on a GPU. What that adds cannot be compared here.
        present["options"] = {**present["options"], "gpu": True}
        present["toolchain"] = _with_absent(locked.action["toolchain"], present["toolchain"])
    return [
        f"{action.stage}{_variant(action)}.{reason.text}"
        for reason in differences(locked.action, present)
    ]


def _with_absent(locked: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    return {**locked, **present}


def _variant(action: Action) -> str:
    precision = action.options.get("precision")
    return f":{precision}" if isinstance(precision, str) else ""


@dataclass(slots=True)
class LockGuard:
    """Refuses, for one recipe, whatever is not as locked; remembers what it refused."""

    rebuilder: Rebuilder
    lock: Lock
    refused: list[str] = field(default_factory=list)

    def check(self, task: Task, action: Action, outputs: Outputs | None) -> None:
        """Compare an action, and its outputs once they are known. Raises DifferenceError."""
        locked = self.lock.tasks.get(task.id)
        if locked is None:
            found = [f"{task.id}: absent -> in the recipe"]
        else:
            gpu = self.rebuilder.device is not None
            # The files that a stage reads by itself are known only after it ran.
            if outputs is None and locked.action["discovered"] and not action.discovered:
                return
            found = _differences(locked, action, machine_has_gpu=gpu)
            if outputs is not None and not found:
                present = locked_outputs(task.stage, outputs)
                found = _other_outputs(task, locked.outputs, present)
        if found:
            self.refused += [text for text in found if text not in self.refused]
            raise DifferenceError(
                "\n  ".join((f"{task.id} is not as locked:", *found)),
                where=str(lock_path(self.rebuilder.recipe)),
                hint=RELOCK.format(recipe=self.rebuilder.recipe.path),
            )


def _other_outputs(task: Task, locked: Outputs, present: Outputs) -> list[str]:
    before = {name: digest.text for name, digest in locked}
    after = {name: digest.text for name, digest in present}
    return [f"{task.id}.outputs.{reason.text}" for reason in differences(before, after)]


def require_current(rebuilders: Sequence[Rebuilder]) -> tuple[LockGuard, ...]:
    """A guard per recipe, set on its rebuilder.

    Raises UsageError where a lock is missing or unusable, DifferenceError with every difference
    of every recipe where one is not current.
    """
    guards = tuple(LockGuard(rebuilder, read_lock(rebuilder.recipe)) for rebuilder in rebuilders)
    found = [(guard, compare(guard.rebuilder, guard.lock)) for guard in guards]
    differing = [(guard, texts) for guard, texts in found if texts]
    if differing:
        raise difference_error(differing)
    for guard in guards:
        guard.rebuilder.guard = guard
        guard.rebuilder.locked_best = guard.lock.best
    return guards


def difference_error(
    differing: Sequence[tuple[LockGuard, Sequence[str]]],
) -> DifferenceError:
    """One error that lists what differs in each recipe."""
    blocks = []
    for guard, texts in differing:
        blocks.append(f"{lock_path(guard.rebuilder.recipe)} is not what is there now:")
        blocks += [f"  {text}" for text in texts]
    recipes = " ".join(str(guard.rebuilder.recipe.path) for guard, _ in differing)
    return DifferenceError("\n".join(blocks), hint=RELOCK.format(recipe=recipes))
