"""Binding: a task and what its inputs are now become an action."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from trtbuild.discovery.folders import folder_state
from trtbuild.discovery.names import (
    FOLDER,
    LINK,
    MISSING,
    MODULE,
    PACKAGE,
    VARIABLE,
    link_state,
    module_state,
    variable_state,
)
from trtbuild.discovery.seen import THERE, stamp_of
from trtbuild.errors import StageError
from trtbuild.graph.action import Action, SourceFile, Task
from trtbuild.graph.device import Device
from trtbuild.graph.toolchain import toolchain_of, version_of
from trtbuild.recipe.model import Options
from trtbuild.stages import STAGES
from trtbuild.stages.base import Stage
from trtbuild.stages.steady import BUILDERS, facts_of
from trtbuild.store.digest import Digest
from trtbuild.store.memo import Memo

Outputs = tuple[tuple[str, Digest], ...]


def bind(
    task: Task,
    results: Mapping[str, Outputs],
    folder: Path,
    device: Device | None,
    memo: Memo,
    *,
    partial: bool = False,
) -> Action:
    """The action of a task as far as it is known before it runs.

    With `partial`, tools that are not installed are left out of it. `results` holds the outputs
    of every task that this one needs. Raises StageError for an input that cannot be read,
    MissingPackage for a tool that is not installed.
    """
    stage = STAGES[task.stage]
    options = options_of(task, stage, device)
    return Action(
        stage=stage.name,
        stage_version=stage.version,
        options=options,
        inputs=_input_digests(task, results, folder, memo),
        outputs=tuple(name for output in stage.outputs for name in output.files),
        toolchain=_toolchain(stage, options, device, partial=partial),
    )


def options_of(task: Task, stage: Stage, device: Device | None) -> Options:
    """The task's options, and for a stage that uses a GPU where there is one, whether there is."""
    if not stage.takes_gpu:
        return task.options
    return {**task.options, "gpu": device is not None}


def _toolchain(
    stage: Stage, options: Options, device: Device | None, *, partial: bool
) -> tuple[tuple[str, str], ...]:
    facts = toolchain_of(stage, options, partial=partial)
    on_gpu = device is not None and uses_gpu(stage, options)
    if on_gpu or stage.module in BUILDERS:
        facts += facts_of(os.environ)
    if device is not None and on_gpu:
        facts += device.facts
    return tuple(sorted(facts))


def uses_gpu(stage: Stage, options: Options) -> bool:
    """Whether the stage runs on the GPU, given options from `options_of`."""
    return stage.needs_gpu(options) or bool(stage.takes_gpu and options["gpu"])


def with_discovered(action: Action, names: tuple[str, ...], folder: Path, memo: Memo) -> Action:
    """The action with the present states of what the user's code was seen to read."""
    states = tuple((name, _state(name, folder, memo)) for name in sorted(names))
    return replace(action, discovered=states)


def as_seen(action: Action, seen: Mapping[str, str], folder: Path) -> Action | None:
    """The action with what was missing, folders and links as they were when they were first read;
    None where a file has been changed since. `seen` has the states of then, by `discovery.seen`.
    """
    states = []
    for name, state in action.discovered:
        then = seen.get(name, "")
        if then == MISSING or (then and (name.endswith("/") or name.startswith(LINK))):
            states.append((name, then))
        elif then == THERE:
            if state == MISSING:
                return None
            states.append((name, state))
        elif then and stamp_of(folder / name) != then:
            return None
        else:
            states.append((name, state))
    return replace(action, discovered=tuple(states))


def input_paths(
    task: Task, artifacts: Mapping[tuple[str, str], Path], folder: Path
) -> dict[str, Path]:
    """Where each role's main file lies; `artifacts` maps (task, artifact) to its main file."""
    return {
        item.role: folder / item.path
        if isinstance(item, SourceFile)
        else artifacts[item.task, item.artifact]
        for item in task.inputs
    }


def _state(name: str, folder: Path, memo: Memo) -> str:
    if name.startswith(PACKAGE):
        return version_of(name.removeprefix(PACKAGE)) or MISSING
    if name.startswith(VARIABLE):
        return variable_state(name.removeprefix(VARIABLE))
    if name.startswith(MODULE):
        return module_state(name.removeprefix(MODULE), folder.resolve())
    if name.startswith(LINK):
        return link_state(folder / name.removeprefix(LINK), folder.resolve())
    if name.endswith("/"):
        return folder_state(folder / name)
    try:
        return memo.digest(folder / name).text
    except IsADirectoryError:
        return FOLDER  # that it is there was asked, and not what is in it
    except OSError:
        return MISSING


def _input_digests(
    task: Task, results: Mapping[str, Outputs], folder: Path, memo: Memo
) -> tuple[tuple[str, Digest], ...]:
    found: list[tuple[str, Digest]] = []
    for item in task.inputs:
        if isinstance(item, SourceFile):
            found += _without_repetition(item, _source_digests(item, folder, memo), found)
            continue
        made = dict(results[item.task])
        producer = STAGES[item.task.partition(":")[0]]
        output = next(o for o in producer.outputs if o.name == item.artifact)
        found += [(f"{item.role}/{name}", made[name]) for name in output.files if name in made]
    return tuple(sorted(found))


def _without_repetition(
    item: SourceFile, digests: list[tuple[str, Digest]], before: list[tuple[str, Digest]]
) -> list[tuple[str, Digest]]:
    """The digests of a file, none where it repeats the input that it is there to differ from."""
    other = f"{item.unless}/"
    same = {digest for name, digest in before if item.unless and name.startswith(other)}
    return [] if any(digest in same for _, digest in digests) else digests


def _source_digests(item: SourceFile, folder: Path, memo: Memo) -> list[tuple[str, Digest]]:
    path = folder / item.path
    try:
        digest = memo.digest(path)
        found = [(item.role, digest)]
        if item.external:
            for location in _external_files(path, digest, memo):
                found.append((f"{item.role}/{location}", memo.digest(path.parent / location)))
    except OSError as error:
        raise StageError(
            f"cannot read {error.filename or path}: {error.strerror or error}",
            hint="restore the file, or correct the recipe",
        ) from error
    return found


def _external_files(path: Path, digest: Digest, memo: Memo) -> tuple[str, ...]:
    """The external data files that an ONNX file names; they follow from its digest."""
    known = memo.fact(f"external:{digest.hash}")
    if known is None:
        from trtbuild.model.onnx_file import external_files

        names = external_files(path)
        memo.remember_fact(f"external:{digest.hash}", json.dumps(names))
        return names
    return tuple(json.loads(known))
