"""What trtbuild needs of a GPU: one small Protocol, which PyCUDA and cuda-python provide.

Streams and events are called in the loop that is measured, where a wrapper would cost what it is
meant to measure: their Protocols are the part of PyCUDA's own objects that trtbuild uses, so that
its provider hands those out as they are. `Device.current` is therefore the edge where the
exceptions of a provider become CudaError: everything is called inside it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtbuild.cuda.probe import DeviceFacts, probe
from trtbuild.errors import MissingPackage, StageError, UsageError

Bytes: TypeAlias = NDArray[np.uint8]
"""Host memory, one dimension of bytes: numpy exports no buffer of bfloat16 or float8."""


class Event(Protocol):
    """A point in a stream."""

    def record(self, stream: Any, /) -> Any: ...

    # Waits on the host; spinning or blocking, as the event was made.
    def synchronize(self) -> Any: ...

    # Milliseconds from `start` to this event; both are complete.
    def time_since(self, start: Any, /) -> float: ...


class Stream(Protocol):
    """A queue of work on the GPU."""

    @property
    def handle(self) -> int: ...

    def synchronize(self) -> None: ...

    # What is queued later waits for the event.
    def wait_for_event(self, event: Any, /) -> None: ...


class Memory(Protocol):
    """Memory on the GPU; freed with `free`, or with the last reference."""

    @property
    def address(self) -> int: ...

    @property
    def size(self) -> int: ...

    def free(self) -> None: ...


class Graph(Protocol):
    """A captured and instantiated CUDA graph."""

    def launch(self) -> None: ...  # on the stream that it was captured from

    def free(self) -> None: ...


class Device(Protocol):
    """One GPU, with its primary context retained; `close` releases it."""

    facts: DeviceFacts
    provider: str  # "pycuda 2026.1"

    # Makes the context current in this thread, and turns the provider's exceptions into CudaError.
    def current(self) -> AbstractContextManager[None]: ...

    # That turning alone, for who catches errors while the context is current.
    def converted(self) -> AbstractContextManager[None]: ...

    def stream(self) -> Stream: ...

    # `spin` waits by polling: quicker by some microseconds, and a core is busy.
    def event(self, *, spin: bool) -> Event: ...

    def memory(self, size: int) -> Memory: ...

    # Page-locked host memory, which alone can be copied beside other work.
    def pinned(self, size: int) -> Bytes: ...

    def copy_to_device(self, memory: Memory, source: Bytes, stream: Stream) -> None: ...

    def copy_to_host(self, target: Bytes, memory: Memory, stream: Stream) -> None: ...

    # What this thread queues on the stream from here on is recorded, not run.
    def begin_capture(self, stream: Stream) -> None: ...

    def end_capture(self, stream: Stream) -> Graph: ...

    # The stream rests for so long, as trtexec's --sleepTime.
    def sleep(self, stream: Stream, ms: float) -> None: ...

    def free_memory(self) -> int: ...

    def synchronize(self) -> None: ...

    def close(self) -> None: ...


PROVIDERS = ("pycuda", "cuda-python")


def open_device(ordinal: int = 0, provider: str | None = None) -> Device:
    """A GPU by its ordinal, through the named provider or the first of PROVIDERS that imports.

    Raises StageError where there is no such GPU, MissingPackage where no provider imports.
    """
    found = probe()
    if not found.devices:
        raise StageError(found.reason, hint="this needs a machine with an NVIDIA GPU")
    if not 0 <= ordinal < len(found.devices):
        count = len(found.devices)
        raise StageError(f"there is no GPU {ordinal}: {count} found, counted from 0")
    if provider is not None and provider not in PROVIDERS:
        raise UsageError(f"CUDA provider {provider!r} is none of {', '.join(PROVIDERS)}")
    reasons = []
    for name in (provider,) if provider else PROVIDERS:
        try:
            return _open(name, found.devices[ordinal])
        except ImportError as error:  # not installed, or built against other libraries
            reasons.append(f"{name}: {error}")
    raise MissingPackage(
        f"no CUDA provider can be imported ({'; '.join(reasons)})",
        hint="pip install 'trtbuild[gpu]' (PyCUDA, needs a compiler), or pip install cuda-bindings",
    )


def _open(name: str, facts: DeviceFacts) -> Device:
    if name == "pycuda":
        from trtbuild.cuda.pycuda import PyCudaDevice

        return PyCudaDevice(facts)
    from trtbuild.cuda.cuda_python import CudaPythonDevice

    return CudaPythonDevice(facts)
