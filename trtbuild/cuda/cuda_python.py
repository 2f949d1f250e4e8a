"""cuda-python (cuda.bindings) behind the device Protocol, for machines without a compiler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, cast

import numpy as np
from cuda.bindings import driver as cuda  # type: ignore[import-not-found,unused-ignore]

from trtbuild.cuda import graphs
from trtbuild.cuda.device import Bytes, Event, Graph, Memory, Stream
from trtbuild.cuda.driver import Driver, load_driver
from trtbuild.cuda.errors import CudaError
from trtbuild.cuda.probe import DeviceFacts

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_BLOCKING_SYNC = 1  # CU_EVENT_BLOCKING_SYNC


class _Failure(Exception):  # noqa: N818 - never leaves this module
    """A call returned an error; `Device.current` says it in the driver's words."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(call, code)
        self.call = call
        self.code = code


def _checked(call: str, result: tuple[Any, ...]) -> Any:
    """The value of a call's (CUresult, value...) tuple."""
    if result[0]:
        raise _Failure(call, int(result[0]))
    return result[1] if len(result) > 1 else None


class _Stream:
    def __init__(self) -> None:
        self.native = _checked("cuStreamCreate", cuda.cuStreamCreate(_NON_BLOCKING))
        self.handle = int(self.native)

    def synchronize(self) -> None:
        _checked("cuStreamSynchronize", cuda.cuStreamSynchronize(self.native))

    def wait_for_event(self, event: _Event) -> None:
        _checked("cuStreamWaitEvent", cuda.cuStreamWaitEvent(self.native, event.native, 0))

    def __del__(self) -> None:
        if hasattr(self, "native"):
            cuda.cuStreamDestroy(self.native)


class _Event:
    def __init__(self, flags: int) -> None:
        self.native = _checked("cuEventCreate", cuda.cuEventCreate(flags))

    def record(self, stream: _Stream) -> None:
        _checked("cuEventRecord", cuda.cuEventRecord(self.native, stream.native))

    def synchronize(self) -> None:
        _checked("cuEventSynchronize", cuda.cuEventSynchronize(self.native))

    def time_since(self, start: _Event) -> float:
        result = cuda.cuEventElapsedTime(start.native, self.native)
        return float(_checked("cuEventElapsedTime", result))

    def __del__(self) -> None:
        if hasattr(self, "native"):
            cuda.cuEventDestroy(self.native)


class _Memory:
    def __init__(self, size: int) -> None:
        self.size = size
        self.address = int(_checked("cuMemAlloc", cuda.cuMemAlloc(max(size, 1))))

    def free(self) -> None:
        address, self.address = self.address, 0
        if address:
            cuda.cuMemFree(address)  # where that fails something failed before, which says more

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            cuda.cuMemFree(self.address)


class _Pinned:
    """Page-locked memory as a buffer that numpy keeps alive."""

    def __init__(self, size: int) -> None:
        self._address = int(_checked("cuMemHostAlloc", cuda.cuMemHostAlloc(size, 0)))
        self.__array_interface__ = {
            "version": 3,
            "shape": (size,),
            "typestr": "|u1",
            "data": (self._address, False),
        }

    def __del__(self) -> None:
        if hasattr(self, "_address"):
            cuda.cuMemFreeHost(self._address)


class CudaPythonDevice:
    """One GPU through cuda.bindings, with its primary context."""

    def __init__(self, facts: DeviceFacts) -> None:
        self.facts = facts
        self.provider = f"cuda-python {version('cuda-bindings')}"
        self._driver = cast("Driver", load_driver())  # it is there: facts came from it
        self._retained = False
        with self.converted():
            _checked("cuInit", cuda.cuInit(0))
            self._native = _checked("cuDeviceGet", cuda.cuDeviceGet(facts.ordinal))
            self._context = _checked(
                "cuDevicePrimaryCtxRetain", cuda.cuDevicePrimaryCtxRetain(self._native)
            )
            self._retained = True

    @contextmanager
    def current(self) -> Iterator[None]:
        with self.converted():
            _checked("cuCtxPushCurrent", cuda.cuCtxPushCurrent(self._context))
            try:
                yield
            finally:
                cuda.cuCtxPopCurrent()

    @contextmanager
    def converted(self) -> Iterator[None]:
        try:
            yield
        except _Failure as error:
            text = self._driver.text_of(error.code)
            raise CudaError(error.call, error.code, text) from error

    def stream(self) -> Stream:
        return _Stream()

    def event(self, *, spin: bool) -> Event:
        return _Event(0 if spin else _BLOCKING_SYNC)

    def memory(self, size: int) -> Memory:
        return _Memory(size)

    def pinned(self, size: int) -> Bytes:
        return np.asarray(_Pinned(max(size, 1)))[:size]

    def copy_to_device(self, memory: Memory, source: Bytes, stream: Stream) -> None:
        if source.size:
            _checked(
                "cuMemcpyHtoDAsync",
                cuda.cuMemcpyHtoDAsync(
                    memory.address, source.ctypes.data, source.size, stream.handle
                ),
            )

    def copy_to_host(self, target: Bytes, memory: Memory, stream: Stream) -> None:
        if target.size:
            _checked(
                "cuMemcpyDtoHAsync",
                cuda.cuMemcpyDtoHAsync(
                    target.ctypes.data, memory.address, target.size, stream.handle
                ),
            )

    def begin_capture(self, stream: Stream) -> None:
        graphs.begin_capture(self._driver, stream.handle)

    def end_capture(self, stream: Stream) -> Graph:
        return graphs.end_capture(self._driver, stream.handle)

    def sleep(self, stream: Stream, ms: float) -> None:
        graphs.sleep_on_stream(self._driver, stream.handle, ms)

    def free_memory(self) -> int:
        result = cuda.cuMemGetInfo()
        _checked("cuMemGetInfo", result)
        return int(result[1])

    def synchronize(self) -> None:
        _checked("cuCtxSynchronize", cuda.cuCtxSynchronize())

    def close(self) -> None:
        """Releases the primary context; what was made on this device is freed before."""
        if self._retained:
            self._retained = False
            cuda.cuDevicePrimaryCtxRelease(self._native)
