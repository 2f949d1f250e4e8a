"""Filling a remote cache behind a build's back: in a thread, with a journal of what is left."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import time
from pathlib import Path

from trtbuild.store.action_cache import ActionCache
from trtbuild.store.cas import CAS
from trtbuild.store.index import base_of
from trtbuild.store.remote import Remote


class Uploader:
    """Puts results into a remote cache, one after the other, in the order in which they come."""

    def __init__(self, root: Path, cas: CAS, actions: ActionCache, remote: Remote) -> None:
        self._cas = cas
        self._actions = actions
        self._remote = remote
        address = hashlib.sha256(remote.url.encode()).hexdigest()[:16]
        self._journal = root / "pending" / address
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._waiting: set[str] = set()
        self._thread: threading.Thread | None = None

    def add(self, key: str) -> None:
        """Have a result uploaded some time; what does not make it is taken up by a later run."""
        with contextlib.suppress(OSError):  # without the journal it is uploaded now or never
            self._journal.mkdir(parents=True, exist_ok=True)
            (self._journal / key).touch()
        if self._thread is None:
            for path in sorted(self._journal.glob("*")):
                self._enqueue(path.name)
            self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
            self._thread.start()
        self._enqueue(key)

    def left_after(self, seconds: float) -> int:
        """How many uploads are left when all are done, nothing goes on, or the time is over."""
        deadline = time.monotonic() + seconds
        while self._waiting and not self._remote.is_off("write") and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self._waiting)

    def upload(self, key: str) -> bool:
        """Upload one result now: blobs first, trace last; whether it is there, or gone here."""
        trace = self._actions.lookup(key)
        if trace is not None:
            for _, digest in trace.outputs:
                if not self._cas.verified(digest):
                    return self._forget(key)  # the local cache has lost it, so there is nothing
                if not self._remote.put_blob(digest, self._cas.path(digest)):
                    return False
            if base := base_of(trace.action):
                self._remote.put_discovered(base, self._actions.discovered_path(base))
            if not self._remote.put_trace(key, self._actions.path(key), trace):
                return False
        return self._forget(key)

    def _enqueue(self, key: str) -> None:
        if key not in self._waiting:
            self._waiting.add(key)
            self._queue.put(key)

    def _forget(self, key: str) -> bool:
        with contextlib.suppress(OSError):
            (self._journal / key).unlink(missing_ok=True)
        return True

    def _work(self) -> None:
        while not self._remote.is_off("write"):
            key = self._queue.get()
            if self.upload(key):
                self._waiting.discard(key)
