"""What an engine's inputs and outputs are, and how their values lie in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from trtbuild.errors import StageError
from trtbuild.recipe.model import Shape

Array: TypeAlias = NDArray[Any]
Ranges: TypeAlias = tuple[Shape, Shape, Shape]
"""The min, opt and max of one input in one optimization profile."""

_PACKED = ("int4", "float4_e2m1fn")  # two values in a byte: numpy has no array of them


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of an engine."""

    name: str
    is_input: bool
    dtype: str  # numpy's or ml_dtypes' name
    shape: Shape  # -1 where the dimension is dynamic
    on_host: bool  # TensorRT reads or writes it in host memory: its values are shapes


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor's values lie in its buffer (TensorFormat), for one shape.

    `strides` count elements of `components` values each (IExecutionContext.get_tensor_strides),
    `vectorised` is the dimension that those values are taken from. It is -1 where `components` is
    1, which does not make the buffer a C-contiguous array: HWC has no vectors, and channels last.
    """

    shape: Shape
    strides: Shape
    vectorised: int = -1
    components: int = 1

    @property
    def linear(self) -> bool:
        """Whether the buffer is the C-contiguous array itself."""
        if self.vectorised >= 0 or self.volume != math.prod(self.shape):
            return False
        return all(
            stride == inner or size <= 1
            for size, stride, inner in zip(
                self.shape, self.strides, contiguous_strides(self.shape), strict=True
            )
        )

    @property
    def counts(self) -> Shape:
        """How many elements there are along each dimension."""
        return tuple(
            -(-size // self.components) if axis == self.vectorised else size
            for axis, size in enumerate(self.shape)
        )

    @property
    def volume(self) -> int:
        """How many values the buffer has room for, padding included: after the last row too, since
        kernels write whole rows (sampleUtils.cpp counts so).
        """
        if 0 in self.shape:
            return 0
        extents = (count * stride for count, stride in zip(self.counts, self.strides, strict=True))
        return max(extents, default=1) * self.components


def contiguous_strides(shape: Shape) -> Shape:
    """The strides of a C-contiguous array, in values."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def pack(array: Array, layout: Layout) -> Array:
    """The values of `array` as they lie in the buffer, flat; padding is zero."""
    if layout.linear:
        return np.ascontiguousarray(array).reshape(-1)
    buffer = np.zeros(layout.volume, array.dtype)
    if array.size:
        _elements(buffer, layout)[...] = _split(array, layout)
    return buffer


def unpack(buffer: Array, layout: Layout) -> Array:
    """The array whose values lie in a flat buffer; never a view of it."""
    if layout.linear:
        return buffer[: layout.volume].reshape(layout.shape).copy()
    if layout.volume == 0:
        return np.zeros(layout.shape, buffer.dtype)
    elements = _elements(buffer, layout)
    if layout.vectorised < 0:
        return np.ascontiguousarray(elements[..., 0])
    axis = layout.vectorised
    together = np.moveaxis(elements, -1, axis + 1)
    padded = together.reshape(*layout.shape[:axis], -1, *layout.shape[axis + 1 :])
    return np.ascontiguousarray(padded.take(range(layout.shape[axis]), axis=axis))


def _elements(buffer: Array, layout: Layout) -> Array:
    """A writable view of the buffer: the counts of elements, then the components."""
    width = buffer.dtype.itemsize
    strides = tuple(stride * layout.components * width for stride in layout.strides)
    return np.lib.stride_tricks.as_strided(
        buffer, (*layout.counts, layout.components), (*strides, width)
    )


def _split(array: Array, layout: Layout) -> Array:
    """The array with its vectorised dimension cut into elements, components last."""
    if layout.vectorised < 0:
        return array[..., np.newaxis]
    axis, components = layout.vectorised, layout.components
    padding = [(0, 0)] * array.ndim
    padding[axis] = (0, -array.shape[axis] % components)
    padded = np.pad(array, padding)
    cut = padded.reshape(*array.shape[:axis], -1, components, *array.shape[axis + 1 :])
    return np.moveaxis(cut, axis + 1, -1)


def numpy_dtype(name: str, tensor: str) -> np.dtype[Any]:
    """numpy's type for a tensor's dtype; raises StageError for types smaller than a byte."""
    if name in _PACKED:
        raise StageError(
            f"tensor '{tensor}' is {name}: inputs and outputs of less than a byte cannot be given",
            hint="keep the model's inputs and outputs in another type: put a cast into the graph",
        )
    return np.dtype(getattr(ml_dtypes, name, name))


def fitted(array: Array, tensor: Tensor) -> Array:
    """The array in the tensor's own type.

    Floating-point values are rounded to the engine's type, as where a recipe's precision changes
    the types of inputs; any other difference of types is an error, as is one of rank.
    """
    wanted = numpy_dtype(tensor.dtype, tensor.name)
    if array.ndim != len(tensor.shape):
        raise StageError(
            f"input '{tensor.name}' has rank {array.ndim}, the engine wants {len(tensor.shape)}"
        )
    if array.dtype == wanted:
        return array
    if not (_is_float(array.dtype) and _is_float(wanted)):
        raise StageError(
            f"input '{tensor.name}' is {array.dtype.name}, the engine wants {tensor.dtype}",
            hint=f"give it as {tensor.dtype}",
        )
    return array.astype(wanted)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def shape_problems(shapes: Mapping[str, Shape], ranges: Mapping[str, Ranges]) -> tuple[str, ...]:
    """Why the shapes do not lie in a profile, a line per input; empty where they do."""
    problems = []
    for name, (low, _, high) in ranges.items():
        shape = shapes[name]
        if len(shape) != len(low):
            ranks = f"rank {len(shape)} instead of {len(low)}"
            problems.append(f"'{name}' is {list(shape)}, of {ranks}")
        elif not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            problems.append(f"'{name}' is {list(shape)}, from {list(low)} to {list(high)} is built")
    return tuple(problems)
