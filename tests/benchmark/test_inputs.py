from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from trtbuild.benchmark.inputs import input_from_file, random_input
from trtbuild.errors import StageError
from trtbuild.trt.tensors import Tensor


def tensor(dtype: str, name: str = "x") -> Tensor:
    return Tensor(name, is_input=True, dtype=dtype, shape=(-1, 4), on_host=False)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", -1, 1),
        ("float16", -1, 1),
        ("bfloat16", -1, 1),
        ("int8", -128, 127),
        ("int64", -128, 127),
        ("uint8", 0, 255),
        ("bool", 0, 1),
    ],
)
def test_random_values_fill_trtexecs_range_of_each_type(dtype: str, low: int, high: int) -> None:
    values = random_input(tensor(dtype), (256, 64), seed=0)
    assert values.dtype.name == dtype
    wide = values.astype(np.float64)
    assert low <= wide.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < wide.max() <= high


def test_the_same_seed_gives_the_same_values_and_another_input_gives_others() -> None:
    first = random_input(tensor("float32"), (8, 4), seed=3)
    assert np.array_equal(first, random_input(tensor("float32"), (8, 4), seed=3))
    assert not np.array_equal(first, random_input(tensor("float32"), (8, 4), seed=4))
    assert not np.array_equal(first, random_input(tensor("float32", "y"), (8, 4), seed=3))


def test_a_range_of_the_recipe_is_kept_and_its_upper_end_left_out() -> None:
    values = random_input(tensor("int64"), (1000, 4), seed=0, span=(0, 10))
    assert (values.min(), values.max()) == (0, 9)


def test_a_scalar_can_be_random() -> None:
    scalar = Tensor("s", is_input=True, dtype="float32", shape=(), on_host=False)
    assert random_input(scalar, (), seed=0).shape == ()


def test_raw_bytes_are_read_in_the_engines_type(tmp_path: Path) -> None:
    values = np.arange(8).reshape(2, 4).astype(ml_dtypes.bfloat16)
    values.tofile(tmp_path / "x.raw")
    found = input_from_file(tmp_path / "x.raw", tensor("bfloat16"), (2, 4))
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_types_that_npy_has_no_name_for_are_read_in_the_engines(tmp_path: Path, dtype: str) -> None:
    values = np.arange(8).reshape(2, 4).astype(getattr(ml_dtypes, dtype))
    np.save(tmp_path / "x.npy", values)
    found = input_from_file(tmp_path / "x.npy", tensor(dtype), (2, 4))
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


@pytest.mark.parametrize("kind", [np.dtype("V2"), np.dtype([("a", np.int8), ("b", np.float32)])])
def test_a_type_without_a_name_of_another_size_is_refused(
    tmp_path: Path, kind: np.dtype[np.void]
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 4), kind))
    said = rf"'x' has values of {kind.itemsize} bytes .* float32 has 4"
    with pytest.raises(StageError, match=said) as caught:
        input_from_file(tmp_path / "x.npy", tensor("float32"), (2, 4))
    assert caught.value.where == str(tmp_path / "x.npy")


def test_a_raw_file_of_the_wrong_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(bytes(10))
    with pytest.raises(
        StageError, match=r"'x' has 10 bytes in this file, \[2, 4\] of float32 is 32"
    ):
        input_from_file(tmp_path / "x.raw", tensor("float32"), (2, 4))


def test_an_npy_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(StageError, match=r"'x' is \[3, 4\] in this file, \[2, 4\] is measured"):
        input_from_file(tmp_path / "x.npy", tensor("float32"), (2, 4))


def test_a_damaged_npy_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00rubbish")
    with pytest.raises(StageError, match="'x' cannot be read"):
        input_from_file(tmp_path / "x.npy", tensor("float32"), (2, 4))


def test_a_pickle_in_an_npy_file_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object))
    with pytest.raises(StageError, match="'x' cannot be read"):
        input_from_file(tmp_path / "x.npy", tensor("float32"), (2, 4))


@pytest.mark.parametrize("content", ["archive", "damaged", "empty"])
def test_what_is_called_npy_and_is_none_is_refused_with_what_to_write(
    tmp_path: Path, content: str
) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 4), np.float32))
    archive = (tmp_path / "x.npz").read_bytes()
    named = tmp_path / "x.npy"
    named.write_bytes({"archive": archive, "damaged": archive[:20], "empty": b""}[content])
    with pytest.raises(StageError, match="'x' cannot be read") as caught:
        input_from_file(named, tensor("float32"), (2, 4))
    assert caught.value.where == str(named)
    assert "numpy.save" in caught.value.hint
