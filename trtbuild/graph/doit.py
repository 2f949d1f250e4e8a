"""The scheduler: doit orders the tasks and runs them; the only module that imports doit.

doit holds no state of its own here: whether a task is stale is the rebuilder's decision alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from doit.cmd_base import TaskLoader2
from doit.doit_cmd import DoitMain
from doit.exceptions import InvalidDodoFile, TaskFailed
from doit.task import Task as DoitTask
from doit.task import dict_to_task

from trtbuild.errors import TrtbuildError
from trtbuild.graph.action import Task
from trtbuild.graph.rebuild import Rebuilder


def doit_dicts(rebuilders: Sequence[Rebuilder]) -> Iterator[dict[str, Any]]:
    """The tasks of some recipes, as a dodo.py yields them: doit itself says why one failed."""
    bugs: list[Exception] = []
    for rebuilder, prefix in zip(rebuilders, _prefixes(rebuilders), strict=True):
        for task in rebuilder.tasks.values():
            yield _doit_dict(rebuilder, prefix, task, bugs, told=True)


@contextlib.contextmanager
def dodo_errors() -> Iterator[None]:
    """Turn what a user can mend into what doit prints without a traceback."""
    try:
        yield
    except TrtbuildError as error:
        raise InvalidDodoFile(str(error)) from error


def schedule(
    rebuilders: Sequence[Rebuilder],
    selected: Sequence[Sequence[str]],
    *,
    jobs: int = 1,
    keep_going: bool = False,
) -> None:
    """Run the selected tasks of each recipe, by id, and what they need.

    Verdicts are in each rebuilder's `outcomes`; a task that doit did not come to has none. What
    went wrong in the scheduler or the rebuilder, and not in a stage, is raised.
    """
    bugs: list[Exception] = []
    loader = _Loader(rebuilders, bugs, jobs=jobs, keep_going=keep_going)
    prefixes = _prefixes(rebuilders)
    names = [f"{p}:{task}" for p, tasks in zip(prefixes, selected, strict=True) for task in tasks]
    DoitMain(loader).run(["run", *names])
    if bugs:
        raise bugs[0]


def _prefixes(rebuilders: Sequence[Rebuilder]) -> list[str]:
    """The recipes' names where they are all different, else their paths."""
    names = [rebuilder.recipe.name for rebuilder in rebuilders]
    if len(set(names)) == len(names):
        return names
    return [str(rebuilder.recipe.path) for rebuilder in rebuilders]


def _doit_dict(
    rebuilder: Rebuilder, prefix: str, task: Task, bugs: list[Exception], *, told: bool = False
) -> dict[str, Any]:
    return {
        "name": f"{prefix}:{task.id}",
        "doc": f"{task.stage} of {rebuilder.recipe.path}",
        "actions": [(_run, [rebuilder, task, bugs, told])],
        "task_dep": [f"{prefix}:{needed}" for needed in task.needs],
        "uptodate": [partial(_is_up_to_date, rebuilder, task, bugs)],
        "io": {"capture": False},  # our listener draws on the terminal itself
    }


def _is_up_to_date(rebuilder: Rebuilder, task: Task, bugs: list[Exception]) -> bool:
    try:
        return rebuilder.is_up_to_date(task)
    except Exception as bug:  # doit would turn it into text; schedule() raises it
        bugs.append(bug)
        raise


def _run(rebuilder: Rebuilder, task: Task, bugs: list[Exception], told: bool) -> TaskFailed | None:
    try:
        done = rebuilder.rebuild(task)
    except Exception as bug:  # as above
        bugs.append(bug)
        raise
    if done:
        return None
    outcome = rebuilder.outcomes[task.id]
    log = f"\nlog: {outcome.log}" if outcome.log else ""
    text = f"{rebuilder.recipe.where(*task.where)}\n{outcome.error}{log}"
    return TaskFailed(text, report=told)


class _Silent:
    """A reporter that says nothing: trtbuild's own listener speaks. doit calls these by name."""

    desc = "silent"

    def __init__(self, outstream: object, options: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def runtime_error(self, message: str) -> None:
        """What doit finds wrong with the task graph itself, which is ours to get right."""
        raise RuntimeError(message)


class _Loader(TaskLoader2):  # type: ignore[misc]  # doit has no types
    def __init__(
        self,
        rebuilders: Sequence[Rebuilder],
        bugs: list[Exception],
        *,
        jobs: int,
        keep_going: bool,
    ) -> None:
        super().__init__()
        self._rebuilders = rebuilders
        self._bugs = bugs
        self._config = {
            "backend": "sqlite3",
            "dep_file": ":memory:",
            "reporter": _Silent,
            "continue": keep_going,
            "num_process": jobs if jobs > 1 else 0,
            "par_type": "thread",
        }

    def setup(self, opt_values: object) -> None:
        """Nothing: the recipes are loaded already."""

    def load_doit_config(self) -> dict[str, Any]:
        """How doit runs: no state on disk, our listener, threads."""
        return self._config

    def load_tasks(self, cmd: object, pos_args: object) -> list[DoitTask]:  # noqa: ARG002 - doit's
        """Our tasks as doit's."""
        prefixes = _prefixes(self._rebuilders)
        return [
            dict_to_task(_doit_dict(rebuilder, prefix, task, self._bugs))
            for rebuilder, prefix in zip(self._rebuilders, prefixes, strict=True)
            for task in rebuilder.tasks.values()
        ]
