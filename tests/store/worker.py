"""A process that works on a cache until it is killed: stores, restores, collects, uploads.

    python -m tests.store.worker KIND CACHE SHARED SEED

Prints a line when it has begun. Contents follow from the action's number, so that a reader knows
what is right.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import sys
from pathlib import Path

from tests.store.entries import action, set_age
from trtbuild.store.action_cache import Trace
from trtbuild.store.gc import Limits, collect, plan_collection, read_entries
from trtbuild.store.remote import Remote
from trtbuild.store.roots import Keep
from trtbuild.store.store import Store

ACTIONS = 40
OLD = 9e6


def content(number: int, name: str) -> bytes:
    """What an output of an action must hold; "build.log" is shared by some actions."""
    seed = f"{number % 4 if name == 'build.log' else number} {name}".encode()
    return hashlib.sha256(seed).digest() * (1 + number * 150)


def main(kind: str, cache: Path, shared: Path, seed: int) -> None:
    """Work without end."""
    moments = random.Random(seed)  # noqa: S311 - an order of work, no secret
    store = Store(cache)
    if kind == "upload":
        store.use_remote(Remote(f"file://{shared}", read_only=False, timeout=10))
    print("begun", flush=True)
    for turn in itertools.count():
        number = moments.randrange(ACTIONS)
        if kind == "restore":
            restore(store, number, shared / "out")
        elif kind == "collect" and turn % 5 == 4:
            entries, damaged = read_entries(cache)
            limits = Limits(max_bytes=moments.randrange(200_000))
            collect(cache, plan_collection(cache, entries, damaged, limits, Keep()))
        else:
            put_one(store, number, old=kind == "collect")


def put_one(store: Store, number: int, *, old: bool) -> None:
    """Store an action's outputs as a run does."""
    made = action(number)
    with store.lock(made.key()), store.scratch() as folder:
        for name in made.outputs:
            (folder / name).write_bytes(content(number, name))
        with store.in_use():
            outputs = [(name, store.cas.adopt(folder / name)) for name in made.outputs]
            trace = Trace(made.document(), tuple(sorted(outputs)), 1.0)
            store.record(made.key(), trace)
    if old:
        set_age(store, made.key(), trace, OLD)


def restore(store: Store, number: int, out: Path) -> None:
    """Restore an action's outputs as a run does, or make them."""
    trace = store.find(action(number).key())
    if trace is None or not store.obtain(action(number).key(), trace):
        put_one(store, number, old=False)
        return
    with store.in_use():
        for name, digest in trace.outputs:
            store.cas.materialise(digest, out / str(number) / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
