"""What a stage is: the contract between the graph and the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtbuild.recipe.model import Options
from trtbuild.reporter import Reporter


@dataclass(frozen=True, slots=True)
class Output:
    """An artifact that a stage makes: its files, the main one first.

    Files are names directly below the outputs folder. A file in `optional` may be missing.
    """

    name: str
    files: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage gets: it reads `inputs`, writes below `outputs`, and returns nothing.

    `inputs` maps a role to a path: the artifact's main file, or what the recipe names. `folder`
    is the recipe's folder, which Python references ("file.py:function") are relative to. `shared`
    is a folder of the cache for what only makes a stage faster and never decides its result.
    """

    options: Options
    inputs: Mapping[str, Path]
    outputs: Path
    folder: Path
    reporter: Reporter
    shared: Path | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A distribution that must be installed, and the extra of trtbuild that installs it.

    `alternatives` are distributions that hold the same modules under other names.
    """

    distribution: str
    extra: str  # "" where the core itself depends on it
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of work, as the registry lists it; the module is imported only in the child process.

    The module has one public function, `run(context: StageContext) -> None`, which raises
    StageError for whatever the user can mend.
    """

    name: str
    version: int  # in the action key: raise it when the same action gives other bytes
    module: str
    outputs: tuple[Output, ...]
    requires: Callable[[Options], tuple[Requirement, ...]]  # their versions are in the action
    needs_gpu: Callable[[Options], bool] = lambda _: False  # SKIPPED where there is none
    takes_gpu: bool = False  # uses one where there is one: option "gpu" says so
