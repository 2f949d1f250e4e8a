"""PyCUDA behind the device Protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pycuda
import pycuda.driver as cuda

from trtbuild.cuda import graphs
from trtbuild.cuda.device import Bytes, Event, Graph, Memory, Stream
from trtbuild.cuda.driver import Driver, load_driver
from trtbuild.cuda.errors import CudaError
from trtbuild.cuda.probe import DeviceFacts

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no implicit order with the default stream


class _Memory:
    """A PyCUDA allocation; PyCUDA frees it with its last reference too."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._allocation: Any = cuda.mem_alloc(max(size, 1))  # the driver refuses 0 bytes
        self.address = int(self._allocation)

    def free(self) -> None:
        if self._allocation is not None:
            self._allocation.free()
            self._allocation = None


class PyCudaDevice:
    """One GPU through PyCUDA; CUDA graphs by driver calls, since PyCUDA has none.

    The context is the primary one, which TensorRT and torch use too. PyCUDA aborts the process
    when a context is still pushed at exit, or at the end of a thread: `current` always pops.
    """

    def __init__(self, facts: DeviceFacts) -> None:
        self.facts = facts
        self.provider = f"pycuda {pycuda.VERSION_TEXT}"
        self._driver = cast("Driver", load_driver())  # it is there: facts came from it
        with self.converted():
            cuda.init()
            self._context: Any = cuda.Device(facts.ordinal).retain_primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        with self.converted():
            self._context.push()
            try:
                yield
            finally:
                cuda.Context.pop()

    @contextmanager
    def converted(self) -> Iterator[None]:
        try:
            yield
        except cuda.Error as error:
            call, _, text = str(error).partition(" failed: ")
            raise CudaError(call, self._driver.code_of(text), text or "unknown error") from error

    def stream(self) -> Stream:
        return cast("Stream", cuda.Stream(_NON_BLOCKING))

    def event(self, *, spin: bool) -> Event:
        flags = cuda.event_flags.DEFAULT if spin else cuda.event_flags.BLOCKING_SYNC
        return cast("Event", cuda.Event(flags))

    def memory(self, size: int) -> Memory:
        return _Memory(size)

    def pinned(self, size: int) -> Bytes:
        return cast("Bytes", cuda.pagelocked_empty(max(size, 1), np.uint8)[:size])

    def copy_to_device(self, memory: Memory, source: Bytes, stream: Stream) -> None:
        if source.size:
            cuda.memcpy_htod_async(memory.address, source, stream)

    def copy_to_host(self, target: Bytes, memory: Memory, stream: Stream) -> None:
        if target.size:
            cuda.memcpy_dtoh_async(target, memory.address, stream)

    def begin_capture(self, stream: Stream) -> None:
        graphs.begin_capture(self._driver, stream.handle)

    def end_capture(self, stream: Stream) -> Graph:
        return graphs.end_capture(self._driver, stream.handle)

    def sleep(self, stream: Stream, ms: float) -> None:
        graphs.sleep_on_stream(self._driver, stream.handle, ms)

    def free_memory(self) -> int:
        return int(cuda.mem_get_info()[0])

    def synchronize(self) -> None:
        cuda.Context.synchronize()

    def close(self) -> None:
        """Releases the primary context; what was made on this device is freed before."""
        if self._context is not None:
            with self.converted():
                self._context.detach()
            self._context = None
