"""What the traces hold, in a table: so that 100,000 of them are not read one by one.

The traces are the truth. Rows are made from them, and made again where a trace was replaced; the
table can be lost at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trtbuild.store import table
from trtbuild.store.action_cache import Trace, decode_trace
from trtbuild.store.digest import canonical_json
from trtbuild.store.files import names_below, store_errors

SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (
    key TEXT PRIMARY KEY, stamp TEXT NOT NULL, stage TEXT NOT NULL, kin TEXT NOT NULL,
    base TEXT NOT NULL, hashes TEXT NOT NULL, sizes TEXT NOT NULL, bytes INTEGER NOT NULL,
    seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traces_by_kin ON traces (kin);
CREATE TABLE IF NOT EXISTS scanned (once INTEGER PRIMARY KEY);
"""
PROBE = (
    "SELECT key, stamp, stage, kin, base, hashes, sizes, bytes, seconds, once"
    " FROM traces, scanned LIMIT 1"
)

_INSERT = "INSERT OR REPLACE INTO traces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Entry(NamedTuple):
    """One trace: its key, what it is of, what it names, and when it was last used.

    `base` is the key that its sets of discovered files are kept under, "" where it has none.
    `sizes` are bytes, one number per hash, still as text: few who read an entry look at them.
    """

    key: str
    stage: str
    base: str
    hashes: list[str]
    sizes: str
    output_bytes: int
    seconds: float
    used: float  # Unix time
    size_bytes: int  # of the trace itself


class Found(NamedTuple):
    """A file of the cache as a scan saw it."""

    key: str
    used: float
    size_bytes: int
    inode: int


class Index:
    """The table; usable by several processes at once."""

    def __init__(self, root: Path) -> None:
        self._actions = root / "actions"
        self._path = root / "index.sqlite"
        self._connection = _connect(self._path)

    def close(self) -> None:
        """Close the table; it must not be used after."""
        self._connection.close()

    def entries(self) -> tuple[list[Entry], list[Found]]:
        """Every trace, and the files in its place that are none (damaged, or of another format)."""
        rows = self._rows()
        entries, damaged, new = [], [], []
        for found in scan(self._actions, ".json"):
            name, used, size_bytes, inode = found
            row = rows.pop(name, None)
            stamp = f"{inode}-{size_bytes}"
            if row is None or row[1] != stamp:
                row = _read(self._actions, name, stamp)
                if row is None:
                    damaged.append(found)
                    continue
                new.append(row)
            key, _, stage, _, base, hashes, sizes, bytes_, seconds = row
            one = (key, stage, base, hashes.split(), sizes, bytes_, seconds, used, size_bytes)
            entries.append(Entry._make(one))
        self._change(new, list(rows))
        with contextlib.suppress(*table.Errors):
            self._connection.execute("INSERT OR IGNORE INTO scanned VALUES (1)")
        return entries, damaged

    def _rows(self) -> dict[str, tuple[Any, ...]]:
        """All rows by key; none of a damaged table, which is then begun anew."""
        try:
            return {row[0]: row for row in self._connection.execute("SELECT * FROM traces")}
        except table.Errors:
            self._connection.close()
            table.discard(self._path)
            self._connection = _connect(self._path)
            return {}

    def add(self, key: str) -> None:
        """Take note of a trace that has just been recorded."""
        with contextlib.suppress(OSError):
            status = _path(self._actions, key).stat()
            row = _read(self._actions, key, f"{status.st_ino}-{status.st_size}")
            if row is not None:
                self._change([row], [])

    def kin(self, kin: str) -> list[str]:
        """Keys of the actions that share all but tools, devices and what was discovered."""
        return self._keys("SELECT key FROM traces WHERE kin = ?", kin)

    def of_stage(self, stage: str, most: int) -> list[str]:
        """Some keys of actions of a stage."""
        return self._keys("SELECT key FROM traces WHERE stage = ? LIMIT ?", stage, most)

    def naming(self, hash_: str) -> list[str]:
        """Keys of the actions that gave a file with this sha256."""
        return self._keys("SELECT key FROM traces WHERE instr(hashes, ?)", hash_)

    def _keys(self, query: str, *values: object) -> list[str]:
        """The keys that a query finds; a table that was lost is made anew first."""
        try:
            if self._connection.execute("SELECT once FROM scanned").fetchone() is None:
                self.entries()
            return [row[0] for row in self._connection.execute(query, values)]
        except table.Errors:
            return []  # a damaged table knows nothing; the next scan makes it anew

    def _change(self, new: list[tuple[Any, ...]], gone: list[str]) -> None:
        if new or gone:
            with contextlib.suppress(*table.Errors):  # the next scan does it
                self._connection.execute("BEGIN")
                self._connection.executemany(_INSERT, new)
                self._connection.executemany(
                    "DELETE FROM traces WHERE key = ?", [(key,) for key in gone]
                )
                self._connection.execute("COMMIT")


def keys_starting_with(root: Path, text: str) -> list[str]:
    """The keys of traces that begin so, at most a few."""
    if not re.fullmatch("[0-9a-f]{2,64}", text):
        return []
    names = names_below(root / "actions" / text[:2])
    found = [n.removesuffix(".json") for n in names if n.startswith(text[2:]) and n[0] != "."]
    return sorted(text[:2] + name for name in found)[:10]


def kin_of(action: dict[str, Any]) -> str:
    """What two actions share if they differ at most in tools, devices and discovered files."""
    shared = {
        name: action.get(name) for name in ("format", "stage", "stage_version", "inputs", "outputs")
    }
    options = {k: v for k, v in dict(action.get("options") or {}).items() if k != "gpu"}
    return hashlib.sha256(canonical_json({**shared, "options": options})).hexdigest()


def base_of(action: dict[str, Any]) -> str:
    """The key that sets of discovered files are kept under: that of the action without them."""
    if not action.get("discovered"):
        return ""
    return hashlib.sha256(canonical_json({**action, "discovered": {}})).hexdigest()


def scan(folder: Path, suffix: str = "") -> Iterator[Found]:
    """The files of a folder that is fanned out by the first two digits of their keys.

    Raises StoreError.
    """
    end = -len(suffix) or None
    for fan in _folders(folder):
        place, begin = f"{fan.path}/", fan.name
        names = names_below(place)
        with store_errors("cannot read the cache", Path(place), reading=True):
            for name in names:
                if name[0] == "." or not name.endswith(suffix):
                    continue
                try:
                    status = os.lstat(place + name)
                except FileNotFoundError:
                    continue  # removed by another process since the folder was read
                yield Found(begin + name[:end], status.st_mtime, status.st_size, status.st_ino)


def names_in(folder: Path) -> Iterator[str]:
    """The keys of a folder that is fanned out so, without what a look at each file costs.

    Raises StoreError.
    """
    for fan in _folders(folder):
        yield from (fan.name + name for name in names_below(fan.path) if name[0] != ".")


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    with store_errors("cannot read the cache", folder, reading=True):
        try:
            with os.scandir(folder) as fans:
                return [fan for fan in fans if fan.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []


def _read(actions: Path, key: str, stamp: str) -> tuple[Any, ...] | None:
    try:
        trace = decode_trace(_path(actions, key).read_bytes())
    except OSError:
        return None
    return None if trace is None else _row(key, stamp, trace)


def _row(key: str, stamp: str, trace: Trace) -> tuple[Any, ...]:
    digests = [digest for _, digest in trace.outputs]
    hashes = " ".join(digest.hash for digest in digests)
    sizes = " ".join(str(digest.size_bytes) for digest in digests)
    total = sum(digest.size_bytes for digest in digests)
    stage, kin, base = str(trace.action.get("stage")), kin_of(trace.action), base_of(trace.action)
    return (key, stamp, stage, kin, base, hashes, sizes, total, trace.seconds)


def _path(actions: Path, key: str) -> Path:
    return actions / key[:2] / f"{key[2:]}.json"


def _connect(path: Path) -> sqlite3.Connection:
    for place in (path, Path(":memory:")):  # locked or read-only: a table of this process alone
        connection = table.open_table(place, SCHEMA, PROBE, timeout=10.0)
        if connection is not None:
            return connection
    raise AssertionError("SQLite has no memory")
