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

from trtbuild.store.digest import Digest, digest_of_file

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


class Memo:
    """Digests by path and stamp, and small facts by key; usable from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, tuple[str, Digest]] = {}
        self._facts: dict[str, str] = {}
        self._connection = _connect(path)

    def digest(self, path: Path) -> Digest:
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
        digest = digest_of_file(path)
        after = os.stat(name)  # noqa: PTH116 - as above
        tick = TICK_NS if after.st_ctime_ns % 1_000_000_000 else COARSE_TICK_NS
        if _stamp(after) == stamp and time.time_ns() - after.st_ctime_ns > tick:
            self._remember(name, stamp, digest)
        return digest

    def remember(self, path: Path, digest: Digest) -> None:
        """Take the digest of a file that this process has just put there and renamed into place."""
        name = os.path.abspath(path)  # noqa: PTH100 - as in `digest`
        with contextlib.suppress(OSError):
            self._remember(name, _stamp(os.stat(name)), digest)  # noqa: PTH116 - as in `digest`

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
        with self._lock, contextlib.suppress(sqlite3.Error, UnicodeError):
            if self._connection is not None:
                query = "SELECT value, sum FROM known WHERE key = ?"
                row = self._connection.execute(query, (key,)).fetchone()
                if row is not None and row[1] == _sum(key, row[0]):
                    return str(row[0])
        return None

    def _write(self, key: str, value: str) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error, UnicodeError):
            if self._connection is not None:
                row = (key, value, _sum(key, value))
                self._connection.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", row)


def _sum(key: str, value: str) -> int:
    return zlib.crc32(f"{key}\0{value}".encode(errors="surrogateescape"))


def _stamp(status: os.stat_result) -> str:
    return (
        f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
        f"-{status.st_dev}-{status.st_ino}"
    )


def _connect(path: Path) -> sqlite3.Connection | None:
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                path, timeout=2.0, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(SCHEMA)
        except sqlite3.OperationalError:
            return None  # locked or read-only: work without
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                path.unlink()  # damaged: begin a new one
        except OSError:
            return None
        else:
            return connection
    return None
