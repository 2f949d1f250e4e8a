"""What a task's stage is asked to do, as a child process reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trtbuild.discovery.folders import CACHE, output_folders
from trtbuild.discovery.names import project_of
from trtbuild.graph.action import ArtifactRef, Task
from trtbuild.graph.bind import Outputs, input_paths, options_of
from trtbuild.graph.device import Device
from trtbuild.graph.execute import Request
from trtbuild.graph.workspace import Workspace
from trtbuild.recipe.model import Recipe
from trtbuild.stages import STAGES
from trtbuild.store.store import Store


def inputs_of(
    task: Task, tasks: Mapping[str, Task], workspace: Workspace, recipe: Recipe
) -> dict[str, Path]:
    """Where each role's main file lies: beside the recipe, or among the outputs of other tasks."""
    artifacts = {
        (needed, output.name): workspace.path(tasks[needed], output.files[0])
        for needed in task.needs
        for output in STAGES[tasks[needed].stage].outputs
    }
    return input_paths(task, artifacts, recipe.folder.resolve())


def artifacts_differ(
    task: Task, tasks: Mapping[str, Task], results: Mapping[str, Outputs], workspace: Workspace
) -> bool:
    """Whether a file that the task reads of another is not what that one gave: then a result would
    be recorded under the key of what was not read.
    """
    for item in task.inputs:
        if isinstance(item, ArtifactRef):
            made = STAGES[tasks[item.task].stage].outputs
            files = next(output for output in made if output.name == item.artifact).files
            read = tuple(pair for pair in results[item.task] if pair[0] in files)
            if workspace.differences(tasks[item.task], read):
                return True
    return False


def request_of(
    task: Task,
    inputs: Mapping[str, Path],
    recipe: Recipe,
    workspace: Workspace,
    store: Store,
    *,
    device: Device | None = None,
    environment: Mapping[str, str] | None = None,
) -> Request:
    """The request of a task whose inputs are these."""
    stage, folder = STAGES[task.stage], recipe.folder.resolve()
    return Request(
        module=stage.module,
        options=options_of(task, stage, device),
        inputs=inputs,
        folder=folder,
        project=project_of(folder),
        exclude=_made(workspace, store, folder),
        environment=environment or {},
        shared=store.root / "shared",
    )


def _made(workspace: Workspace, store: Store, folder: Path) -> tuple[Path, ...]:
    """What runs make, but where the recipe's own files lie in it: the outputs of this recipe and
    those beside them, and what is in the cache.
    """
    root = workspace.root.resolve()
    outputs = {root, *map(Path, output_folders(root.parent))}
    made = (*sorted(outputs), *(store.root / name for name in sorted(CACHE)))
    return tuple(path for path in made if not folder.is_relative_to(path))
