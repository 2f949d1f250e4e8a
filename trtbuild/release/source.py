"""What the repository of a recipe says of itself: the commit, and whether files differ from it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trtbuild.errors import ReleaseError, UsageError

FIRST_TIME = 315_532_800
"""1980-01-01: the time of a bundle where neither SOURCE_DATE_EPOCH nor a commit gives one."""

GIT_SECONDS = 600
"""A repository of millions of files on a network takes minutes to compare."""

STATUS = ("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a recipe's repository; `commit` is None where there is no repository.

    `time` is that of the commit, in seconds since 1970.
    """

    commit: str | None
    changed: tuple[str, ...]
    time: int


class _GitError(Exception):
    """What git said instead of an answer."""


def source_state(folder: Path, files: Iterable[Path] = ()) -> SourceState:
    """What git says of the repository that a folder lies in.

    Of `files` those that are not part of the commit count as changed, which git says nothing of
    where they are ignored. Raises ReleaseError where there is a commit and git cannot tell what
    differs from it.
    """
    commit = commit_of(folder)
    if commit is None:
        return SourceState(None, (), FIRST_TIME)
    try:
        changed = [line[3:] for line in _git(folder, *STATUS).splitlines()]
        changed += _not_in_commit(folder, files)
        time = int(_git(folder, "show", "-s", "--format=%ct", "HEAD"))
    except (_GitError, ValueError) as error:
        raise ReleaseError(
            f"git cannot say what differs from the last commit: {error}",
            where=str(folder.absolute()),
            hint="see what `git status` says there",
        ) from error
    return SourceState(commit, tuple(dict.fromkeys(changed)), time)


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out; None without git, a repository or a commit."""
    try:
        return _git(folder, "rev-parse", "HEAD").strip()
    except _GitError:
        return None


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


def _not_in_commit(folder: Path, files: Iterable[Path]) -> list[str]:
    """The files that git does not look after: ignored, outside of the repository, or told to be
    taken for unchanged.
    """
    top = Path(os.path.realpath(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n")))
    listings: dict[Path, dict[str, str]] = {}
    found = []
    for file in files:
        path = Path(os.path.realpath(file))
        if not path.is_relative_to(top):
            found.append(str(path))
        elif not _is_looked_after(top, path, listings):
            found.append(str(path.relative_to(top)))
    return found


def _is_looked_after(top: Path, path: Path, listings: dict[Path, dict[str, str]]) -> bool:
    if top not in listings:
        # Lower case is what was told to be assumed unchanged, S what is left out of the checkout.
        lines = _git(top, "ls-files", "-v", "-z").split("\0")
        listings[top] = {line[2:]: line[0] for line in lines if line}
    tracked = listings[top]
    name = path.relative_to(top)
    if str(name) in tracked:
        return tracked[str(name)] == "H"
    submodules = (top / part for part in name.parents if str(part) in tracked)
    return any(_is_looked_after(inner, path, listings) for inner in submodules)


def _git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises _GitError."""
    try:
        process = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=GIT_SECONDS,
            check=False,
        )
    except OSError as error:
        raise _GitError(f"git: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise _GitError(f"no answer within {GIT_SECONDS} s") from error
    if process.returncode:
        lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        raise _GitError(lines[-1])
    return process.stdout
