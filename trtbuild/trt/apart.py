"""Keeps Python's own memory out of the heap that a builder works in.

TensorRT-RTX keeps tensors in tables ordered by address, and numbers what it makes in that order, so
that the bytes of an engine depend on what else was allocated. `apart` runs the builder in a thread,
to which malloc gives a heap of its own; what TensorRT tells us while it builds (messages with
timings in them, progress) is dealt with by the thread that waits, in the other heap.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

STACK_BYTES = 64 << 20
"""Of the thread; fixed, since the default follows from `ulimit -s`."""


M_MMAP_THRESHOLD = -3  # malloc.h
LARGEST_IN_HEAP = 32 << 20
"""Bytes: the most that glibc keeps in a thread's heap; what is larger gets pages wherever they are
free, which depends on all that the process did before."""


class _Desk:
    """Where one thread has calls made by another; plain locks, since they allocate nothing."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._asked, self._answered = threading.Lock(), threading.Lock()
        self._asked.acquire()
        self._answered.acquire()
        self._call: tuple[Callable[..., None], tuple[Any, ...]] | None = None
        self._raised: BaseException | None = None
        self.server = threading.get_ident()

    def ask(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        with self._one_at_a_time:
            self._call = (function, arguments)
            self._asked.release()
            self._answered.acquire()
            raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def serve(self) -> None:
        while True:
            self._asked.acquire()
            if self._call is None:
                return
            function, arguments = self._call
            try:
                function(*arguments)
            except BaseException as error:  # raised again where it was asked for
                self._raised = error
            self._call = None
            del function, arguments
            self._answered.release()

    def close(self) -> None:
        self._asked.release()


_desk: _Desk | None = None


def apart(work: Callable[[], None]) -> None:
    """Run in a thread with a heap of its own; raises what it raises. Not to be nested."""
    global _desk  # noqa: PLW0603 - TensorRT's callbacks have no other way to find it
    desk = _Desk()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed to the caller, whatever it is
            raised.append(error)
        finally:
            desk.close()

    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)
    before = threading.stack_size(STACK_BYTES)
    _desk = desk
    try:
        thread = threading.Thread(target=run, name="builder")
        thread.start()
        threading.stack_size(before)
        desk.serve()
        thread.join()
    finally:
        threading.stack_size(before)
        _desk = None
    if raised:
        raise raised[0]


def outside(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function in the thread that waits for the builder; at once where none does."""
    desk = _desk
    if desk is None or desk.server == threading.get_ident():
        function(*arguments)
    else:
        desk.ask(function, arguments)
