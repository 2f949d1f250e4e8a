"""Gives a stage the same addresses in every process, since the bytes of an engine depend on them.

TensorRT-RTX keeps tensors in tables ordered by address: of a small classifier no two builds had the
same bytes. `trtbuild.trt.apart` does the rest of what brings them together.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

ADDR_NO_RANDOMIZE = 0x0040000  # linux/personality.h
ASK_PERSONALITY = 0xFFFFFFFF  # personality(2): changes nothing, and says what is set

BUILDERS = frozenset({"trtbuild.stages.build"})
"""Stages whose native library works in several threads that pass memory to each other."""

NO_THREAD_CACHES = "glibc.malloc.tcache_count=0"
"""A block that one thread frees for another lands in a cache by who came first; without those
caches it goes back to where it came from (the GNU C library's manual, Memory Allocation Tunables).
"""

COMPILER_OPTIONS = "__LUNOWUD"
"""Where TensorRT's graph compiler takes options from, which no call of its API sets (NVIDIA's
TensorRT-Edge-LLM sets it too). What a version does not know it ignores, with a line in the log.
"""

SERIAL = "-thread_pool_serialize=on"
"""The compiler's own threads do nothing: what they would do is done in the thread that asks, and
what it makes is numbered in one order. For TensorRT-RTX only: TensorRT compiles kernels to time
them while it builds, many at once.
"""

LOOKED_FOR = (
    *("CUDA_", "NVIDIA_", "NV_", "TRT_", "TENSORRT_", "LD_", "MALLOC_", "LC_", "LANG", "TZ"),
    *("PYTHON", "VIRTUAL_ENV", "COV", "HOME", "TMPDIR", "TRTBUILD_"),
)
"""How the names begin of what Python, CUDA, TensorRT and the loader take from the environment."""


@contextlib.contextmanager
def fixed_addresses() -> Iterator[None]:
    """What this thread starts within the block gets no address space randomisation.

    A persona belongs to a thread, and is inherited. Where the system refuses one (Docker's default
    seccomp profile does) a stage works as well, but may give other bytes next time.
    """
    libc = ctypes.CDLL(None)
    persona = libc.personality(ASK_PERSONALITY)
    changed = persona != -1 and libc.personality(persona | ADDR_NO_RANDOMIZE) != -1
    try:
        yield
    finally:
        if changed:
            libc.personality(persona)


def stage_environment(module: str, backend: object) -> dict[str, str]:
    """The environment of a stage's process: ours, but for what makes builds differ.

    Options of the heap and the compiler that are set already stay: what is given twice holds as
    given last. A builder of TensorRT-RTX, in which no code of the user's runs, gets only what it
    may look for: the rest, such as where a shell was before, would move what it orders by address.
    """
    given = dict(os.environ)
    if module not in BUILDERS:
        return given
    tunables = (given.get("GLIBC_TUNABLES"), NO_THREAD_CACHES)
    options = (SERIAL, given.get(COMPILER_OPTIONS))
    if backend == "tensorrt_rtx":
        given = {name: given[name] for name in sorted(given) if name.startswith(LOOKED_FOR)}
        given[COMPILER_OPTIONS] = " ".join(filter(None, options))
    return {**given, "GLIBC_TUNABLES": ":".join(filter(None, tunables))}


def are_addresses_fixed() -> bool:
    """Whether this process runs without address space randomisation."""
    persona = ctypes.CDLL(None).personality(ASK_PERSONALITY)
    return persona != -1 and bool(persona & ADDR_NO_RANDOMIZE)
