"""Gives a stage the same environment and addresses in every process, whatever the shell has.

The bytes of an engine depend on addresses: TensorRT-RTX keeps tensors in tables ordered by
address, and of a small classifier no two builds had the same bytes. `trtbuild.trt.apart` does the
rest of what brings them together.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Mapping

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

MATHEMATICS = frozenset(
    {
        *("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
        *("CUBLAS_EMULATE_SINGLE_PRECISION", "CUBLAS_EMULATE_DOUBLE_PRECISION"),
        *("CUBLAS_EMULATION_STRATEGY", "CUBLAS_EMULATION_SPECIAL_VALUES_SUPPORT"),
        *("CUBLAS_FIXEDPOINT_EMULATION_MANTISSA_BIT_COUNT", "TORCH_CUDNN_V8_API_DISABLED"),
        *("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
        *("PYTORCH_JIT", "TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"),
    }
)
"""By what libraries under a stage compute otherwise, or trace other graphs: a recipe's precisions
say what is meant. Those that choose instructions of a CPU stay, as another CPU would choose too."""

INTERPRETER = frozenset(
    {
        *("PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONDEBUG", "PYTHONINSPECT", "PYTHONVERBOSE"),
        *("PYTHONWARNINGS", "PYTHONWARNDEFAULTENCODING", "PYTHONASYNCIODEBUG", "PYTHONMALLOC"),
        *("PYTHONMALLOCSTATS", "PYTHONTRACEMALLOC", "PYTHONPROFILEIMPORTTIME", "PYTHONBREAKPOINT"),
        *("PYTHONIOENCODING", "PYTHONCOERCECLOCALE", "PYTHONCASEOK", "PYTHONINTMAXSTRDIGITS"),
        *("PYTHONNODEBUGRANGES", "PYTHON_GIL", "PYTHON_JIT", "PYTHON_CPU_COUNT"),
        *("PYTHON_FROZEN_MODULES", "PYTHON_THREAD_INHERIT_CONTEXT"),
        "PYTHON_CONTEXT_AWARE_WARNINGS",
    }
)
"""By what Python runs the same code otherwise (docs.python.org/3/using/cmdline.html); those that
say where modules are stay."""

IN_KEYS = ("CUBLAS_WORKSPACE_CONFIG", COMPILER_OPTIONS)
"""What decides a result and must be left to a user: PyTorch's deterministic algorithms ask for the
first. Where one is set, it is in the key of what runs on a GPU or builds."""


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
    """The environment of a stage's process: ours, but for what makes stages differ.

    Options of the heap and the compiler that are set already stay: what is given twice holds as
    given last. A builder of TensorRT-RTX, in which no code of the user's runs, gets only what it
    may look for: the rest, such as where a shell was before, would move what it orders by address.
    """
    dropped = MATHEMATICS | INTERPRETER
    given = {name: value for name, value in os.environ.items() if name not in dropped}
    if module not in BUILDERS:
        return given
    tunables = (given.get("GLIBC_TUNABLES"), NO_THREAD_CACHES)
    options = (SERIAL, given.get(COMPILER_OPTIONS))
    if backend == "tensorrt_rtx":
        given = {name: given[name] for name in sorted(given) if name.startswith(LOOKED_FOR)}
        given[COMPILER_OPTIONS] = " ".join(filter(None, options))
    return {**given, "GLIBC_TUNABLES": ":".join(filter(None, tunables))}


def facts_of(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What of an environment is in the keys of stages, as toolchain facts."""
    return tuple((f"env:{name}", environment[name]) for name in IN_KEYS if name in environment)


def are_addresses_fixed() -> bool:
    """Whether this process runs without address space randomisation."""
    persona = ctypes.CDLL(None).personality(ASK_PERSONALITY)
    return persona != -1 and bool(persona & ADDR_NO_RANDOMIZE)
