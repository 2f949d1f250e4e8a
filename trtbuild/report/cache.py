"""What is in a cache, for people: sizes, ages, entries, and what a collection removes."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trtbuild.report.terminal import size_text
from trtbuild.store.action_cache import Trace
from trtbuild.store.audit import Damage
from trtbuild.store.gc import Collection
from trtbuild.store.index import Entry
from trtbuild.store.remote import Remote

METER_SECONDS = 0.2


def statistics(root: Path, collection: Collection, entries: Sequence[Entry]) -> dict[str, Any]:
    """What is in the cache, by stage; `collection` is of a collection without limits."""
    stages: dict[str, dict[str, int]] = {}
    for entry in entries:
        stage = stages.setdefault(entry.stage, {"actions": 0, "size_bytes": 0})
        stage["actions"] += 1
        stage["size_bytes"] += entry.output_bytes
    return {
        "format": 1,
        "cache": str(root),
        "actions": len(entries),
        "size_bytes": collection.bytes_before,
        "unused_bytes": collection.freed_bytes,
        "oldest_use": min((entry.used for entry in entries), default=None),
        "stages": dict(sorted(stages.items())),
    }


@contextlib.contextmanager
def meter(text: str) -> Iterator[Callable[[float], None]]:
    """Shows on a terminal which fraction of something is done; the line is gone at the end."""
    shown = sys.stderr.isatty()
    last = -math.inf

    def tell(fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if shown and now - last > METER_SECONDS:
            last = now
            print(f"\r{text} {fraction:4.0%}", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        if shown and last > -math.inf:
            print(f"\r{' ' * (len(text) + 5)}\r", end="", file=sys.stderr, flush=True)


def print_statistics(found: dict[str, Any]) -> None:
    """Print them."""
    print(f"cache       {found['cache']}")
    print(f"actions     {found['actions']}")
    print(f"size        {size_text(found['size_bytes'])}")
    print(f"unused      {size_text(found['unused_bytes'])} that `trtbuild cache gc` removes")
    if found["oldest_use"] is not None:
        print(f"oldest use  {age_text(found['oldest_use'])} ago")
    for name, stage in found["stages"].items():
        print(f"  {name:<12} {stage['actions']:>7} actions  {size_text(stage['size_bytes'])}")


def entry_document(entry: Entry) -> dict[str, Any]:
    """One trace of a list."""
    return {
        "key": entry.key,
        "stage": entry.stage,
        "used": entry.used,
        "seconds": entry.seconds,
        "size_bytes": entry.output_bytes,
    }


def print_entries(entries: Sequence[Entry]) -> None:
    """Print traces, a line each."""
    for entry in entries:
        size = size_text(entry.output_bytes)
        took = f"{entry.seconds:.1f} s"
        print(
            f"{entry.key[:16]}  {entry.stage:<10} {size:>10} {took:>9}  {age_text(entry.used)} ago"
        )


def print_trace(key: str, trace: Trace, present: Sequence[bool]) -> None:
    """Print one trace in full."""
    print(f"key      {key}")
    print(f"stage    {trace.action['stage']}, version {trace.action['stage_version']}")
    print(f"took     {trace.seconds:.1f} s")
    for (name, digest), there in zip(trace.outputs, present, strict=True):
        lost = "" if there else "  not in the cache"
        print(f"output   {name}  {digest.hash[:16]}  {size_text(digest.size_bytes)}{lost}")
    for field in ("inputs", "discovered", "toolchain", "options"):
        for name, value in trace.action[field].items():
            print(f"{field:<10} {name}: {value}")
    for warning in trace.warnings:
        print(f"warning  {warning}")


def print_damage(found: Sequence[Damage], *, repaired: bool) -> None:
    """Print what is wrong with a cache."""
    for damage in found:
        print(f"{damage.path}: {damage.text}")
    if not found:
        print("every blob and every trace is whole")
    elif repaired:
        print(f"{len(found)} removed; the next run makes them again")
    else:
        print(f"{len(found)} damaged; `trtbuild cache verify --repair` removes them")


def collection_document(collection: Collection, *, done: bool) -> dict[str, Any]:
    """What a garbage collection removes, or has removed."""
    return {
        "format": 1,
        "removed": done,
        "actions": [entry.key for entry in collection.traces],
        "blobs": [blob.key for blob in collection.blobs],
        "freed_bytes": collection.freed_bytes,
        "size_bytes": collection.bytes_after,
        "protected_actions": collection.protected,
        "files_ahead_of_the_clock": len(collection.ahead),
    }


def print_collection(collection: Collection, *, done: bool) -> None:
    """Print what a garbage collection removes, or has removed."""
    verb = "removed" if done else "would remove"
    actions, blobs = len(collection.traces), len(collection.blobs)
    print(f"{verb} {actions} actions and {blobs} blobs: {size_text(collection.freed_bytes)}")
    print(f"{size_text(collection.bytes_after)} remain")
    if collection.protected:
        why = "used within the hour, or by a run that goes on, or named by a lock"
        print(f"{collection.protected} actions stay over the limits: {why}")
    if collection.ahead:
        print(f"{len(collection.ahead)} files have times ahead of the clock, which count as now")


def age_text(then: float, now: float | None = None) -> str:
    """How long ago a time was: 3 days."""
    seconds = max(0.0, (time.time() if now is None else now) - then)
    for length, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def print_remote(remote: Remote, left: int, *, going_on: bool) -> None:
    """Print what went wrong with the remote cache, and what is still to be uploaded."""
    for warning in dict.fromkeys(remote.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    if left:
        results = "1 result" if left == 1 else f"{left} results"
        text = (
            f"{results} go on being uploaded in the background (remote_wait makes a run wait)"
            if going_on
            else f"{results} not uploaded: the next run tries again, or `trtbuild cache push`"
        )
        print(text.replace("1 result go", "1 result goes"), file=sys.stderr)
