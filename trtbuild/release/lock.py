"""The lock of a recipe: what its tasks were made of and what came out, in a file to commit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trtbuild.errors import UsageError
from trtbuild.graph.action import ACTION_FORMAT, Outcome, Verdict
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.recipe.model import Recipe
from trtbuild.stages import STAGES
from trtbuild.store.digest import Digest, canonical_json, digest_of_bytes
from trtbuild.store.files import write_file

FORMAT = 1
"""The version of the lock's form: the key `lock`."""

ACTION_KEYS = ("stage", "stage_version", "options", "inputs", "toolchain", "discovered")
"""What of an action's document is locked; the rest follows from the stage and its version."""

EVIDENCE = frozenset({("build", "build.log"), ("build", "timing.cache"), ("verify", "verify.json")})
"""Outputs that tell of a run and differ from run to run: in no lock."""

MEASURED = frozenset({"benchmark"})
"""Stages all of whose outputs are measurements."""

HEADER = """\
# The lock of {name}: what `trtbuild run --locked` holds every task against. Commit it.
# After a change, or a conflict on merging, take either side and run `trtbuild lock {name}`.
"""


@dataclass(frozen=True, slots=True)
class LockedTask:
    """One task as it was locked.

    `action` holds the parts of the action's document that ACTION_KEYS names, `outputs` pairs
    file names with digests, and `facts` what was found out about them (metrics, measurements).
    """

    key: str
    action: dict[str, Any]
    outputs: tuple[tuple[str, Digest], ...]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lock:
    """The locked tasks of one recipe, by id."""

    recipe: str
    tasks: Mapping[str, LockedTask]
    best: str | None = None  # the variant that is kept, where the recipe has `best`


def lock_path(recipe: Recipe) -> Path:
    """`recipe.lock` beside `recipe.yaml`."""
    return recipe.path.with_suffix(".lock")


def locked_outputs(
    stage: str, outputs: tuple[tuple[str, Digest], ...]
) -> tuple[tuple[str, Digest], ...]:
    """The outputs that a lock holds: what a rebuild is expected to give again."""
    if stage in MEASURED:
        return ()
    return tuple((name, digest) for name, digest in outputs if (stage, name) not in EVIDENCE)


def action_part(document: Mapping[str, Any]) -> dict[str, Any]:
    """The locked part of an action's document."""
    return {name: document[name] for name in ACTION_KEYS}


def key_of(task: LockedTask) -> str:
    """The action key that follows from what is locked, as far as this version knows the stage."""
    stage = STAGES.get(str(task.action["stage"]))
    if stage is None or stage.version != task.action["stage_version"]:
        return task.key
    outputs = [name for output in stage.outputs for name in output.files]
    document = {"format": ACTION_FORMAT, **task.action, "outputs": outputs}
    try:
        return digest_of_bytes(canonical_json(document)).hash
    except (ValueError, TypeError):
        return "none"  # somebody wrote what no action holds


def make_lock(rebuilder: Rebuilder, previous: Lock | None) -> Lock:
    """The lock of what a session has just brought up to date.

    A task that was skipped for want of a GPU keeps the block that a machine with one locked,
    where that is of the same inputs and options. Raises UsageError where a task has no result.
    """
    tasks: dict[str, LockedTask] = {}
    for task_id, task in rebuilder.tasks.items():
        outcome = rebuilder.outcomes[task_id]
        before = previous.tasks.get(task_id) if previous else None
        if outcome.verdict is Verdict.SKIPPED and rebuilder.lacks_device(task):
            if (
                before is not None
                and key_of(before) == before.key
                and _of_the_same(before, rebuilder, task_id)
            ):
                tasks[task_id] = before
            continue
        if not outcome.key:
            raise UsageError(f"{task_id} has no result to lock", where=str(rebuilder.recipe.path))
        present = _locked(rebuilder, outcome)
        tasks[task_id] = before if _measured_elsewhere(before, present) else present  # type: ignore[assignment]
    return Lock(rebuilder.recipe.name, tasks, _best(rebuilder, tasks, previous))


def _best(
    rebuilder: Rebuilder, tasks: Mapping[str, LockedTask], previous: Lock | None
) -> str | None:
    """The variant that is kept; by size only where no machine measured what is locked."""
    choice = rebuilder.choice
    if choice is None:
        return None
    measured = [f"benchmark:{name}" for name in rebuilder.recipe.precisions]
    if (
        choice.by == "size"
        and previous is not None
        and all(name in tasks and tasks[name] is previous.tasks.get(name) for name in measured)
    ):
        return previous.best
    return choice.variant


def write_lock(path: Path, lock: Lock) -> bool:
    """Write a lock; False where the file holds just that already. Raises StoreError."""
    text = lock_text(lock, path.with_suffix(".yaml").name).encode(errors="replace")
    try:
        if path.read_bytes() == text:
            return False
    except OSError:
        pass  # not there yet, or to be replaced
    write_file(path, text)
    return True


def lock_text(lock: Lock, recipe_file: str) -> str:
    """A lock as YAML: sorted, a block per task, so that git merges what does not conflict."""
    document = {
        "lock": FORMAT,
        "recipe": lock.recipe,
        **({"best": lock.best} if lock.best is not None else {}),
        "tasks": {task_id: _block(task) for task_id, task in lock.tasks.items()},
    }
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=True, default_flow_style=False, width=10_000
    )
    return HEADER.format(name=recipe_file) + text


def _block(task: LockedTask) -> dict[str, Any]:
    return {
        "action": task.key,
        **task.action,
        "outputs": {name: digest.text for name, digest in task.outputs},
        **task.facts,
    }


def _locked(rebuilder: Rebuilder, outcome: Outcome) -> LockedTask:
    trace = rebuilder.store.actions.lookup(outcome.key)
    if trace is None:
        raise UsageError(
            f"the cache lost the record of {outcome.task.id}", hint="run the command again"
        )
    stage = outcome.task.stage
    return LockedTask(
        key=outcome.key,
        action=action_part(trace.action),
        outputs=locked_outputs(stage, outcome.outputs),
        facts=_facts(rebuilder, outcome),
    )


def _facts(rebuilder: Rebuilder, outcome: Outcome) -> dict[str, Any]:
    if outcome.task.stage not in ("verify", "benchmark"):
        return {}
    path = rebuilder.workspace.path(outcome.task, f"{outcome.task.stage}.json")
    try:
        result: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if outcome.task.stage == "verify":
        scores = {name: _rounded(score["value"]) for name, score in result["metrics"].items()}
        return {"metrics": scores, "engine": result["engine"]}
    points = {
        point["name"]: _rounded(point["metrics"]["gpu_compute"]["median"])
        for point in result["points"]
    }
    return {"gpu_compute_ms": points}


def _rounded(value: float) -> float:
    """To 6 digits: what differs between two runs of the same thing is of no use in a diff."""
    return float(f"{value:.6g}")


def _of_the_same(before: LockedTask, rebuilder: Rebuilder, task_id: str) -> bool:
    """Whether a block of another machine is of the task that is here now."""
    task = rebuilder.tasks[task_id]
    made = {digest.text for needed in task.needs for _, digest in rebuilder.results.get(needed, ())}
    artifacts = set(before.action["inputs"].values())
    return _without_gpu(before.action["options"]) == task.options and artifacts <= made


def _measured_elsewhere(before: LockedTask | None, present: LockedTask) -> bool:
    """Whether the lock holds this task as a machine with a GPU ran it, and this one has none."""
    if before is None or not before.action["options"].get("gpu") or key_of(before) != before.key:
        return False
    if present.action["options"].get("gpu") is not False:
        return False
    same = ("stage", "stage_version", "inputs")
    options = _without_gpu(present.action["options"])
    return _without_gpu(before.action["options"]) == options and all(
        before.action[name] == present.action[name] for name in same
    )


def _without_gpu(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "gpu"}


class _Dumper(yaml.SafeDumper):
    """Writes [1, 2, 3] in one line and mappings in blocks; never an alias."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    plain = not any(isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=plain)


_Dumper.add_representer(list, _list)
