"""What trtbuild says when it cannot go on: one tree, with place, message and remedy.

TrtbuildError
├── UsageError          the command line or the environment is unusable          exit 2
│   └── MissingPackage  a package that the recipe needs is not installed         exit 2
├── RecipeError         one or more problems in recipes, all of them at once     exit 2
├── StageError          a stage could not do its work                            exit 1
│   └── OptionError     an option asks for what the model does not have          exit 1
├── StoreError          the cache or the output folder could not be read/written exit 1
├── ReleaseError        a release may not be made, or a bundle is not what it says  exit 1
└── DifferenceError     `--locked` or `--check` found a difference               exit 4
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What the process returns; part of the interface."""

    DONE = 0
    FAILED = 1
    INVALID = 2
    BUG = 3
    DIFFERENT = 4
    INTERRUPTED = 130


class TrtbuildError(Exception):
    """Something that the user can act on.

    `what` is the message, `where` the place (file:line:column, key, task or node), `hint` the
    remedy. Printed as `where: what` and the hint below it, never with a traceback.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.what}{remedy}"


class UsageError(TrtbuildError):
    """The command line, or what it needs from the machine, is unusable."""

    exit_code = ExitCode.INVALID


class MissingPackage(UsageError):  # noqa: N818 - reads as what it is
    """A package that a recipe needs is not installed."""


class RecipeError(TrtbuildError):
    """Every problem found in the recipes given, sorted by place."""

    exit_code = ExitCode.INVALID

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StageError(TrtbuildError):
    """A stage could not do its work: the model, the data or the builder refused."""


class OptionError(StageError):
    """An option of a precision asks for what the model does not have, as only a stage could tell.

    It fails a run whatever else passes, also where the precision was only a candidate. What all
    variants share needs no such error: there all candidates fail.
    """


class StoreError(TrtbuildError):
    """The cache or an output folder could not be read or written."""


class ReleaseError(TrtbuildError):
    """A release may not be made as it is, or a bundle is not what it says."""


class DifferenceError(TrtbuildError):
    """What is there differs from what was locked."""

    exit_code = ExitCode.DIFFERENT
