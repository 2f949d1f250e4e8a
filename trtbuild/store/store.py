"""One cache folder: its parts, its locks, and its scratch space."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from trtbuild.store.action_cache import ActionCache
from trtbuild.store.cas import CAS
from trtbuild.store.files import file_lock, store_errors, write_file
from trtbuild.store.memo import Memo

README = b"""This folder is the cache of trtbuild. It can be deleted at any time: whatever is
missing is built again. Do not edit the files in it; they are shared and read-only.
"""


class Store:
    """The cache below `root`: blobs, traces, memo, locks, and scratch folders of running stages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.memo = Memo(root / "memo.sqlite")
        self.cas = CAS(root / "cas", self.memo)
        self.actions = ActionCache(root)

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock of an action, so that two processes do not run it at once."""
        with file_lock(self.root / "locks" / key):
            yield

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new empty folder on the cache's own device; removed at the end. Raises StoreError.

        What a killed process left there is removed first: each folder's lock shows its owner
        alive.
        """
        base = self.root / "tmp"
        folder = base / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._prepare(base)
        with file_lock(folder.with_suffix(".lock")):
            with store_errors("cannot make a scratch folder", folder):
                folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(".lock").unlink(missing_ok=True)

    def close(self) -> None:
        """Release the memo."""
        self.memo.close()

    def _prepare(self, base: Path) -> None:
        with store_errors("cannot make the cache folder", base):
            base.mkdir(parents=True, exist_ok=True, mode=0o700)
        readme = self.root / "README"
        if not readme.exists():
            write_file(readme, README)
        with file_lock(self.root / "locks" / "sweep"):
            for lock in base.glob("*.lock"):
                _remove_if_abandoned(lock)


def _remove_if_abandoned(lock: Path) -> None:
    # A lock that its owner is about to take is new; sweeping holds a lock of its own, so only the
    # owner's creation can race, and that creation makes the folder after it holds the lock.
    with file_lock(lock, wait=False) as got:
        folder = lock.with_suffix("")
        if got and folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def default_cache() -> Path:
    """`$TRTBUILD_CACHE`, else `trtbuild` below the user's cache folder (XDG)."""
    if chosen := os.environ.get("TRTBUILD_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trtbuild"
