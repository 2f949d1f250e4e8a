"""What the repository of a recipe says of itself: the commit, and whether files differ from it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trtbuild.errors import UsageError

FIRST_TIME = 315_532_800
"""1980-01-01: the time of a bundle where neither SOURCE_DATE_EPOCH nor a commit gives one."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a recipe's repository; `commit` is None where there is no repository.

    `time` is that of the commit, in seconds since 1970.
    """

    commit: str | None
    changed: tuple[str, ...]
    time: int


def source_state(folder: Path) -> SourceState:
    """What git says of the repository that a folder lies in."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return SourceState(None, (), FIRST_TIME)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=normal") or ""
    time = _git(folder, "show", "-s", "--format=%ct", "HEAD") or str(FIRST_TIME)
    lines = tuple(line[3:] for line in changed.splitlines())
    return SourceState(commit.strip(), lines, int(time))


def release_time(states: tuple[SourceState, ...]) -> int:
    """SOURCE_DATE_EPOCH, else the time of the latest commit. Raises UsageError for no number."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        return max((state.time for state in states), default=FIRST_TIME)
    if not given.isdecimal() or not 0 <= int(given) < 2**33:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {given!r}, which is no number of seconds since 1970",
            hint="export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)",
        )
    return int(given)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no repository
    return process.stdout
