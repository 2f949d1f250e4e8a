"""Arrays in and out of an execution context whose tensors lie in memory as their formats say.

The context and the GPU are stand-ins: memory is this process's own, and an inference finds
its tensors there by address and strides, as a kernel does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from trtbuild.errors import StageError
from trtbuild.trt.session import Session
from trtbuild.trt.tensors import Array, Tensor

FORMATS = SimpleNamespace(LINEAR=SimpleNamespace(name="LINEAR"), HWC=SimpleNamespace(name="HWC"))
STREAM = SimpleNamespace(handle=0, synchronize=lambda: None)


class Memory:
    at: ClassVar[dict[int, Memory]] = {}

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = np.full(max(size, 1), 0xFF, np.uint8)
        self.address = self.bytes.ctypes.data
        self.at[self.address] = self

    def free(self) -> None:
        self.address = 0


class Host:
    """A device whose memory is the host's."""

    facts = SimpleNamespace(name="host")
    memory = Memory

    def pinned(self, size: int) -> Any:
        return np.zeros(size, np.uint8)

    def copy_to_device(self, memory: Memory, source: Any, _: Any) -> None:
        memory.bytes[: source.size] = source

    def copy_to_host(self, target: Any, memory: Memory, _: Any) -> None:
        target[:] = memory.bytes[: target.size]


class Context:
    """An execution context of inputs and one output `y`, by the strides of their formats.

    The output has the shape of `x`, the first input. As in TensorRT there are no strides before
    the shapes of all inputs are set.
    """

    active_optimization_profile = 0

    def __init__(
        self,
        strides: dict[str, Callable[..., tuple[int, ...]]],
        kernel: Callable[..., Array] = lambda values: values,
        components: int = 1,
    ) -> None:
        self.strides, self.kernel, self.components = strides, kernel, components
        self.inputs = [name for name in strides if name != "y"]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.aliases: dict[str, str] = {}  # output -> the input whose memory it updates
        self.allocator: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes["x"]

    def form(self, name: str) -> Any:
        return FORMATS.LINEAR if self.strides[name] is chw else FORMATS.HWC

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return self.shape

    def get_tensor_strides(self, name: str) -> tuple[int, ...]:
        if len(self.shapes) < len(self.inputs):
            raise RuntimeError(f"Could not get strides for tensor '{name}'")
        return self.strides[name](*self.shapes.get(name, self.shape))

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, _: int) -> bool:
        given = [self._at(name, self.shapes[name]) for name in self.inputs]
        self._at("y", self.shape)[...] = self.kernel(*given)
        return True

    def _at(self, name: str, shape: tuple[int, ...]) -> Any:
        """The tensor where its address and strides say; vectors are whole, so nothing is padded."""
        steps = [4 * stride * self.components for stride in self.strides[name](*shape)]
        if self.components > 1:  # a step over dimension 1 is one of the vector's values
            assert shape[1] == self.components
            steps[1] = 4
        # Raises where the memory is too small for them.
        return np.ndarray(shape, np.float32, Memory.at[self.addresses[name]].bytes, strides=steps)


def session(context: Any, rank: int = 4) -> Session:
    def tensor(name: str, is_input: bool) -> Tensor:
        return Tensor(name, is_input, "float32", (-1,) * rank, on_host=False)

    vectorised = context.components > 1
    inputs = tuple(tensor(name, True) for name in context.inputs)
    outputs = (tensor("y", False),)
    engine: Any = SimpleNamespace(
        native=SimpleNamespace(
            get_tensor_vectorized_dim=lambda *_: 1 if vectorised else -1,
            get_tensor_components_per_element=lambda *_: context.components if vectorised else -1,
            get_tensor_format=lambda name, _: context.form(name),
        ),
        device=Host(),
        inputs=inputs,
        outputs=outputs,
        tensors=inputs + outputs,
        aliased_input=lambda output: context.aliases.get(output.name),
        ranges=lambda _: dict.fromkeys(context.inputs, ((0,) * rank, (1,) * rank, (99,) * rank)),
        path=Path("engine.plan"),
        flavour=SimpleNamespace(module=SimpleNamespace(TensorFormat=FORMATS)),
    )
    stream: Any = STREAM
    return Session(engine, context, stream)


def chw(*shape: int) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def hwc(_: int, channels: int, height: int, width: int) -> tuple[int, ...]:
    return height * width * channels, 1, width * channels, channels


def dhwc(_: int, channels: int, *sizes: int) -> tuple[int, ...]:
    depth, height, width = (math.prod(sizes[axis:]) * channels for axis in range(3))
    return depth, 1, height, width, channels


def padded_rows(_: int, channels: int, height: int, width: int) -> tuple[int, ...]:
    row = -(-width // 8) * 8
    return channels * height * row, height * row, row, 1


def hwc4(_: int, __: int, height: int, width: int) -> tuple[int, ...]:
    return height * width, 1, width, 1  # elements of four values each


def values(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("x", [chw, hwc, padded_rows], ids=lambda form: form.__name__)
@pytest.mark.parametrize("y", [chw, hwc, padded_rows], ids=lambda form: form.__name__)
def test_values_lie_by_the_strides_of_each_tensor_at_every_shape(x: Any, y: Any) -> None:
    made = session(Context({"x": x, "y": y}, kernel=lambda found: found * 2))
    for shape in ((2, 3, 4, 5), (1, 3, 2, 2), (5, 1, 1, 7), (0, 3, 4, 5)):
        given = values(*shape)
        assert np.array_equal(made.run({"x": given})["y"], given * 2)


@pytest.mark.parametrize("x", [chw, hwc, padded_rows], ids=lambda form: form.__name__)
@pytest.mark.parametrize("w", [chw, hwc, padded_rows], ids=lambda form: form.__name__)
def test_strides_are_asked_for_once_the_shapes_of_all_inputs_are_set(x: Any, w: Any) -> None:
    made = session(Context({"x": x, "w": w, "y": hwc}, kernel=lambda x, w: x + w.sum()))
    for shape in ((2, 3, 4, 5), (1, 3, 2, 2)):
        given, weights = values(*shape), values(3, 2, 4, 4)
        found = made.run({"x": given, "w": weights})["y"]
        assert np.allclose(found, given + weights.sum(), atol=1e-5)


def test_channels_last_is_what_the_engine_gets() -> None:
    context = Context({"x": hwc, "y": chw})
    made = session(context)
    given = values(2, 3, 4, 5)
    made.run({"x": given})
    raw = Memory.at[context.addresses["x"]].bytes.view(np.float32)
    assert np.array_equal(raw, given.transpose(0, 2, 3, 1).reshape(-1))


def test_volumes_with_channels_last_come_back_as_they_were() -> None:
    given = values(2, 3, 2, 4, 5)
    made = session(Context({"x": dhwc, "y": dhwc}), rank=5)
    assert np.array_equal(made.run({"x": given})["y"], given)


def test_strides_of_vectors_count_vectors() -> None:
    given = values(2, 4, 3, 5)
    made = session(Context({"x": hwc4, "y": hwc4}, components=4))
    assert np.array_equal(made.run({"x": given})["y"], given)


def test_a_scalar_has_no_strides() -> None:
    made = session(Context({"x": chw, "y": chw}), rank=0)
    given = np.array(3.5, np.float32)
    assert made.run({"x": given})["y"] == given


def test_buffers_hold_the_padding_of_the_last_row_too() -> None:
    context = Context({"x": padded_rows, "y": padded_rows})
    made = session(context)
    made.prepare({"x": values(1, 1, 2, 5)})
    sizes = {name: buffer.needed.size for name, buffer in made._buffers.items()}
    assert sizes == {"x": 2 * 8 * 4, "y": 2 * 8 * 4}


def test_an_output_that_updates_an_input_is_bound_to_its_memory() -> None:
    context = Context({"x": chw, "w": chw, "y": chw}, kernel=lambda x, w: x + w)
    context.aliases = {"y": "x"}
    made = session(context)
    for shape in ((2, 3, 4, 5), (1, 3, 2, 2), (5, 3, 4, 5)):
        given, added = values(*shape), np.ones(shape, np.float32)
        assert np.allclose(made.run({"x": given, "w": added})["y"], given + 1)
        assert context.addresses["y"] == context.addresses["x"] != context.addresses["w"]


class Undecided(Context):
    """The data decides the first size of `y`: there are no strides of it."""

    def get_tensor_shape(self, _: str) -> tuple[int, ...]:
        return (-1, *self.shape[1:])

    def get_tensor_strides(self, name: str) -> tuple[int, ...]:
        assert name != "y"
        return super().get_tensor_strides(name)

    def set_output_allocator(self, _: str, allocator: Any) -> bool:
        self.allocator = allocator
        return True

    def execute_async_v3(self, _: int) -> bool:
        shape = (1, *self.shape[1:])
        size = math.prod(shape) * 4
        self.addresses["y"] = self.allocator.reallocate_output_async("y", 0, size, 256, 0)
        self._at("y", shape)[...] = self._at("x", self.shape)[:1]
        self.allocator.notify_shape("y", shape)
        return True


def undecided(form: Any) -> Session:
    made = session(Undecided({"x": hwc, "y": form}))
    module: Any = made.engine.flavour.module
    module.IOutputAllocator = object
    return made


def test_an_output_whose_shape_the_data_decides_is_linear() -> None:
    given = values(2, 3, 4, 5)
    assert np.array_equal(undecided(chw).run({"x": given})["y"], given[:1])


def test_another_format_of_such_an_output_is_refused_by_name() -> None:
    with pytest.raises(StageError, match=r"output 'y' .* in the format HWC") as caught:
        undecided(hwc).prepare({"x": values(2, 3, 4, 5)})
    assert "io_formats" in caught.value.hint
