"""What a garbage collection has to keep: what lock files name, and what live runs use."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trtbuild.errors import StoreError
from trtbuild.store.files import file_lock, names_below, store_errors, write_file

LARGEST_LOCK = 64 << 20

MISSING_SECONDS = 30 * 86400.0
"""So long after a collection first missed a registered lock file it is forgotten."""

_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv"})


@dataclass(frozen=True, slots=True)
class Keep:
    """Action keys and hashes of blobs that must stay; a name may be given as either."""

    names: frozenset[str] = frozenset()


class Registration(NamedTuple):
    """A lock file that a cache keeps the results of.

    `names` are those that were last seen in it, and count while it is missing: another branch may
    be checked out, or its disk not be mounted.
    """

    entry: Path
    path: Path
    missing_since: float | None = None  # Unix time of the collection that first missed it
    names: frozenset[str] = frozenset()


def register(root: Path, lock_file: Path) -> None:
    """Have every garbage collection of a cache keep what a lock file names, also what it will.

    Raises StoreError.
    """
    path = os.path.abspath(lock_file)  # noqa: PTH100 - resolve() would read links
    entry = root / "roots" / hashlib.sha256(os.fsencode(path)).hexdigest()
    _write(Registration(entry, Path(path), None, _names_in(Path(path)) or frozenset()))


def registrations(root: Path) -> list[Registration]:
    """The lock files that were registered; changes nothing. Raises StoreError."""
    folder = root / "roots"
    found = []
    with store_errors("cannot read which lock files are registered", folder, reading=True):
        for entry in sorted(name for name in names_below(folder) if not name.startswith(".")):
            path, _, rest = (folder / entry).read_bytes().partition(b"\0")
            since, _, names = rest.decode().partition("\0")
            missing = float(since) if since else None
            one = (folder / entry, Path(os.fsdecode(path)), missing, frozenset(names.split()))
            found.append(Registration._make(one))
    return found


def keep_registered(root: Path) -> Keep:
    """What the registered lock files name, and what those that are missing last did.

    Raises StoreError for one that cannot be read: what it keeps would be lost otherwise.
    """
    names: set[str] = set()
    for found in registrations(root):
        now = _names_in(found.path)
        names |= found.names if now is None else now
    return Keep(frozenset(names))


def note_registered(root: Path) -> None:
    """Note what the registered lock files name now, and forget those that are missing for long.

    For a garbage collection, before it looks what to keep. Raises StoreError.
    """
    now = time.time()
    for found in registrations(root):
        names = _names_in(found.path)
        if names is not None:
            present = found._replace(names=names, missing_since=None)
        elif found.missing_since is None or found.missing_since > now:  # or the clock was ahead
            present = found._replace(missing_since=now)
        elif now - found.missing_since > MISSING_SECONDS:
            with store_errors("cannot remove", found.entry):
                found.entry.unlink(missing_ok=True)
            continue
        else:
            continue
        if present != found:
            _write(present)


def _write(found: Registration) -> None:
    since = "" if found.missing_since is None else str(found.missing_since)
    rest = f"\0{since}\0{' '.join(sorted(found.names))}"
    write_file(found.entry, os.fsencode(found.path) + rest.encode())


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
    return Keep(frozenset(name for path in lock_paths for name in _names_in(path) or ()))


def _names_in(path: Path) -> frozenset[str] | None:
    """Every sha256 in a file, None where there is none. Raises StoreError."""
    with store_errors("cannot read a lock file", path, reading=True):
        try:
            data = path.read_bytes() if path.stat().st_size <= LARGEST_LOCK else None
        except (FileNotFoundError, NotADirectoryError):
            return None
    if data is None:
        raise StoreError("too large for a lock file", where=str(path))
    return frozenset(match.decode() for match in _HASH.findall(data))


def oldest_run(root: Path) -> float | None:
    """When the oldest run that is still going began, as Unix time; None where there is none."""
    begun = []
    for path in map((root / "runs").joinpath, names_below(root / "runs")):
        with contextlib.suppress(OSError), file_lock(path, wait=False) as got:
            if not got:
                begun.append(path.stat().st_mtime)
    return min(begun, default=None)


def remove_ended_runs(root: Path) -> None:
    """Remove what runs that were killed left to show that they go on."""
    for path in map((root / "runs").joinpath, names_below(root / "runs")):
        with contextlib.suppress(OSError), file_lock(path, wait=False) as got:
            if got:
                path.unlink(missing_ok=True)
