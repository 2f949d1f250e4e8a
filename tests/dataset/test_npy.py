"""Datasets made of folders of .npy files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dataset.reading import declared, error, joined, read, save
from trtbuild.recipe.dataset_section import samples_in

NPY = {"kind": "npy", "npy": "data"}
X = declared("x", 3)


def test_npy_files_are_samples_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in (("b", 2), ("a", 1), ("c/d", 3)):
        save(tmp_path / f"data/{name}.npy", np.full(3, value, np.float32))
    (tmp_path / "data/notes.txt").write_text("no sample")
    (tmp_path / "data/c/d.npy").rename(tmp_path / "data/c.npy")
    batches = read(tmp_path, NPY, X)
    assert [len(batch.inputs["x"]) for batch in batches] == [2, 1]
    assert joined(batches, "x")[:, 0].tolist() == [1, 2, 3]


def test_the_order_is_shuffled_by_the_seed_and_samples_are_then_the_first_of_it(
    tmp_path: Path,
) -> None:
    for index in range(9):
        save(tmp_path / f"data/{index}.npy", np.full(3, index, np.float32))
    shuffled = {**NPY, "order": "shuffle", "seed": 3}
    first = joined(read(tmp_path, shuffled, X), "x")[:, 0].tolist()
    assert first != sorted(first)
    assert sorted(first) == list(range(9))
    assert joined(read(tmp_path, shuffled, X, samples=4), "x")[:, 0].tolist() == first[:4]
    other = joined(read(tmp_path, {**shuffled, "seed": 4}, X), "x")[:, 0].tolist()
    assert other != first


def test_folders_hold_the_files_of_each_input_and_of_labels(tmp_path: Path) -> None:
    for index in range(2):
        save(tmp_path / f"data/x/{index}.npy", np.full((1, 3), index, np.float32))
        save(tmp_path / f"data/y/{index}.npy", np.full(2, index + 10, np.int32))
        save(tmp_path / f"data/label/{index}.npy", np.array(index))
    (batch,) = read(tmp_path, NPY, X, declared("y", 2, dtype="int32"))
    assert batch.inputs["x"].tolist() == [[0] * 3, [1] * 3]
    assert batch.inputs["y"].tolist() == [[10] * 2, [11] * 2]
    assert batch.extras["label"].tolist() == [0, 1]


def test_a_sample_that_an_input_lacks_is_named(tmp_path: Path) -> None:
    save(tmp_path / "data/x/0.npy", np.zeros(3, np.float32))
    save(tmp_path / "data/x/1.npy", np.zeros(3, np.float32))
    save(tmp_path / "data/y/0.npy", np.zeros(3, np.float32))
    assert (
        error(tmp_path, NPY, X, declared("y", 3)).what == "sample '1.npy' is not in the folder 'y'"
    )


def test_the_input_must_be_named_where_there_are_several(tmp_path: Path) -> None:
    save(tmp_path / "data/0.npy", np.zeros(3, np.float32))
    found = error(tmp_path, NPY, X, declared("mask", 3))
    assert "`input:` with one of x, mask" in found.hint
    found = error(tmp_path, {**NPY, "input": "maks"}, X, declared("mask", 3))
    assert found.what == "the dataset is for 'maks', which is no input (did you mean 'mask'?)"


def test_an_input_is_left_for_the_files(tmp_path: Path) -> None:
    save(tmp_path / "data/0.npy", np.zeros(3, np.float32))
    state = {"name": "h", "dtype": "float32", "min": [2], "opt": [2], "max": [2]}
    found = error(tmp_path, {**NPY, "fill": {"x": 1, "h": 1}}, X, state)
    assert found.what.startswith("`fill` gives every input a number")
    found = error(tmp_path, {**NPY, "input": "h", "fill": {"h": 1}}, X, state)
    assert found.what == "the dataset is for input 'h', which `fill` gives a number"


def test_inputs_of_one_shape_can_be_filled_with_a_number(tmp_path: Path) -> None:
    save(tmp_path / "data/0.npy", np.ones(3, np.float32))
    state = {"name": "h", "dtype": "float32", "min": [2, 1], "opt": [2, 1], "max": [2, 1]}
    (batch,) = read(tmp_path, {**NPY, "fill": {"h": 0.5}}, X, state)
    assert batch.inputs["h"].tolist() == [[0.5], [0.5]]
    assert (
        "has no one shape"
        in error(tmp_path, {**NPY, "fill": {"x": 0}, "input": "h"}, X, state).what
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (np.array([1, np.nan, 3], np.float32), "holds nan"),
        (np.zeros(4, np.float32), "axis 1 is 4"),
        (np.zeros(3, np.int64), "is float32, but the data is int64"),
        (np.array(["a", "b", "c"]), "not numbers"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path: Path, content: Any, what: str) -> None:
    save(tmp_path / "data/0.npy", content)
    assert what in error(tmp_path, NPY, X).what


def test_of_a_batch_the_sample_that_does_not_fit_is_named(tmp_path: Path) -> None:
    for index, value in enumerate((1.0, np.inf, 2.0)):
        save(tmp_path / f"data/{index}.npy", np.full(3, value, np.float32))
    found = error(tmp_path, NPY, X)
    assert found.where.endswith("data/1.npy")
    assert found.what == "input 'x' holds inf, at [0, 0]"


def test_of_several_inputs_the_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    for index in range(2):
        save(tmp_path / f"data/x/{index}.npy", np.zeros(3, np.float32))
        save(tmp_path / f"data/mask/{index}.npy", np.full(3, index / 2, np.float32))
    found = error(tmp_path, NPY, X, declared("mask", 3, dtype="int64"))
    assert found.where.endswith("data/mask/0.npy")
    assert found.what == "input 'mask' is int64, but the data is float32"


def test_a_file_that_is_no_npy_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/0.npy").write_bytes(b"\x93NUMPY\x01\x00")
    found = error(tmp_path, NPY, X)
    assert found.where.endswith("data/0.npy")
    assert "cannot be read" in found.what


@pytest.mark.parametrize("size", [1 << 45, 1 << 62, 1 << 80])
def test_a_header_that_says_more_than_there_can_be_is_named(tmp_path: Path, size: int) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data/0.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(12))
    found = error(tmp_path, NPY, X)
    assert found.where.endswith("data/0.npy")
    assert "the sample cannot be read" in found.what
    assert "its header says the size that it has" in found.hint


def test_links_are_followed_but_for_those_that_lead_up(tmp_path: Path) -> None:
    for index, place in enumerate(("data/0", "data/inner/1", "other/2", "other/inner/3")):
        save(tmp_path / f"{place}.npy", np.full(3, index, np.float32))
    (tmp_path / "data/itself").symlink_to(".")
    (tmp_path / "data/inner/up").symlink_to("..")
    (tmp_path / "data/all").symlink_to(tmp_path)
    (tmp_path / "data/other").symlink_to("../other")
    (tmp_path / "other/back").symlink_to("../data")
    (tmp_path / "other/loop").symlink_to("inner/up")
    (tmp_path / "other/inner/up").symlink_to("../../other")
    names = [
        "data/0.npy",
        "data/inner/1.npy",
        "data/other/2.npy",
        "data/other/inner/3.npy",
    ]
    assert samples_in(tmp_path, "npy", "data") == tuple(names)
    assert samples_in(tmp_path, "npy", "data/") == tuple(names)


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    assert error(tmp_path, NPY, X).what == "there is no such folder"
    (tmp_path / "data").mkdir()
    assert error(tmp_path, NPY, X).what == "the folder holds no .npy file"
