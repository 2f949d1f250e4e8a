"""The names in a folder as an input: without those that come and go, and those that runs make."""

from __future__ import annotations

import os
from collections.abc import Iterator

from trtbuild.discovery.names import MISSING
from trtbuild.store.digest import canonical_json, digest_of_bytes

RECORDS = ".trtbuild"
"""The folder that makes another one a recipe's output folder."""

OUTPUTS = "build"
"""Where outputs go unless a user says otherwise: without anything else in it, it is made too."""

CACHE = frozenset(
    {
        *("cas", "actions", "discovered", "shared", "locks", "tmp", "runs", "roots", "pending"),
        *(f"{name}.sqlite{end}" for name in ("index", "memo") for end in ("", "-wal", "-shm")),
        *("index.sqlite-journal", "memo.sqlite-journal", "README"),
    }
)
"""The names in a cache folder, which may hold other things too."""

ACCEPTED = "accepted.json"
LOCK = ".lock"


def folder_state(path: str | os.PathLike[str]) -> str:
    """A digest of the names in a folder; MISSING where there is none."""
    try:
        with os.scandir(path) as entries:
            names = {entry.name for entry in entries if not _is_made(entry)}
    except OSError:
        return MISSING
    if {"cas", "actions"} <= names:
        names -= CACHE
    locks = {n for n in names if n.endswith(LOCK) and not names.isdisjoint(_recipes(n))}
    return digest_of_bytes(canonical_json(sorted(names - locks))).text


def output_folders(path: str | os.PathLike[str]) -> Iterator[str]:
    """The output folders of recipes in a folder."""
    try:
        with os.scandir(path) as entries:
            yield from (entry.path for entry in entries if _is_output(entry))
    except OSError:
        return


def _is_made(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    if name.startswith(".") or name in ("__pycache__", ACCEPTED):
        return True
    if not entry.is_dir():
        return False
    return _is_output(entry) or (name == OUTPUTS and _has_only_outputs(entry.path))


def _is_output(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and os.path.isdir(os.path.join(entry.path, RECORDS))  # noqa: PTH112, PTH118 - for each name


def _has_only_outputs(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return all(map(_is_output, entries))
    except OSError:
        return False


def _recipes(lock: str) -> tuple[str, str]:
    stem = lock.removesuffix(LOCK)
    return f"{stem}.yaml", f"{stem}.yml"
