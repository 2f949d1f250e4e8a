"""CUDA graphs and sleeping streams by driver calls, for providers that have none (PyCUDA)."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p

from trtbuild.cuda.driver import Driver
from trtbuild.cuda.errors import CudaError

# Other threads may go on making CUDA calls while this one captures.
_THREAD_LOCAL = 1


class DriverGraph:
    """An instantiated graph, launched on the stream that it was captured from."""

    def __init__(self, driver: Driver, executable: c_void_p, stream: int) -> None:
        self._driver = driver
        self._launch = driver.function("cuGraphLaunch")
        self._executable = executable
        self._stream = c_void_p(stream)

    def launch(self) -> None:
        """Queues the graph; raises CudaError."""
        code = self._launch(self._executable, self._stream)
        if code:
            raise CudaError("cuGraphLaunch", code, self._driver.text_of(code))

    def free(self) -> None:
        """Destroys the executable; it must not be running.

        Never raises: where that fails something failed before, which says more.
        """
        self._driver.function("cuGraphExecDestroy")(self._executable)


def begin_capture(driver: Driver, stream: int) -> None:
    """Records instead of running what this thread queues on the stream."""
    driver("cuStreamBeginCapture_v2", c_void_p(stream), _THREAD_LOCAL)


def end_capture(driver: Driver, stream: int) -> DriverGraph:
    """The graph of what was recorded; raises CudaError where something could not be captured."""
    graph = c_void_p()
    driver("cuStreamEndCapture", c_void_p(stream), byref(graph))
    executable = c_void_p()
    try:
        driver("cuGraphInstantiateWithFlags", byref(executable), graph, 0)
    finally:
        driver("cuGraphDestroy", graph)
    return DriverGraph(driver, executable, stream)


def sleep_on_stream(driver: Driver, stream: int, ms: float) -> None:
    """Queues a pause of `ms` milliseconds.

    The host function is libc's usleep itself, so that the driver's thread never waits for
    Python's interpreter lock: a loop that spins would hold it.
    """
    usleep = ctypes.cast(ctypes.CDLL(None).usleep, c_void_p)
    driver("cuLaunchHostFunc", c_void_p(stream), usleep, c_void_p(int(ms * 1000)))
