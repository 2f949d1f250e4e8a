"""A project whose factory runs in a real child process, and what it was seen to read."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from trtbuild.discovery.names import project_of
from trtbuild.graph.execute import Execution, LocalExecutor, Request

NATIVE = tuple(EXTENSION_SUFFIXES)
REPOSITORY = Path(__file__).parents[2]


def run(
    folder: Path,
    make: str,
    environment: Mapping[str, str] | None = None,
    *,
    declared: bool = False,
) -> Execution:
    """Call `make` in a factory.py of this text; `environment` is what trtbuild itself sets.

    With `declared` factory.py is an input of the stage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "factory.py").write_text(textwrap.dedent(make))
    return again(folder, environment, declared=declared)


def again(
    folder: Path, environment: Mapping[str, str] | None = None, *, declared: bool = False
) -> Execution:
    """Call the factory that is there."""
    scratch = next(
        place
        for number in itertools.count()
        if not (place := folder.parent / f"scratch{number}").exists()
    )
    scratch.mkdir()
    request = Request(
        module="tests.stages.factory_stage",
        options={},
        inputs={"factory": folder / "factory.py"} if declared else {},
        folder=folder.resolve(),
        project=project_of(folder.resolve()),
        exclude=(REPOSITORY, scratch),
        environment=environment or {},
    )
    execution = LocalExecutor().run(request, scratch, lambda _, __: None)
    assert execution.error is None, execution.log.read_text()
    return execution


def read(folder: Path, make: str) -> set[str]:
    """What the factory was seen to read, besides itself."""
    return set(run(folder, make).discovered) - {"factory.py"}


def absent(module: str) -> set[str]:
    """The names of the files that would make a module of this path, of which none is there."""
    return {f"{module}.py"} | before(module)


def before(module: str) -> set[str]:
    """The names of the files that would come before the source of a module."""
    return {f"{module}/__init__.py", *(f"{module}{suffix}" for suffix in NATIVE)}
