"""Filling a remote cache behind a build's back: in a thread, with a journal of what is left."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from trtbuild.store.action_cache import ActionCache
from trtbuild.store.address import safe_url
from trtbuild.store.cas import CAS
from trtbuild.store.index import base_of
from trtbuild.store.remote import Remote

WARNINGS = "warnings"
WRONG = "wrong"


class Journal:
    """The keys of results that are not uploaded yet, an empty file each; and in a folder the hashes
    under which the remote cache has other bytes, until somebody has put the right ones there.
    """

    def __init__(self, root: Path, url: str) -> None:
        self.name = hashlib.sha256(safe_url(url).encode()).hexdigest()[:16]
        self._folder = root / "pending" / self.name

    def add(self, key: str) -> None:
        """Note a key; without a place to note it, it is uploaded by this process or never."""
        self._touch(self._folder / key)

    def remove(self, key: str) -> None:
        """Forget a key."""
        with contextlib.suppress(OSError):
            (self._folder / key).unlink(missing_ok=True)

    def add_wrong(self, hash_: str) -> None:
        """Note that a blob of the remote cache is to be replaced, by whichever process does it."""
        self._touch(self._folder / WRONG / hash_)

    def remove_wrong(self, hash_: str) -> None:
        """Forget that, once it was."""
        with contextlib.suppress(OSError):
            (self._folder / WRONG / hash_).unlink(missing_ok=True)

    def wrong(self) -> set[str]:
        """The hashes of all blobs to be replaced."""
        return {path.name for path in (self._folder / WRONG).glob("*")}

    def _touch(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def left(self) -> list[str]:
        """All keys, sorted."""
        return sorted(
            path.name for path in self._folder.glob("*") if path.name not in (WARNINGS, WRONG)
        )

    def keep_warnings(self, warnings: Sequence[str]) -> None:
        """Keep what nobody sees for the next run to say."""
        if warnings:
            with contextlib.suppress(OSError):
                (self._folder / WARNINGS).write_text("\n".join(warnings))

    def take_warnings(self) -> list[str]:
        """What was kept, once."""
        path = self._folder / WARNINGS
        with contextlib.suppress(OSError, ValueError):
            text = path.read_text()
            path.unlink()
            return text.splitlines()
        return []


class Uploader:
    """Puts results into a remote cache, one after the other, in the order in which they come."""

    def __init__(self, root: Path, cas: CAS, actions: ActionCache, remote: Remote) -> None:
        self._cas = cas
        self._actions = actions
        self._remote = remote
        self._journal = Journal(root, remote.url)
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._waiting: set[str] = set()
        self._failed: set[str] = set()
        self._thread: threading.Thread | None = None

    def add(self, key: str) -> None:
        """Have a result uploaded some time; what does not make it is taken up by a later run."""
        self._journal.add(key)
        if self._thread is None:
            self._remote.warnings += self._journal.take_warnings()
            for earlier in self._journal.left():
                self._enqueue(earlier)
            self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
            self._thread.start()
        self._enqueue(key)

    def note_wrong(self) -> None:
        """Have the blobs that were found to be wrong replaced also by a later process."""
        for hash_ in tuple(self._remote.wrong):
            self._journal.add_wrong(hash_)

    def wrong(self) -> set[str]:
        """The hashes under which the remote cache was found to have other bytes, by any run."""
        return self._journal.wrong()

    def left_after(self, seconds: float) -> int:
        """How many uploads are left when all are done, nothing goes on, or the time is over."""
        deadline = time.monotonic() + seconds
        while self._waiting and not self._remote.is_off("write") and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self._waiting) + len(self._failed)

    def upload(self, key: str) -> bool:
        """Upload one result now: blobs first, trace last; whether it is there, or gone here."""
        trace = self._actions.lookup(key)
        if trace is not None:
            self._remote.wrong |= self._journal.wrong()
            for _, digest in trace.outputs:
                if not self._cas.verified(digest):
                    break  # the local cache has lost it, so there is nothing
                if not self._remote.put_blob(digest, self._cas.path(digest)):
                    return False
                self._journal.remove_wrong(digest.hash)
            else:
                if base := base_of(trace.action):
                    self._remote.put_discovered(base, self._actions.discovered(base))
                if not self._remote.put_trace(key, self._actions.path(key), trace):
                    return False
        self._journal.remove(key)
        return True

    def _enqueue(self, key: str) -> None:
        if key not in self._waiting:
            self._waiting.add(key)
            self._queue.put(key)

    def _work(self) -> None:
        while not self._remote.is_off("write"):
            key = self._queue.get()
            if not self.upload(key):
                self._failed.add(key)
            self._waiting.discard(key)
