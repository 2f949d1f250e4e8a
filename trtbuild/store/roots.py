"""What a garbage collection has to keep: what lock files name, and what live runs use."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trtbuild.errors import StoreError
from trtbuild.store.files import file_lock, store_errors, write_file

LARGEST_LOCK = 64 << 20
_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv"})


@dataclass(frozen=True, slots=True)
class Keep:
    """Action keys and hashes of blobs that must stay; a name may be given as either."""

    names: frozenset[str] = frozenset()


def register(root: Path, lock_file: Path) -> None:
    """Have every garbage collection of a cache keep what a lock file names, while it exists.

    The cache only remembers the path: what is to be kept is read when it is needed. Raises
    StoreError.
    """
    path = os.fsencode(os.path.abspath(lock_file))  # noqa: PTH100 - resolve() would read links
    write_file(root / "roots" / hashlib.sha256(path).hexdigest(), path)


def registered(root: Path) -> list[Path]:
    """The lock files that were registered and still exist."""
    found = []
    for entry in sorted((root / "roots").glob("*")):
        with contextlib.suppress(OSError, ValueError):
            path = Path(os.fsdecode(entry.read_bytes()))
            if path.exists():
                found.append(path)
            else:
                entry.unlink()
    return found


def lock_files(folder: Path) -> list[Path]:
    """The lock files at or below a folder: `*.lock`, sorted."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        found += [Path(place, name) for name in files if name.endswith(".lock")]
    return sorted(found)


def keep(lock_paths: Iterable[Path]) -> Keep:
    """Every sha256 that some lock files name, whatever their form. Raises StoreError.

    An unreadable lock file is an error: what it keeps would be lost otherwise.
    """
    names: set[str] = set()
    for path in lock_paths:
        with store_errors("cannot read a lock file", path):
            if path.stat().st_size > LARGEST_LOCK:
                raise StoreError("too large for a lock file", where=str(path))
            names |= {match.decode() for match in _HASH.findall(path.read_bytes())}
    return Keep(frozenset(names))


def oldest_run(root: Path) -> float | None:
    """When the oldest run that is still going began, as Unix time; None where there is none."""
    begun = []
    for path in (root / "runs").glob("*"):
        with contextlib.suppress(OSError), file_lock(path, wait=False) as got:
            if got:
                path.unlink(missing_ok=True)  # its process is gone
            else:
                begun.append(path.stat().st_mtime)
    return min(begun, default=None)
