"""What is remembered about files, so that an unchanged one is not read again.

Everything here can be lost at any time: it only saves work. It is therefore written without
waiting for the disk, and a damaged or locked database is left alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from trtbuild.store import table
from trtbuild.store.digest import Digest, Done, digest_of_file

TICK_NS = 20_000_000
"""Longer than the clock tick that file systems stamp changes with (4 ms at 250 Hz).

A file that changed within the last tick could change again under the same time stamp, so its
digest is not remembered ("racy git": git-scm.com/docs/racy-git).
"""

COARSE_TICK_NS = 2_000_000_000
"""The tick of file systems that keep whole seconds (FAT: every other one)."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS known (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID;
"""
"""What is known of files by path, and facts by key, which is no path; SQLite itself does not
notice a flipped bit, so that each row has its sum."""

PROBE = "SELECT value, sum FROM known WHERE key = ?"


class Memo:
    """Digests by path and stamp, and small facts by key; usable from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, tuple[str, Digest]] = {}
        self._facts: dict[str, str] = {}
        self._path = path
        self._connection = self._open()

    def digest(self, path: Path, progress: Done | None = None) -> Digest:
        """The digest of a file's content; read only if its stamp is not the remembered one.

        The stamp holds size, modification time, change time and inode. The change time cannot be
        set by a program, so other content under the same modification time is noticed.
        Raises OSError.
        """
        name = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps "..", resolve() reads links
        stamp = _stamp(os.stat(name))  # noqa: PTH116 - a Path for each stat shows in a no-op's time
        known = self._known(name)
        if known is not None and known[0] == stamp:
            return known[1]
        digest = digest_of_file(path, progress)
        after = os.stat(name)  # noqa: PTH116 - as above
        tick = TICK_NS if after.st_ctime_ns % 1_000_000_000 else COARSE_TICK_NS
        if _stamp(after) == stamp and time.time_ns() - after.st_ctime_ns > tick:
            self._remember(name, stamp, digest)
        return digest

    def remember(self, path: Path, digest: Digest, status: os.stat_result | None = None) -> None:
        """Take the digest of a file that this process has just put there and renamed into place.

        `status` is that of the file itself where another process may have put its own there since.
        """
        name = os.path.abspath(path)  # noqa: PTH100 - as in `digest`
        with contextlib.suppress(OSError):
            status = status or os.stat(name)  # noqa: PTH116 - as in `digest`
            self._remember(name, _stamp(status), digest)

    def fact(self, key: str) -> str | None:
        """A remembered fact, or None."""
        if key not in self._facts:
            value = self._read(key)
            if value is None:
                return None
            self._facts[key] = value
        return self._facts[key]

    def remember_fact(self, key: str, value: str) -> None:
        """Remember a fact that follows from its key, such as what a file of some digest holds."""
        self._facts[key] = value
        self._write(key, value)

    # The two names that the recipe loader knows this by.
    def known(self, key: str) -> bool:
        """Whether a recipe text has passed validation before."""
        return self.fact(f"valid:{key}") is not None

    def add(self, key: str) -> None:
        """Remember that a recipe text has passed validation."""
        self.remember_fact(f"valid:{key}", "1")

    def close(self) -> None:
        """Close the database; the memo must not be used after."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _known(self, name: str) -> tuple[str, Digest] | None:
        if name not in self._files:
            value = self._read(name)
            if value is None:
                return None
            stamp, hash_, size = value.split()
            self._files[name] = (stamp, Digest(hash_, int(size)))
        return self._files[name]

    def _remember(self, name: str, stamp: str, digest: Digest) -> None:
        self._files[name] = (stamp, digest)
        self._write(name, f"{stamp} {digest.hash} {digest.size_bytes}")

    def _read(self, key: str) -> str | None:
        row = self._execute(PROBE, (key,))
        if row is None or row[1] != _sum(key, row[0]):
            return None
        return str(row[0])

    def _write(self, key: str, value: str) -> None:
        row = (key, value, _sum(key, value))
        self._execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", row)

    def _execute(self, statement: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        """The first row of a statement; None where there is none, or nothing to ask."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                row: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
            except table.Errors as error:
                if table.is_damage(error):
                    self._connection.close()
                    table.discard(self._path)
                    self._connection = self._open()
                return None
            return row

    def _open(self) -> sqlite3.Connection | None:
        return table.open_table(self._path, SCHEMA, PROBE.replace("?", "''"), timeout=2.0)


def _sum(key: str, value: str) -> int:
    return zlib.crc32(f"{key}\0{value}".encode(errors="surrogateescape"))


def _stamp(status: os.stat_result) -> str:
    return (
        f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
        f"-{status.st_dev}-{status.st_ino}"
    )
