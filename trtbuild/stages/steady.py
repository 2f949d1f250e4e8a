"""Gives a stage the same addresses in every process, since the bytes of an engine depend on them.

TensorRT-RTX keeps tensors in tables ordered by address: of a small classifier no two builds had the
same bytes. `trtbuild.trt.apart` does the rest of what brings them together.
"""

from __future__ import annotations

import ctypes
import os
import sys

ADDR_NO_RANDOMIZE = 0x0040000  # linux/personality.h
ASK_PERSONALITY = 0xFFFFFFFF  # personality(2): changes nothing, and says what is set

BUILDERS = frozenset({"trtbuild.stages.build"})
"""Stages whose native library works in several threads that pass memory to each other."""

NO_THREAD_CACHES = "glibc.malloc.tcache_count=0"
"""A block that one thread frees for another lands in a cache by who came first; without those
caches it goes back to where it came from (the GNU C library's manual, Memory Allocation Tunables).
"""


def fix_addresses(module: str) -> None:
    """Begin this process again without address space randomisation, where the system allows.

    `module` is the stage that is to run. Where the system does not (Docker's default seccomp
    profile refuses it) a stage works as well, but may give other bytes next time.
    """
    libc = ctypes.CDLL(None)
    persona = libc.personality(ASK_PERSONALITY)
    if persona == -1 or persona & ADDR_NO_RANDOMIZE:
        return
    if libc.personality(persona | ADDR_NO_RANDOMIZE) == -1:
        return
    if module in BUILDERS:
        given = os.environ.get("GLIBC_TUNABLES")
        os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, (given, NO_THREAD_CACHES)))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell


def are_addresses_fixed() -> bool:
    """Whether this process runs without address space randomisation."""
    persona = ctypes.CDLL(None).personality(ASK_PERSONALITY)
    return persona != -1 and bool(persona & ADDR_NO_RANDOMIZE)
