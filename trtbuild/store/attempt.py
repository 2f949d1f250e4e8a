"""Doing something that may never end, and going on without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Failure(Exception):  # noqa: N818 - names what it is: no error of ours
    """Work did not succeed, and not because there is nothing there."""


class Attempt(Generic[T]):
    """Work in a thread of its own, which is watched for progress."""

    def __init__(self, work: Callable[[Callable[[int], None]], T]) -> None:
        self.result: T | None = None
        self.error: Exception | None = None
        self._work = work
        self._moved = 0
        self._given_up = False
        self._done = threading.Event()
        threading.Thread(target=self._run, name="remote cache", daemon=True).start()

    def wait(self, stall: float, limit: float) -> bool:
        """Whether it ended before it stood still for `stall` seconds, or took `limit`."""
        begun = time.monotonic()
        moved, since = 0, begun
        while not self._done.wait(min(0.25, stall)):
            now = time.monotonic()
            if self._moved != moved:
                moved, since = self._moved, now
            if now - since > stall or now - begun > limit:
                self._given_up = True
                return False
        return True

    def _run(self) -> None:
        try:
            self.result = self._work(self._note)
        except Exception as error:  # whatever the libraries below raise is one thing here: a miss
            self.error = error
        self._done.set()

    def _note(self, moved: int) -> None:
        if self._given_up:
            raise Failure("given up")
        self._moved = moved
