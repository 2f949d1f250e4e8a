"""One cache folder: its parts, its locks, and its scratch space."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trtbuild.errors import StoreError
from trtbuild.store.action_cache import ActionCache, Trace
from trtbuild.store.cas import CAS
from trtbuild.store.digest import Done
from trtbuild.store.files import file_lock, write_file
from trtbuild.store.memo import Memo
from trtbuild.store.scratch import scratch

if TYPE_CHECKING:
    from trtbuild.store.remote import Remote
    from trtbuild.store.upload import Uploader

README = b"""This folder is the cache of trtbuild. It can be deleted at any time: whatever is
missing is built again. Do not edit the files in it; they are shared and read-only.
"""

PRIVATE, SHARED = 0o700, 0o2770


class Store:
    """The cache below `root`: blobs, traces, memo, locks, and scratch folders of running stages.

    With `shared` the members of the folder's group may use it too; else its owner alone.
    """

    def __init__(self, root: Path, *, shared: bool = False) -> None:
        self.root = root
        self.shared = shared
        make_private(root, shared=shared)
        self.memo = Memo(root / "memo.sqlite")
        self.cas = CAS(root / "cas", self.memo)
        self.actions = ActionCache(root)
        self.remote: Remote | None = None
        self._uploader: Uploader | None = None
        self._run = contextlib.ExitStack()
        self._running = False

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of an action, so that two processes do not run it at once.

        `waiting` is called first where another holds it.
        """
        self._begin_run()
        path = self.root / "locks" / key
        if waiting is not None:
            with file_lock(path, wait=False) as got:
                if got:
                    yield
                    return
            waiting()
        with file_lock(path):
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep a garbage collection from removing anything meanwhile; held for moments only.

        Blobs are put in and named by a trace, or found by one and restored, inside of it.
        """
        with file_lock(self.root / "locks" / "in-use", shared=True):
            yield

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new empty folder on the cache's own device; removed at the end. Raises StoreError."""
        readme = self.root / "README"
        if not readme.exists():
            write_file(readme, README)
        with scratch(self.root) as folder:
            yield folder

    def use_remote(self, remote: Remote) -> None:
        """Ask a remote cache for what is not here, and give it what is new if it may be filled."""
        self.remote = remote
        if not remote.read_only:
            from trtbuild.store.upload import Uploader  # only with a remote cache

            self._uploader = Uploader(self.root, self.cas, self.actions, remote)

    def find(self, key: str) -> Trace | None:
        """The trace of a key, here or in the remote cache."""
        trace = self.actions.lookup(key)
        if trace is None and self.remote is not None:
            trace = self.remote.trace(key)
        return trace

    def holds(self, trace: Trace) -> bool:
        """Whether all that a trace names is here or in the remote cache."""
        lacking = [digest for _, digest in trace.outputs if not self.cas.has(digest)]
        remote = self.remote
        return not lacking or (remote is not None and all(map(remote.has, lacking)))

    def obtain(self, key: str, trace: Trace, progress: Done | None = None) -> bool:
        """Have all that a trace names here, and the trace; False where something cannot be had.

        To be called with `in_use` not held: fetching takes long. Raises StoreError.
        """
        lacking = [digest for _, digest in trace.outputs if not self.cas.verified(digest)]
        if not lacking and self.actions.lookup(key) is not None:
            self.actions.mark_used(key)
            return True
        if lacking and self.remote is None:
            return False
        with self.scratch() as folder:
            fetched = []
            for number, digest in enumerate(lacking):
                file = folder / str(number)
                if self.remote is None or not self.remote.fetch(digest, file, progress):
                    if self._uploader is not None:
                        self._uploader.note_wrong()
                    return False
                fetched.append((file, digest))
            with self.in_use():
                for file, digest in fetched:
                    self.cas.adopt(file, digest)
                self._write(key, trace)
        return True

    def record(self, key: str, trace: Trace) -> None:
        """Write the trace of what has just been stored, and have it uploaded. Raises StoreError."""
        self._write(key, trace)
        if self._uploader is not None:
            self._uploader.add(key)

    def uploads_left(self, seconds: float) -> int:
        """Wait for uploads, but no longer than that; how many are left."""
        return 0 if self._uploader is None else self._uploader.left_after(seconds)

    def _write(self, key: str, trace: Trace) -> None:
        from trtbuild.store.index import Index, base_of  # a no-op writes nothing

        self.actions.record(key, trace)
        if base := base_of(trace.action):
            self.actions.record_discovered(base, tuple(sorted(trace.action["discovered"])))
        index = Index(self.root)
        index.add(key)
        index.close()

    def at_close(self, action: Callable[[int], None], descriptor: int) -> None:
        """Have something done with a descriptor when this run has ended."""
        self._run.callback(action, descriptor)

    def close(self) -> None:
        """Release the memo, and say that this run has ended."""
        self._run.close()
        self.memo.close()

    def _begin_run(self) -> None:
        """Show garbage collections that a run has begun: what it uses is kept until it ends."""
        if not self._running:
            self._running = True
            path = self.root / "runs" / f"{os.getpid()}-{secrets.token_hex(4)}"
            self._run.enter_context(file_lock(path))
            self._run.callback(path.unlink, missing_ok=True)


def make_private(root: Path, *, shared: bool) -> None:
    """Make the cache folder so that no other user can write there.

    With `shared` its group can, and what is made in it belongs to that group: this process leaves
    the group's permissions on whatever it makes from now on. Raises StoreError for a folder that
    others own or can write to.
    """
    if shared:
        given = os.umask(0o077)
        os.umask(given & ~0o070)
    try:
        status = os.stat(root)  # noqa: PTH116 - no-op path
    except OSError:
        with contextlib.suppress(OSError):  # the first write says what is wrong
            root.parent.mkdir(parents=True, exist_ok=True)
            root.mkdir(mode=PRIVATE)
            if shared:
                root.chmod(SHARED)
        return
    if not stat.S_ISDIR(status.st_mode):
        return  # as above
    forbidden = stat.S_IWOTH if shared else stat.S_IWOTH | stat.S_IWGRP
    if status.st_mode & forbidden:
        raise StoreError(
            f"other users can write to the cache (mode {stat.S_IMODE(status.st_mode):o})",
            where=str(root),
            hint="chmod go-w it, or set cache_shared if your group is meant to use it",
        )
    user = os.geteuid()
    if user and not shared and status.st_uid not in (user, 0):  # root may use anybody's
        raise StoreError(
            f"the cache belongs to another user ({status.st_uid}), who could put anything into it",
            where=str(root),
            hint="use a folder of your own (--cache DIR), or set cache_shared if you share it",
        )


def default_cache() -> Path:
    """`$TRTBUILD_CACHE`, else `trtbuild` below the user's cache folder (XDG)."""
    if chosen := os.environ.get("TRTBUILD_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trtbuild"
