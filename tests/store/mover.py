"""Moves a large file through a cache, a remote cache and another cache, and says what that took.

    python -m tests.store.mover URL FOLDER BYTES

prints the peak memory of the process in MiB.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.memory import peak_kib
from tests.store.entries import action
from trtbuild.store.action_cache import Trace
from trtbuild.store.digest import digest_of_file
from trtbuild.store.remote import Remote
from trtbuild.store.store import Store
from trtbuild.store.upload import Uploader


def main(url: str, folder: Path, size: int) -> None:
    """Store, restore, push, fetch and restore again; whatever goes wrong is an AssertionError."""
    made = action(1)
    first = opened(folder / "first", url)
    with first.scratch() as scratch:
        block = os.urandom(1 << 20)
        with (scratch / "engine.plan").open("wb") as file:
            for number in range(size >> 20):
                file.write(number.to_bytes(8, "big") + block[8:])
        digest = first.cas.adopt(scratch / "engine.plan")
    trace = Trace(made.document(), (("engine.plan", digest),), 1.0)
    first.actions.record(made.key(), trace)  # what `record` has uploaded besides would be twice
    assert first.cas.materialise(digest, folder / "out" / "engine.plan")
    assert first.remote is not None
    uploader = Uploader(first.root, first.cas, first.actions, first.remote)
    assert uploader.upload(made.key()), first.remote.warnings
    first.close()
    for file in (first.cas.path(digest), folder / "out" / "engine.plan"):
        file.unlink()
    second = opened(folder / "second", url)
    found = second.find(made.key())
    assert found == trace
    assert second.obtain(made.key(), trace), second.remote and second.remote.warnings
    assert second.cas.materialise(digest, folder / "out" / "engine.plan")
    assert digest_of_file(folder / "out" / "engine.plan") == digest
    second.close()
    print(peak_kib() >> 10)


def opened(root: Path, url: str) -> Store:
    """A cache with the remote one behind it, whose patience is shorter than the transfer."""
    store = Store(root)
    store.use_remote(Remote(url, read_only=False, timeout=2.0))
    return store


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
