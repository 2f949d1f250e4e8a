"""A machine: a cache with a remote one behind it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.store.entries import action, put
from trtbuild.store.action_cache import Trace
from trtbuild.store.remote import Remote
from trtbuild.store.store import Store
from trtbuild.store.upload import Uploader

DATA = {"engine.plan": os.urandom(300_000), "build.log": b"a log"}


class Machine:
    """A cache with a remote one behind it."""

    def __init__(self, root: Path, url: str, *, timeout: float = 5.0) -> None:
        self.store = Store(root)
        self.remote = Remote(url, read_only=False, timeout=timeout)
        self.store.use_remote(self.remote)

    def stocked(self) -> tuple[str, Trace]:
        """A result that is pushed: its key and trace."""
        key, trace = put(self.store, action(1), DATA)
        assert self.push(key)
        return key, trace

    def push(self, key: str) -> bool:
        return Uploader(self.store.root, self.store.cas, self.store.actions, self.remote).upload(
            key
        )

    def pull(self, key: str) -> bool:
        trace = self.store.find(key)
        return trace is not None and self.store.holds(trace) and self.store.obtain(key, trace)
