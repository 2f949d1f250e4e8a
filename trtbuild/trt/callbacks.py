"""The classes that TensorRT calls back; their bases are known only once a backend is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trtbuild.cuda.device import Device, Memory


def output_allocator(module: Any, device: Device) -> Any:
    """An IOutputAllocator for one output; afterwards it has `.memory` and `.shape`."""
    base: Any = module.IOutputAllocator

    class OutputAllocator(base):  # type: ignore[misc] # see the module
        """Gives TensorRT the memory that it asks for, and keeps it."""

        def __init__(self) -> None:
            super().__init__()
            self.memory: Memory | None = None
            self.shape: tuple[int, ...] = ()

        # An exception must not pass through TensorRT: address 0 says that there is no memory.
        def reallocate_output_async(
            self, _name: str, _memory: int, size: int, _alignment: int, _stream: int
        ) -> int:
            try:
                if self.memory is None or self.memory.size < size:
                    self.memory = device.memory(size)
            except Exception:
                return 0
            return self.memory.address

        def notify_shape(self, _name: str, shape: Any) -> None:
            self.shape = tuple(int(size) for size in shape)

    return OutputAllocator()


def profiler(module: Any, report: Callable[[str, float], None]) -> Any:
    """An IProfiler that passes on each layer's name and milliseconds."""
    base: Any = module.IProfiler

    class Profiler(base):  # type: ignore[misc] # see the module
        """Passes on what TensorRT reports after each inference."""

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            report(layer_name, ms)

    return Profiler()
