"""libcuda through ctypes: facts without heavy imports, and the calls that PyCUDA lacks."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from functools import lru_cache
from typing import Any

from trtbuild.cuda.errors import CudaError

LIBRARY = "libcuda.so.1"
_HANDLE = c_void_p  # CUcontext, CUstream, CUevent, CUgraph, CUgraphExec

# Argument types of the calls used. ctypes would pass a bare int as 32 bits, which cuts a handle.
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDeviceTotalMem_v2": (POINTER(c_size_t), c_int),
    "cuDeviceGetUuid": (c_char_p, c_int),
    "cuDeviceGetUuid_v2": (c_char_p, c_int),
    "cuDeviceGetPCIBusId": (c_char_p, c_int, c_int),
    "cuStreamBeginCapture_v2": (_HANDLE, c_int),
    "cuStreamEndCapture": (_HANDLE, POINTER(_HANDLE)),
    "cuGraphInstantiateWithFlags": (POINTER(_HANDLE), _HANDLE, c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphDestroy": (_HANDLE,),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuLaunchHostFunc": (_HANDLE, c_void_p, c_void_p),
}


class Driver:
    """The calls of libcuda that trtbuild makes itself; each raises CudaError when it fails."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def __call__(self, name: str, *arguments: Any) -> None:
        code = self.function(name)(*arguments)
        if code:
            raise CudaError(name, code, self.text_of(code))

    def has(self, name: str) -> bool:
        """Whether this driver exports the call."""
        return hasattr(self._library, name)

    def function(self, name: str) -> Any:
        """The raw call, for loops that cannot afford a wrapper: it returns the CUresult."""
        function = getattr(self._library, name)
        function.argtypes = _SIGNATURES[name]
        function.restype = c_int
        return function

    def text_of(self, code: int) -> str:
        """The driver's own words for a CUresult, as `out of memory`."""
        text = c_char_p()
        if self.function("cuGetErrorString")(code, byref(text)) or not text.value:
            return "unknown error"
        return text.value.decode()

    def code_of(self, text: str) -> int:
        """The CUresult whose words these are; 0 where there is none (inverse of `text_of`)."""
        return next((code for code in range(1, 1000) if self.text_of(code) == text), 0)


@lru_cache(maxsize=1)
def load_driver() -> Driver | None:
    """The NVIDIA driver's library; None on a machine without one. Starts nothing."""
    try:
        return Driver(ctypes.CDLL(LIBRARY))
    except OSError:
        return None
