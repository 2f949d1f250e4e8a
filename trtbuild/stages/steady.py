"""Gives a builder the same addresses in every process, since its bytes depend on them.

TensorRT-RTX keeps tensors in tables ordered by address, and numbers what it makes in that order: of
a small classifier no two builds had the same bytes. Three things make them the same: no address
space randomisation, a heap that nothing before the build has used, and no path in that heap.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable

ADDR_NO_RANDOMIZE = 0x0040000  # linux/personality.h
ASK_PERSONALITY = 0xFFFFFFFF  # personality(2): changes nothing, and says what is set
STACK_BYTES = 64 << 20  # of the thread; fixed, since the default follows from `ulimit -s`


def fix_addresses() -> None:
    """Begin this process again without address space randomisation, where the system allows.

    Where it does not (Docker's default seccomp profile refuses it) a stage works as well, but may
    give other bytes next time.
    """
    libc = ctypes.CDLL(None)
    persona = libc.personality(ASK_PERSONALITY)
    if persona == -1 or persona & ADDR_NO_RANDOMIZE:
        return
    if libc.personality(persona | ADDR_NO_RANDOMIZE) != -1:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell


def are_addresses_fixed() -> bool:
    """Whether this process runs without address space randomisation."""
    persona = ctypes.CDLL(None).personality(ASK_PERSONALITY)
    return persona != -1 and bool(persona & ADDR_NO_RANDOMIZE)


def in_fresh_heap(work: Callable[[], None]) -> None:
    """Run in a thread of its own, to which malloc gives a heap of its own; raises what it raises.

    What Python allocated before, which depends on the lengths of paths, is in another.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed to the caller, whatever it is
            raised.append(error)

    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=run, name="stage")
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if raised:
        raise raised[0]
