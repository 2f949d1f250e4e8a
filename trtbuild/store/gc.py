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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from trtbuild.store.action_cache import MARK_SECONDS
from trtbuild.store.files import file_lock, store_errors
from trtbuild.store.index import Entry, Found, Index, names_in, scan
from trtbuild.store.roots import Keep, oldest_run
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


@dataclass(frozen=True, slots=True)
class Collection:
    """What a garbage collection would remove, and what stays."""

    traces: tuple[Entry, ...]
    damaged: tuple[Found, ...]  # in the place of traces
    blobs: tuple[Found, ...]
    discovered: tuple[str, ...]
    locks: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    protected: int  # traces that the limits would remove, but that are in use or locked

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
    entries = sorted(entries, key=lambda entry: entry.used)
    doomed, protected = _choose(entries, present, limits, keep, now, spared)
    gone = {entry.key for entry in doomed}
    kept = [entry for entry in entries if entry.key not in gone]
    named = set(chain.from_iterable(entry.hashes for entry in kept)) | keep.names
    orphans = [name for name in present if name not in named]
    blobs = tuple(_old_blobs(root, orphans, spared))
    before = sum(present.values()) + sum(entry.size_bytes for entry in entries)
    freed = sum(blob.size_bytes for blob in blobs) + sum(entry.size_bytes for entry in doomed)
    return Collection(
        traces=tuple(doomed),
        damaged=tuple(found for found in damaged if found.used < spared),
        blobs=blobs,
        discovered=tuple(_unused_discovered(root, kept, spared)),
        locks=tuple(_old_locks(root, spared)),
        bytes_before=before,
        bytes_after=before - freed,
        protected=protected,
    )


def collect(
    root: Path, collection: Collection, progress: Callable[[float], None] | None = None
) -> int:
    """Remove what was planned, but for what was used since; how many bytes that freed.

    What killed processes left half made goes too. Raises StoreError.
    """
    sweep(root)
    doomed: list[Entry | Found] = [*collection.traces, *collection.damaged]
    traces = [(_trace_path(root, trace.key), trace) for trace in doomed]
    total = len(traces) + len(collection.blobs)
    freed = _remove_all(root, traces, lambda done: _tell(progress, done, total))
    kept = {
        hash_
        for entry in collection.traces
        if Path(_trace_path(root, entry.key)).exists()  # used since, so its blobs stay too
        for hash_ in entry.hashes
    }
    blobs = [(_blob_path(root, b.key), b) for b in collection.blobs if b.key not in kept]
    freed += _remove_all(root, blobs, lambda done: _tell(progress, len(traces) + done, total))
    for key in collection.discovered:
        (root / "discovered" / key[:2] / f"{key[2:]}.json").unlink(missing_ok=True)
    for name in collection.locks:
        path = root / "locks" / name
        with file_lock(path, wait=False) as got:
            if got:
                path.unlink(missing_ok=True)
    return freed


def _remove_all(
    root: Path,
    planned: Sequence[tuple[str, Entry | Found]] | Sequence[tuple[str, Found]],
    progress: Callable[[int], None],
) -> int:
    """Remove in batches what was not used since it was planned; how many bytes that freed.

    While a batch goes, no build puts blobs in or takes them out.
    """
    freed = 0
    for begin in range(0, len(planned), BATCH):
        with file_lock(root / "locks" / "in-use"):
            for path, seen in planned[begin : begin + BATCH]:
                freed += seen.size_bytes if _remove(Path(path), seen.used) else 0
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
    """The traces to remove, least recently used first, and how many the limits cannot have."""
    users = Counter(chain.from_iterable(entry.hashes for entry in entries))
    size = sum(e.size_bytes for e in entries)
    size += sum(bytes_ for name, bytes_ in present.items() if name in users or name in keep.names)
    oldest = now - limits.max_age_seconds if limits.max_age_seconds is not None else -math.inf
    most = math.inf if limits.max_bytes is None else limits.max_bytes
    missing = users.keys() - present.keys()
    doomed, protected = [], 0
    for entry in entries:
        over = entry.used < oldest or size > most
        if not over and (not missing or missing.isdisjoint(entry.hashes)):
            continue
        if entry.used >= spared or _is_locked(entry, keep):
            protected += over
            continue
        doomed.append(entry)
        size -= entry.size_bytes
        for hash_ in entry.hashes:
            users[hash_] -= 1
            if not users[hash_] and hash_ not in keep.names:
                size -= present.get(hash_, 0)
    return doomed, protected


def _is_locked(entry: Entry, keep: Keep) -> bool:
    return entry.key in keep.names or not keep.names.isdisjoint(entry.hashes)


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
        with contextlib.suppress(FileNotFoundError):
            found[name] = os.stat(_blob_path(root, name)).st_size  # noqa: PTH116 - many
    return found


def _old_blobs(root: Path, names: Iterable[str], spared: float) -> Iterator[Found]:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(_blob_path(root, name))
            if status.st_mtime < spared:
                yield Found(name, status.st_mtime, status.st_size, status.st_ino)


def _unused_discovered(root: Path, kept: list[Entry], spared: float) -> Iterator[str]:
    bases = {entry.base for entry in kept}
    for found in scan(root / "discovered", ".json"):
        if found.key not in bases and found.used < spared:
            yield found.key


def _old_locks(root: Path, spared: float) -> Iterator[str]:
    for path in (root / "locks").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if len(path.name) == 64 and path.stat().st_mtime < spared:
                yield path.name


def _remove(path: Path, used: float) -> bool:
    """Remove a file unless it was used since, which its modification time shows."""
    with store_errors("cannot remove", path), contextlib.suppress(FileNotFoundError):
        if path.stat().st_mtime == used:
            path.unlink()
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
