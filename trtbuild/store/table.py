"""SQLite databases that can be lost at any time: a damaged one is thrown away and begun anew."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

DAMAGED = frozenset({1, 11, 26})
"""SQLITE_ERROR, which is what a schema of another form gives, SQLITE_CORRUPT and SQLITE_NOTADB
(sqlite.org/rescode.html)."""

Errors = (sqlite3.Error, UnicodeError)
"""What SQLite raises. Of a damaged schema its very message may be no text."""


def open_table(path: Path, schema: str, probe: str, timeout: float) -> sqlite3.Connection | None:
    """Open a database and make its tables; None where it is locked, or has no place to be.

    `probe` is a query that a database of this form can answer. Nothing waits for the disk: a crash
    of the machine loses what was written last, or all of it.
    """
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                path, timeout=timeout, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(schema)
            connection.execute(probe).fetchone()
        except Errors as error:
            if not is_damage(error):
                return None
            discard(path)
        except OSError:
            return None
        else:
            return connection
    return None


def is_damage(error: Exception) -> bool:
    """Whether an error says that the database is damaged, or of another form."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, UnicodeError) or (code is not None and code & 0xFF in DAMAGED)


def discard(path: Path) -> None:
    """Remove a database with what belongs to it."""
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + end).unlink()
