"""How values lie in an engine's buffers, and what is refused."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from trtbuild.errors import StageError
from trtbuild.trt.tensors import (
    Layout,
    Tensor,
    contiguous_strides,
    fitted,
    numpy_dtype,
    pack,
    shape_problems,
    unpack,
)


def tensor(dtype: str = "float32", rank: int = 2) -> Tensor:
    return Tensor("x", is_input=True, dtype=dtype, shape=(-1,) * rank, on_host=False)


def hwc8(shape: tuple[int, int, int, int]) -> Layout:
    """TensorFormat.HWC8: channels in vectors of 8, these innermost but one."""
    _, channels, height, width = shape
    vectors = -(-channels // 8)
    strides = (height * width * vectors, 1, width * vectors, vectors)
    return Layout(shape, strides, vectorised=1, components=8)


def chw4(shape: tuple[int, int, int, int]) -> Layout:
    """TensorFormat.CHW4: channels in vectors of 4, planes of them."""
    _, channels, height, width = shape
    vectors = -(-channels // 4)
    strides = (vectors * height * width, height * width, width, 1)
    return Layout(shape, strides, vectorised=1, components=4)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 3), (1, 1, 5)])
def test_linear_values_lie_as_the_array_itself(shape: tuple[int, ...]) -> None:
    layout = Layout(shape, contiguous_strides(shape))
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    flat = pack(array, layout)
    assert flat.shape == (array.size,)
    found = unpack(flat, layout)
    assert found.shape == shape
    assert np.array_equal(found, array)
    assert not np.shares_memory(found, flat)


def test_hwc8_puts_the_channels_of_a_pixel_side_by_side_and_pads_them() -> None:
    array = np.arange(1, 13, dtype=np.float16).reshape(1, 3, 2, 2)
    flat = pack(array, hwc8((1, 3, 2, 2)))
    assert flat.size == 4 * 8
    assert flat[:8].tolist() == [1, 5, 9, 0, 0, 0, 0, 0]  # pixel (0, 0)
    assert flat[24:].tolist() == [4, 8, 12, 0, 0, 0, 0, 0]  # pixel (1, 1)


def test_chw4_keeps_planes_of_four_channels() -> None:
    array = np.arange(1, 11, dtype=np.int8).reshape(1, 5, 1, 2)
    flat = pack(array, chw4((1, 5, 1, 2)))
    assert flat.tolist() == [1, 3, 5, 7, 2, 4, 6, 8, 9, 0, 0, 0, 10, 0, 0, 0]


@pytest.mark.parametrize("layout", [hwc8((2, 11, 3, 5)), chw4((2, 11, 3, 5)), chw4((2, 8, 3, 5))])
def test_vectorised_values_come_back_as_they_were(layout: Layout) -> None:
    array = np.random.default_rng(0).normal(size=layout.shape).astype(np.float16)
    assert np.array_equal(unpack(pack(array, layout), layout), array)


def test_channels_last_without_vectors_comes_back_as_it_was() -> None:
    layout = Layout((2, 3, 4, 5), (60, 1, 15, 3))  # TensorFormat.HWC
    array = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    flat = pack(array, layout)
    assert np.array_equal(flat, array.transpose(0, 2, 3, 1).reshape(-1))
    assert np.array_equal(unpack(flat, layout), array)


def test_floats_are_rounded_to_the_engines_type_and_nothing_else_is() -> None:
    halves = fitted(np.array([[1.0, 2.5]], np.float32), tensor("bfloat16"))
    assert halves.dtype == np.dtype(ml_dtypes.bfloat16)
    with pytest.raises(StageError, match="input 'x' is int32, the engine wants int64"):
        fitted(np.zeros((1, 2), np.int32), tensor("int64"))
    with pytest.raises(StageError, match="input 'x' is float32, the engine wants int8"):
        fitted(np.zeros((1, 2), np.float32), tensor("int8"))


def test_another_rank_is_refused() -> None:
    with pytest.raises(StageError, match="'x' has rank 1, the engine wants 2"):
        fitted(np.zeros(3, np.float32), tensor())


def test_types_below_a_byte_are_refused_by_name() -> None:
    assert numpy_dtype("float8_e4m3fn", "x") == np.dtype(ml_dtypes.float8_e4m3fn)
    with pytest.raises(StageError, match="tensor 'x' is int4"):
        numpy_dtype("int4", "x")


def test_each_input_outside_the_profile_is_named_with_its_range() -> None:
    ranges = {"a": ((1, 8), (4, 8), (8, 8)), "b": ((1,), (1,), (1,))}
    assert shape_problems({"a": (8, 8), "b": (1,)}, ranges) == ()
    assert shape_problems({"a": (9, 8), "b": (2,)}, ranges) == (
        "'a' is [9, 8], from [1, 8] to [8, 8] is built",
        "'b' is [2], from [1] to [1] is built",
    )
