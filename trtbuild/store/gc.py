"""Garbage collection: what is old, too much, or used by nothing goes, least recently used first.

Traces go before the blobs that they name, in small batches, so that it can be interrupted at any
point: what is left is whole, and what nothing names goes the next time.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from trtbuild.store.action_cache import MARK_SECONDS
from trtbuild.store.files import file_lock, names_below, store_errors
from trtbuild.store.index import Entry, Found, Index, names_in, scan
from trtbuild.store.roots import Keep, oldest_run, remove_ended_runs
from trtbuild.store.scratch import sweep

RECENT_SECONDS = 3600
"""What was used or stored so recently stays, whatever the limits say."""

BATCH = 256
"""Removals between two moments at which builds can go on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the cache may be, and how long an unused result stays; None for no limit."""

    max_bytes: int | None = None
    max_age_seconds: float | None = None


class Blob(NamedTuple):
    """A blob that nothing names, or nothing that stays."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Collection:
    """What a garbage collection would remove, and what stays."""

    traces: tuple[Entry, ...]
    damaged: tuple[Found, ...]  # in the place of traces
    blobs: tuple[Blob, ...]
    discovered: tuple[str, ...]
    locks: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    protected: int  # traces that the limits would remove, but that are in use or locked
    spared: float  # Unix time: what is used from then on stays
    ahead: tuple[str, ...]  # files that were used when the clock was ahead: it counts as now

    @property
    def freed_bytes(self) -> int:
        """How much smaller the cache gets."""
        return self.bytes_before - self.bytes_after


def read_entries(root: Path) -> tuple[list[Entry], list[Found]]:
    """Every trace of a cache, and the files in their place that are none."""
    index = Index(root)
    try:
        return index.entries()
    finally:
        index.close()


def plan_collection(
    root: Path, entries: Sequence[Entry], damaged: Sequence[Found], limits: Limits, keep: Keep
) -> Collection:
    """What would be removed from a cache now, given its entries; changes nothing."""
    now = time.time()
    present = _present(root, entries)
    spared = _spared_since(root, now)
    clock = _Clock(now)
    entries = sorted(clock.entries(root, entries), key=lambda entry: entry.used)
    doomed, protected = _choose(entries, present, limits, keep, now, spared)
    gone = {entry.key for entry in doomed}
    kept = [entry for entry in entries if entry.key not in gone]
    named = set(chain.from_iterable(entry.hashes for entry in kept)) | keep.names
    freed_too = set(chain.from_iterable(entry.hashes for entry in doomed))
    blobs = tuple(
        Blob(name, present[name])
        for name in present.keys() - named
        if (used := _used(path := _blob_path(root, name))) is not None
        and clock.used(path, used) < (now if name in freed_too else spared)
    )
    old = [item for item in damaged if clock.used(_trace_path(root, item.key), item.used) < spared]
    before = sum(present.values()) + sum(entry.size_bytes for entry in entries)
    freed = sum(blob.size_bytes for blob in blobs) + sum(entry.size_bytes for entry in doomed)
    return Collection(
        traces=tuple(doomed),
        damaged=tuple(old),
        blobs=blobs,
        discovered=tuple(_unused_discovered(root, kept, spared, clock)),
        locks=tuple(_old_locks(root, spared, clock)),
        bytes_before=before,
        bytes_after=before - freed,
        protected=protected,
        spared=spared,
        ahead=tuple(clock.ahead),
    )


class _Clock:
    """Takes stamps of a clock that was ahead for such of now: they would keep a file for ever."""

    def __init__(self, now: float) -> None:
        self.latest = now + RECENT_SECONDS  # what is a little ahead grows old by itself
        self.ahead: list[str] = []
        self._now = now

    def used(self, path: str, stamp: float) -> float:
        """When a file was used."""
        if stamp <= self.latest:
            return stamp
        self.ahead.append(path)
        return self._now

    def entries(self, root: Path, entries: Sequence[Entry]) -> Iterator[Entry]:
        """Traces with such times; the blobs of one that was ahead are most likely ahead too."""
        for entry in entries:
            if entry.used <= self.latest:
                yield entry
            else:
                self.ahead += [_blob_path(root, hash_) for hash_ in entry.hashes]
                yield entry._replace(used=self.used(_trace_path(root, entry.key), entry.used))


def collect(
    root: Path, collection: Collection, progress: Callable[[float], None] | None = None
) -> int:
    """Remove what was planned, but for what was used since; how many bytes that freed.

    What killed processes left half made goes too. Raises StoreError.
    """
    sweep(root)
    remove_ended_runs(root)
    for file in collection.ahead:
        with contextlib.suppress(OSError):  # another user's
            os.utime(file)
    doomed: list[Entry | Found] = [*collection.traces, *collection.damaged]
    traces = [(_trace_path(root, trace.key), trace.size_bytes) for trace in doomed]
    total = len(traces) + len(collection.blobs)
    spared = collection.spared
    freed = _remove_all(root, traces, spared, lambda done: _tell(progress, done, total))
    kept = {
        hash_
        for entry in collection.traces
        if Path(_trace_path(root, entry.key)).exists()  # used since, so its blobs stay too
        for hash_ in entry.hashes
    }
    blobs = [(_blob_path(root, b.key), b.size_bytes) for b in collection.blobs if b.key not in kept]
    told = len(traces)
    freed += _remove_all(root, blobs, spared, lambda done: _tell(progress, told + done, total))
    for key in collection.discovered:
        path = root / "discovered" / key[:2] / f"{key[2:]}.json"
        with store_errors("cannot remove", path):
            path.unlink(missing_ok=True)
    for name in collection.locks:
        path = root / "locks" / name
        with file_lock(path, wait=False) as got:
            if got:
                path.unlink(missing_ok=True)
    return freed


def _remove_all(
    root: Path,
    planned: Sequence[tuple[str, int]],
    spared: float,
    progress: Callable[[int], None],
) -> int:
    """Remove files, given with their sizes, in batches; how many bytes that freed.

    What was used since it was planned stays. While a batch goes, no build puts blobs in or takes
    them out.
    """
    freed = 0
    for begin in range(0, len(planned), BATCH):
        with file_lock(root / "locks" / "in-use"):
            for path, size in planned[begin : begin + BATCH]:
                freed += size if _remove(path, spared) else 0
        progress(begin)
    return freed


def _choose(
    entries: Sequence[Entry],
    present: dict[str, int],
    limits: Limits,
    keep: Keep,
    now: float,
    spared: float,
) -> tuple[list[Entry], int]:
    """The traces to remove, least recently used first, and how many the limits cannot have.

    `entries` are in the order of their last use.
    """
    oldest = now - limits.max_age_seconds if limits.max_age_seconds is not None else -math.inf
    missing = set(chain.from_iterable(entry.hashes for entry in entries)) - present.keys()
    doomed, rest, protected = [], [], set()
    for entry in entries:
        old = entry.used < oldest
        if not old and (not missing or missing.isdisjoint(entry.hashes)):
            rest.append(entry)
        elif entry.used < spared and not _is_locked(entry, keep):
            doomed.append(entry)
        else:
            rest.append(entry)
            protected.update([entry.key] * old)
    if limits.max_bytes is not None:
        size = _Size(rest, present, keep)
        for entry in rest:
            if size.bytes <= limits.max_bytes:
                break
            if entry.used < spared and not _is_locked(entry, keep):
                doomed.append(entry)
                size.without(entry)
            else:
                protected.add(entry.key)
    return doomed, len(protected)


class _Size:
    """The bytes of some traces and of the blobs that they name, or that have to be kept."""

    def __init__(self, entries: Sequence[Entry], present: dict[str, int], keep: Keep) -> None:
        self._present, self._keep = present, keep
        self._users = Counter(chain.from_iterable(entry.hashes for entry in entries))
        counted = present.keys() & (self._users.keys() | keep.names)
        self.bytes = sum(entry.size_bytes for entry in entries)
        self.bytes += sum(present[name] for name in counted)

    def without(self, entry: Entry) -> None:
        """Take a trace out, and the blobs that nothing else names."""
        self.bytes -= entry.size_bytes
        for hash_ in entry.hashes:
            self._users[hash_] -= 1
            if not self._users[hash_] and hash_ not in self._keep.names:
                self.bytes -= self._present.get(hash_, 0)


def _is_locked(entry: Entry, keep: Keep) -> bool:
    names = keep.names
    return bool(names) and (entry.key in names or not names.isdisjoint(entry.hashes))


def _spared_since(root: Path, now: float) -> float:
    """What was used from this time on stays: recently, or by a run that is still going.

    A use within an hour of an earlier one leaves no mark, so a run reaches back that much further.
    """
    begun = oldest_run(root)
    recent = now - RECENT_SECONDS
    return recent if begun is None else min(recent, begun - MARK_SECONDS)


def _present(root: Path, entries: Sequence[Entry]) -> dict[str, int]:
    """The blobs that are there, with their sizes: a file is looked at only if no trace names it."""
    hashes = chain.from_iterable(entry.hashes for entry in entries)
    sizes = chain.from_iterable(entry.sizes.split() for entry in entries)
    found = dict(zip(hashes, map(int, sizes), strict=True))
    there = set(names_in(root / "cas"))
    for name in found.keys() - there:
        del found[name]
    for name in there - found.keys():
        path = Path(_blob_path(root, name))
        with (
            store_errors("cannot read the cache", path, reading=True),
            contextlib.suppress(FileNotFoundError),
        ):
            found[name] = os.stat(_blob_path(root, name)).st_size  # noqa: PTH116 - many
    return found


def _used(path: str) -> float | None:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return None


def _unused_discovered(
    root: Path, kept: list[Entry], spared: float, clock: _Clock
) -> Iterator[str]:
    bases = {entry.base for entry in kept}
    for found in scan(root / "discovered", ".json"):
        path = f"{root}/discovered/{found.key[:2]}/{found.key[2:]}.json"
        if found.key not in bases and clock.used(path, found.used) < spared:
            yield found.key


def _old_locks(root: Path, spared: float, clock: _Clock) -> Iterator[str]:
    for path in map((root / "locks").joinpath, names_below(root / "locks")):
        with contextlib.suppress(FileNotFoundError):
            if len(path.name) == 64 and clock.used(str(path), path.stat().st_mtime) < spared:
                yield path.name


def _remove(path: str, spared: float) -> bool:
    """Remove a file unless it was used since, which its modification time shows."""
    with store_errors("cannot remove", Path(path)), contextlib.suppress(FileNotFoundError):
        used = _used(path)
        if used is not None and used < spared:
            os.unlink(path)  # noqa: PTH108 - many
            return True
    return False


def _tell(progress: Callable[[float], None] | None, done: int, total: int) -> None:
    if progress is not None and total:
        progress(done / total)


def _trace_path(root: Path, key: str) -> str:
    """Text, since a Path for each of 100,000 takes a second."""
    return f"{root}/actions/{key[:2]}/{key[2:]}.json"


def _blob_path(root: Path, name: str) -> str:
    return f"{root}/cas/{name[:2]}/{name[2:]}"
