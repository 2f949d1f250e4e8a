"""Reads a lock, and says in plain words why a file is none that can be used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.model import Recipe
from trtbuild.recipe.problems import Problem
from trtbuild.recipe.yaml import parse
from trtbuild.release.lock import ACTION_KEYS, FORMAT, Lock, LockedTask, lock_path
from trtbuild.store.digest import Digest

CONFLICT = re.compile(rb"^(<{7}|={7}|>{7}|\|{7})(\s|$)", re.MULTILINE)
DIGEST = re.compile(r"^sha256:([0-9a-f]{64}):([0-9]+)$")
KEY = re.compile(r"^[0-9a-f]{64}$")

AGAIN = "run `trtbuild lock` again"

MARK = re.compile(rb"^# The lock of .*`trtbuild run --locked`|^lock: \d", re.MULTILINE)
"""What every lock of trtbuild has, though it be damaged: other tools call theirs the same."""


class NewerLock(UsageError):  # noqa: N818 - reads as what it is
    """A lock of a newer trtbuild."""


def read_lock(recipe: Recipe) -> Lock:
    """The lock beside a recipe. Raises UsageError where there is none, or no good one."""
    path = lock_path(recipe)
    lock = find_lock(recipe)
    if lock is None:
        raise UsageError(
            f"{recipe.name} has no lock: there is no {path.name} beside the recipe",
            where=str(recipe.path),
            hint=f"trtbuild lock {recipe.path}",
        )
    return lock


def find_lock(recipe: Recipe, *, replaceable: bool = False) -> Lock | None:
    """The lock beside a recipe, or None.

    Raises UsageError for one that cannot be used; where it is to be `replaceable` only for one of
    another recipe or tool, or of a newer format, which should not be overwritten unawares.
    """
    path = lock_path(recipe)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(path), hint="make it a readable file"
        ) from error
    try:
        lock = parse_lock(content, str(path))
    except NewerLock:
        raise
    except UsageError:
        if not replaceable:
            raise
        if content.strip() and not MARK.search(content):
            raise UsageError(
                "this is no lock of trtbuild, and is not overwritten",
                where=str(path),
                hint="move it away, or give the recipe's file another name: the lock's follows it",
            ) from None
        return None
    if lock.recipe != recipe.name:
        raise UsageError(
            f"this is the lock of {lock.recipe}, not of {recipe.name}", where=str(path), hint=AGAIN
        )
    return lock


def parse_lock(content: bytes, where: str) -> Lock:
    """The lock that some bytes hold. Raises UsageError with the line, or the key, and a remedy."""
    if found := CONFLICT.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        raise UsageError(
            f"conflict markers of a merge: {found[1].decode()}",
            where=f"{where}:{line}",
            hint=f"take either side (git checkout --ours, --theirs), then {AGAIN}",
        )
    if not content.strip():
        raise UsageError("this lock is empty", where=where, hint=AGAIN)
    text = parse(content)
    if text.problems or text.data is None:
        problem = text.problems[0] if text.problems else Problem((), "not a lock")
        told = replace(problem, hint=AGAIN)  # its own is about recipes
        raise UsageError(told.report(Path(where), text.positions).text)
    document: Any = text.data
    version = document.get("lock")
    if version != FORMAT or isinstance(version, bool):
        what = f"this lock has format {version}; this trtbuild reads {FORMAT}"
        if isinstance(version, int) and version > FORMAT:
            raise NewerLock(what, where=where, hint="pip install --upgrade trtbuild")
        raise UsageError(what, where=where, hint=AGAIN)
    return _lock(document, where)


def _lock(document: dict[str, Any], where: str) -> Lock:
    if unknown := sorted(document.keys() - {"lock", "recipe", "best", "tasks"}):
        raise _bad(where, unknown[0], "is no key of a lock")
    name, tasks, best = document.get("recipe"), document.get("tasks"), document.get("best")
    if not isinstance(name, str):
        raise _bad(where, "recipe", "should be the recipe's name")
    if not isinstance(tasks, dict):
        raise _bad(where, "tasks", "should be a mapping of tasks")
    if best is not None and f"build:{best}" not in tasks:
        raise _bad(where, "best", "should be a variant that is locked")
    return Lock(
        name,
        {task_id: _task(block, f"{where} {task_id}") for task_id, block in tasks.items()},
        best,
    )


def _task(block: Any, where: str) -> LockedTask:
    if not isinstance(block, dict):
        raise _bad(where, "", "should be a mapping")
    for name in ("action", "outputs", *ACTION_KEYS):
        if name not in block:
            raise _bad(where, name, "is missing")
    if not isinstance(block["action"], str) or not KEY.match(block["action"]):
        raise _bad(where, "action", "should be an action key: 64 hexadecimal digits")
    for name in ("options", "inputs", "toolchain", "discovered", "outputs"):
        if not isinstance(block[name], dict):
            raise _bad(where, name, "should be a mapping")
    for name, value in block["inputs"].items():
        _digest(value, f"{where} inputs.{name}")
    outputs = tuple(
        (name, _digest(value, f"{where} outputs.{name}"))
        for name, value in sorted(block["outputs"].items())
    )
    if any("\0" in name for name in block["discovered"]):
        raise _bad(where, "discovered", "names what no file can be called")
    known = {"action", "outputs", *ACTION_KEYS}
    return LockedTask(
        key=block["action"],
        action={name: block[name] for name in ACTION_KEYS},
        outputs=outputs,
        facts={name: value for name, value in block.items() if name not in known},
    )


def _digest(value: Any, where: str) -> Digest:
    match = DIGEST.match(value) if isinstance(value, str) else None
    if match is None:
        raise _bad(where, "", "should be a digest: sha256:HASH:SIZE")
    return Digest(match[1], int(match[2]))


def _bad(where: str, key: str, why: str) -> UsageError:
    return UsageError(f"{key} {why}".strip(), where=where, hint=AGAIN)
