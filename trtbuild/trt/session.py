"""One execution context of an engine: shapes set, buffers bound, ready to be enqueued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trtbuild.cuda.device import Bytes, Device, Memory, Stream
from trtbuild.errors import StageError
from trtbuild.recipe.model import Shape
from trtbuild.trt.engine import Engine, require_shapes
from trtbuild.trt.tensors import (
    Array,
    Layout,
    Tensor,
    contiguous_strides,
    fitted,
    numpy_dtype,
    pack,
    unpack,
)


class _Buffer:
    """The memory of one tensor, pinned on the host and on the GPU; grows and never shrinks."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._pinned = device.pinned(0)
        self.memory: Memory | None = None
        self.host = self._pinned  # the part in use

    def resize_host(self, size: int) -> None:
        if size > self._pinned.size:
            self._pinned = self._device.pinned(size)
        self.host = self._pinned[:size]

    def resize(self, size: int) -> None:
        self.resize_host(size)
        if self.memory is None or self.memory.size < size:
            if self.memory is not None:
                self.memory.free()
            self.memory = self._device.memory(size)

    @property
    def needed(self) -> Memory:
        """The memory on the GPU; `resize` has made it."""
        assert self.memory is not None  # noqa: S101 - said above
        return self.memory


class Session:
    """One execution context with its buffers; used while the engine's device is current.

    `prepare` sets shapes and inputs. Then, any number of times, `copy_in`, `enqueue` and, after
    `settle`, `copy_out`; and `outputs` once the stream is synchronised.
    """

    def __init__(self, engine: Engine, native: Any, stream: Stream, profile: int = 0) -> None:
        self.engine = engine
        self.native = native
        self.stream = stream
        self.profile = profile
        self._buffers = {t.name: _Buffer(engine.device) for t in engine.tensors if not t.on_host}
        self._on_host: dict[str, Array] = {}  # TensorRT holds their addresses
        self._layouts: dict[str, Layout] = {}
        self._allocators: dict[str, Any] = {}  # of outputs whose shape the data decides
        self._sent: list[tuple[Memory, Bytes]] = []
        self._received: list[tuple[Bytes, Memory]] = []
        if native.active_optimization_profile != profile:
            if not native.set_optimization_profile_async(profile, stream.handle):
                raise engine.failure(f"optimization profile {profile} cannot be used")
            stream.synchronize()

    def prepare(self, inputs: Mapping[str, Array]) -> None:
        """Sets the shapes of the inputs and fills their pinned buffers; makes room for outputs.

        Raises StageError for missing or unknown inputs, and for shapes outside the profile.
        """
        arrays = self._checked(inputs)
        for tensor in self.engine.inputs:
            self._set_shape(tensor, arrays[tensor.name])
        for tensor in self.engine.inputs:  # TensorRT knows no strides before all shapes are set
            self._fill(tensor, arrays[tensor.name])
        try:
            lacking = self.native.infer_shapes()
        except RuntimeError as error:
            raise self.engine.failure("the shapes of the outputs cannot be inferred") from error
        if lacking:
            raise self.engine.failure(f"TensorRT wants shapes or values of {', '.join(lacking)}")
        for tensor in self.engine.outputs:
            self._set_output(tensor)
        buffers = (self._buffers[t.name] for t in self.engine.inputs if not t.on_host)
        self._sent = [(buffer.needed, buffer.host) for buffer in buffers]

    def copy_in(self, stream: Stream) -> None:
        """Queues the copies of all inputs to the GPU."""
        copy = self.engine.device.copy_to_device
        for memory, host in self._sent:
            copy(memory, host, stream)

    def enqueue(self) -> None:
        """Queues one inference; raises StageError with what TensorRT said."""
        if not self.native.execute_async_v3(self.stream.handle):
            raise self.engine.failure("the inference could not be queued")

    def settle(self) -> None:
        """Waits for the inference where the data decides the shape of an output; finds them all."""
        if self._allocators:
            self.stream.synchronize()
        self._received = []
        for tensor in self.engine.outputs:
            if tensor.on_host:
                continue
            buffer = self._buffers[tensor.name]
            if tensor.name in self._allocators:
                self._take_over(tensor, buffer)
            self._received.append((buffer.host, buffer.needed))

    def copy_out(self, stream: Stream) -> None:
        """Queues the copies of all outputs to the host."""
        copy = self.engine.device.copy_to_host
        for host, memory in self._received:
            copy(host, memory, stream)

    def outputs(self) -> dict[str, Array]:
        """The outputs by name, in the engine's types; the stream is synchronised."""
        found = {}
        for tensor in self.engine.outputs:
            dtype = numpy_dtype(tensor.dtype, tensor.name)
            if tensor.on_host:
                found[tensor.name] = self._on_host[tensor.name].copy()
                continue
            values = self._buffers[tensor.name].host.view(dtype)
            found[tensor.name] = unpack(values, self._layouts[tensor.name])
        return found

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One inference from arrays to arrays; raises as `prepare` and `enqueue`."""
        self.prepare(inputs)
        self.copy_in(self.stream)
        self.enqueue()
        self.settle()
        self.copy_out(self.stream)
        self.stream.synchronize()
        return self.outputs()

    def _checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        names = [tensor.name for tensor in self.engine.inputs]
        if missing := [name for name in names if name not in inputs]:
            raise StageError(f"the engine wants the inputs {', '.join(missing)} too")
        if unknown := [name for name in inputs if name not in names]:
            raise StageError(
                f"the engine has no inputs {', '.join(unknown)}", hint=f"it has {', '.join(names)}"
            )
        arrays = {t.name: fitted(inputs[t.name], t) for t in self.engine.inputs}
        shapes = {name: array.shape for name, array in arrays.items()}
        require_shapes(self.engine, shapes, self.profile)
        return arrays

    def _set_shape(self, tensor: Tensor, array: Array) -> None:
        if not self.native.set_input_shape(tensor.name, tuple(array.shape)):
            raise self.engine.failure(f"input '{tensor.name}' cannot be {list(array.shape)}")

    def _fill(self, tensor: Tensor, array: Array) -> None:
        if tensor.on_host:
            self._bind_host(tensor, np.ascontiguousarray(array))
            return
        layout = self._layout(tensor, array.shape)
        flat = pack(array, layout).view(np.uint8)
        buffer = self._buffers[tensor.name]
        buffer.resize(flat.size)
        buffer.host[:] = flat
        self._bind(tensor.name, buffer.needed.address)

    def _set_output(self, tensor: Tensor) -> None:
        shape = tuple(int(size) for size in self.native.get_tensor_shape(tensor.name))
        if -1 in shape:
            self._allocate_later(tensor)
            return
        if tensor.on_host:
            self._bind_host(tensor, np.zeros(shape, numpy_dtype(tensor.dtype, tensor.name)))
            return
        self._layouts[tensor.name] = self._layout(tensor, shape)
        buffer = self._buffers[tensor.name]
        if (shared := self.engine.aliased_input(tensor)) is not None:
            buffer.resize_host(self._size(tensor, shape))
            buffer.memory = self._buffers[shared].memory
        else:
            buffer.resize(self._size(tensor, shape))
        self._bind(tensor.name, buffer.needed.address)

    def _allocate_later(self, tensor: Tensor) -> None:
        """Lets TensorRT ask for the output's memory once the data has decided its shape."""
        from trtbuild.trt.callbacks import output_allocator

        self._require_linear(tensor)
        if tensor.name not in self._allocators:
            self._allocators[tensor.name] = output_allocator(
                self.engine.flavour.module, self.engine.device
            )
        if not self.native.set_output_allocator(tensor.name, self._allocators[tensor.name]):
            raise self.engine.failure(f"output '{tensor.name}' cannot be allocated while it runs")

    def _bind(self, name: str, address: int) -> None:
        if not self.native.set_tensor_address(name, address):
            raise self.engine.failure(f"tensor '{name}' cannot be bound")

    def _bind_host(self, tensor: Tensor, array: Array) -> None:
        # An array without values has no address of its own that TensorRT would take.
        self._on_host[tensor.name] = array
        self._bind(tensor.name, array.ctypes.data)

    def _take_over(self, tensor: Tensor, buffer: _Buffer) -> None:
        """Makes the memory that TensorRT asked for the output's own."""
        allocator = self._allocators[tensor.name]
        self._layouts[tensor.name] = self._layout(tensor, allocator.shape)
        size = self._size(tensor, allocator.shape)
        if allocator.memory is None:  # it asked for none, the output being empty
            buffer.resize(size)
        else:
            buffer.resize_host(size)
            buffer.memory = allocator.memory

    def _layout(self, tensor: Tensor, shape: Shape) -> Layout:
        native = self.engine.native
        axis = int(native.get_tensor_vectorized_dim(tensor.name, self.profile))
        if axis < 0:
            return Layout(shape, self._strides(tensor, shape))
        components = int(native.get_tensor_components_per_element(tensor.name, self.profile))
        return Layout(shape, self._strides(tensor, shape), axis, components)

    def _strides(self, tensor: Tensor, shape: Shape) -> Shape:
        """The strides in elements, for the shapes that are set.

        A linear tensor is contiguous by definition, and TensorRT has no strides for those whose
        shape the data decides.
        """
        if self._is_linear(tensor):
            return contiguous_strides(shape)
        return tuple(int(stride) for stride in self.native.get_tensor_strides(tensor.name))

    def _format(self, tensor: Tensor) -> Any:
        return self.engine.native.get_tensor_format(tensor.name, self.profile)

    def _is_linear(self, tensor: Tensor) -> bool:
        return bool(self._format(tensor) == self.engine.flavour.module.TensorFormat.LINEAR)

    def _require_linear(self, tensor: Tensor) -> None:
        if not self._is_linear(tensor):
            raise StageError(
                f"output '{tensor.name}' has a shape that the data decides, in the format "
                f"{self._format(tensor).name}: its values cannot be read",
                where=str(self.engine.path),
                hint="leave it out of `io_formats`, so that it is linear, and build again",
            )

    def _size(self, tensor: Tensor, shape: Shape) -> int:
        width = numpy_dtype(tensor.dtype, tensor.name).itemsize
        return self._layout(tensor, shape).volume * width
