"""Datasets: batches that fit the model, and what is wrong with those that do not."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from trtbuild.dataset import demand_of, open_dataset
from trtbuild.dataset.base import Batch, default_batch
from trtbuild.dataset.random import at_size
from trtbuild.errors import StageError
from trtbuild.model.inputs import parse_inputs

IMAGE = {"name": "image", "dtype": "float32", "min": [1, 3], "opt": [4, 3], "max": [8, 3]}
STATE = {"name": "state", "dtype": "float32", "min": [2, 1], "opt": [2, 1], "max": [2, 1]}
FIXED = {"name": "image", "dtype": "float32", "min": [4, 3], "opt": [4, 3], "max": [4, 3]}
WIDE = {"name": "image", "dtype": "float32", "min": [1, 2], "opt": [2, 3], "max": [8, 4]}


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def read_npz(path: Path, *inputs: dict[str, Any], **limits: Any) -> list[Batch]:
    chosen = parse_inputs(inputs or (IMAGE,))
    return list(open_dataset(demand_of({"kind": "npz"}, chosen, path.parent, path, **limits)))


def npz_error(path: Path, *inputs: dict[str, Any], **limits: Any) -> StageError:
    with pytest.raises(StageError) as error:
        read_npz(path, *inputs, **limits)
    assert str(path) in error.value.where
    assert error.value.hint
    return error.value


def images(count: int) -> np.ndarray:
    return np.arange(count * 3, dtype=np.float32).reshape(count, 3)


def rows(batches: list[Batch]) -> list[int]:
    return [len(batch.inputs["image"]) for batch in batches]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_cut_into_batches_in_order(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "data.npz", image=images(10), label=np.arange(10))
    batches = read_npz(tmp_path / "data.npz")
    assert rows(batches) == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([b.inputs["image"] for b in batches]), images(10))
    np.testing.assert_array_equal(np.concatenate([b.extras["label"] for b in batches]), range(10))


def test_batch_and_samples_are_the_recipes(tmp_path: Path) -> None:
    path = npz(tmp_path, image=images(10))
    assert rows(read_npz(path, batch=3)) == [3, 3, 3, 1]
    assert rows(read_npz(path, samples=6)) == [4, 2]
    assert rows(read_npz(path, samples=100)) == [4, 4, 2]


def test_arrays_in_fortran_order_are_read(tmp_path: Path) -> None:
    item = {**IMAGE, "min": [1, 3, 2], "opt": [4, 3, 2], "max": [8, 3, 2]}
    state = np.array([[1], [2]], np.float32, order="F")
    values = np.arange(60, dtype=np.float32).reshape(10, 3, 2)
    path = npz(tmp_path, image=np.asfortranarray(values), label=np.arange(10), state=state)
    batches = read_npz(path, item, STATE)
    assert rows(batches) == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([b.inputs["image"] for b in batches]), values)
    assert all(np.array_equal(batch.inputs["state"], state) for batch in batches)


def test_an_npz_is_never_wholly_in_memory(tmp_path: Path) -> None:
    item = {**IMAGE, "min": [1, 100_000], "opt": [1, 100_000], "max": [8, 100_000]}
    path = npz(tmp_path, image=np.zeros((100, 100_000), np.float32))  # 40 MB
    demand = demand_of({"kind": "npz"}, parse_inputs([item]), tmp_path, path)
    tracemalloc.start()
    try:
        assert sum(len(batch.inputs["image"]) for batch in open_dataset(demand)) == 100
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_an_array_of_a_static_inputs_shape_is_in_every_batch(tmp_path: Path) -> None:
    state = np.array([[1], [2]], np.float32)
    batches = read_npz(npz(tmp_path, image=images(6), state=state), IMAGE, STATE)
    assert rows(batches) == [4, 2]
    assert all(np.array_equal(batch.inputs["state"], state) for batch in batches)


def test_an_extra_that_does_not_count_the_samples_is_in_every_batch(tmp_path: Path) -> None:
    batches = read_npz(npz(tmp_path, image=images(6), names=np.arange(9)))
    assert [batch.extras["names"].shape for batch in batches] == [(9,), (9,)]


def test_floats_are_cast_to_the_inputs_type(tmp_path: Path) -> None:
    path = npz(tmp_path, image=images(4).astype(np.float64))
    assert read_npz(path)[0].inputs["image"].dtype == np.float32
    low = read_npz(path, {**IMAGE, "dtype": "bfloat16"})[0].inputs["image"]
    assert low.dtype == ml_dtypes.bfloat16


def test_bfloat16_is_read_from_an_npz(tmp_path: Path) -> None:
    path = npz(tmp_path, image=images(4).astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(read_npz(path)[0].inputs["image"], images(4))


def test_integers_are_cast_where_they_fit(tmp_path: Path) -> None:
    item = {**IMAGE, "dtype": "int32"}
    path = npz(tmp_path, image=images(4).astype(np.int64))
    assert read_npz(path, item)[0].inputs["image"].dtype == np.int32
    path = npz(tmp_path, image=images(4).astype(np.int64) << 40)
    assert npz_error(path, item).what == "input 'image' holds values that do not fit int32"


def test_integers_are_not_taken_for_floats(tmp_path: Path) -> None:
    path = npz(tmp_path, image=images(4).astype(np.uint8))
    assert npz_error(path).what == "input 'image' is float32, but the data is uint8"


def test_an_array_that_is_missing_is_named_with_one_that_is_near(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, images=images(4)))
    assert error.what == "the dataset has no 'image' (did you mean 'images'?)"
    assert error.hint == "its arrays are images; name them as the model's inputs"


def test_a_shape_that_does_not_fit_is_told_with_its_axis(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, image=np.zeros((4, 5), np.float32)))
    assert error.what == ("input 'image' has the shape [4, 5]: axis 1 is 5, where the recipe has 3")


def test_another_rank_is_told(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, image=np.zeros((4, 3, 1), np.float32)))
    assert "of 3 axes, where the recipe has 2" in error.what


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_with_their_place(tmp_path: Path, value: float) -> None:
    data = images(10)
    data[5, 2] = value
    error = npz_error(npz(tmp_path, image=data))
    assert error.what == f"input 'image' holds {value}, at [1, 2]"
    assert error.where.endswith("data.npz, samples 4 to 7")


def test_what_overflows_the_inputs_type_is_refused(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, image=images(4) + 1e6), {**IMAGE, "dtype": "float16"})
    assert error.what == "input 'image' holds 1000000.0, which float16 cannot hold, at [0, 0]"


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    assert npz_error(npz(tmp_path, image=images(0))).what == "the dataset is empty"


def test_too_few_samples_for_a_fixed_batch_are_refused(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, image=images(3)), FIXED)
    assert error.what == "the dataset has 3 samples, but the model runs on 4 at least"


def test_samples_that_do_not_fill_a_fixed_batch_are_left_out_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    batches = read_npz(npz(tmp_path, image=images(10)), FIXED, warn=said.append)
    assert rows(batches) == [4, 4]
    assert said == ["the last 2 samples of the dataset do not fill a batch: left out"]


def test_inputs_with_different_numbers_of_samples_are_refused(tmp_path: Path) -> None:
    other = {**IMAGE, "name": "other"}
    error = npz_error(npz(tmp_path, image=images(4), other=images(5)), IMAGE, other)
    assert error.what == "the inputs have different numbers of samples: 'image' 4, 'other' 5"


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, image=np.array([[1, "a", None]], object)))
    assert "'image' holds Python objects, which are not loaded" in error.what


def test_text_is_refused(tmp_path: Path) -> None:
    error = npz_error(npz(tmp_path, image=images(1), label=np.array(["cat"])))
    assert error.what == "'label' holds <U3 values, not numbers"


@pytest.mark.parametrize("kept", [0, 10, 200, -1])
def test_a_truncated_npz_is_refused(tmp_path: Path, kept: int) -> None:
    path = npz(tmp_path, image=images(100))
    path.write_bytes(path.read_bytes()[:kept])
    assert npz_error(path).what.startswith("the dataset is cut off or no .npz file")


def test_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data.npz", image=images(1000))
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[200:600] = bytes(400)
    (tmp_path / "data.npz").write_bytes(content)
    assert "cut off or no .npz file" in npz_error(tmp_path / "data.npz").what


def test_a_missing_npz_is_named(tmp_path: Path) -> None:
    assert npz_error(tmp_path / "none.npz").what == (
        "the dataset cannot be read: No such file or directory"
    )


def test_a_batch_outside_of_the_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="batch 9 is outside of what input 'image' takes: 1 to 8"):
        read_npz(npz(tmp_path, image=images(10)), batch=9)


def test_the_batch_is_that_of_the_first_dynamic_input() -> None:
    assert default_batch(parse_inputs([STATE, IMAGE])) == 4
    assert default_batch(parse_inputs([STATE])) == 2
    assert default_batch(parse_inputs([{**STATE, "min": [], "opt": [], "max": []}])) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The recipe's folder; what is imported from it is forgotten again."""
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("data", None)


def generated(folder: Path, body: str, *inputs: dict[str, Any], **limits: Any) -> list[Batch]:
    (folder / "data.py").write_text(f"import numpy as np\ndef f(n=10):\n{body}")
    options = {"kind": "python", "python": "data.py:f", "options": limits.pop("options", {})}
    chosen = parse_inputs(inputs or (IMAGE,))
    return list(open_dataset(demand_of(options, chosen, folder, None, **limits)))


def generated_error(folder: Path, body: str, *inputs: dict[str, Any], **limits: Any) -> StageError:
    with pytest.raises(StageError) as error:
        generated(folder, body, *inputs, **limits)
    assert error.value.hint
    return error.value


SAMPLES = "    for i in range(n):\n        yield {'image': np.full(3, i, np.float32), 'label': i}\n"
BATCHES = "    for i in range(n):\n        yield {'image': np.full((i + 1, 3), i, np.float32)}\n"


def test_samples_of_a_generator_are_stacked(folder: Path) -> None:
    batches = generated(folder, SAMPLES)
    assert rows(batches) == [4, 4, 2]
    np.testing.assert_array_equal(batches[1].extras["label"], [4, 5, 6, 7])
    np.testing.assert_array_equal(batches[1].inputs["image"][:, 0], [4, 5, 6, 7])


@pytest.mark.parametrize("shape", ["3", "(1, 3)"], ids=["samples", "batches"])
def test_a_generator_may_fill_the_same_array_again(folder: Path, shape: str) -> None:
    body = (
        f"    image = np.zeros({shape}, np.float32)\n    for i in range(n):\n"
        "        image[:] = i\n        yield {'image': image}\n"
    )
    batches = generated(folder, body)
    rows_of = np.concatenate([batch.inputs["image"] for batch in batches])
    assert rows_of[:, 0].tolist() == list(range(10))


def test_options_are_the_generators_arguments(folder: Path) -> None:
    assert rows(generated(folder, SAMPLES, options={"n": 3})) == [3]


def test_a_generator_is_not_asked_for_more_than_is_wanted(folder: Path) -> None:
    endless = "    i = 0\n    while True:\n        yield {'image': np.zeros(3, np.float32)}\n"
    assert rows(generated(folder, endless, samples=6)) == [4, 2]


def test_batches_of_a_generator_are_taken_as_they_are(folder: Path) -> None:
    assert rows(generated(folder, BATCHES, options={"n": 3})) == [1, 2, 3]
    assert rows(generated(folder, BATCHES, samples=3)) == [1, 2]


def test_a_static_input_beside_samples_is_given_unchanged(folder: Path) -> None:
    body = (
        "    for i in range(4):\n"
        "        yield {'image': np.zeros(3, np.float32), 'state': np.ones((2, 1), np.float32)}\n"
    )
    (batch,) = generated(folder, body, IMAGE, STATE)
    assert batch.inputs["state"].shape == (2, 1)
    assert rows([batch]) == [4]


def test_samples_of_different_shapes_go_into_different_batches(folder: Path) -> None:
    body = "    for w in (2, 2, 3, 4):\n        yield {'image': np.zeros(w, np.float32)}\n"
    batches = generated(folder, body, WIDE)
    assert [batch.inputs["image"].shape for batch in batches] == [(2, 2), (1, 3), (1, 4)]


def test_samples_that_fill_no_fixed_batch_are_left_out_and_said(folder: Path) -> None:
    said: list[str] = []
    assert rows(generated(folder, SAMPLES, FIXED, warn=said.append)) == [4, 4]
    assert said[0].startswith("2 samples of the dataset do not fill a batch")
    error = generated_error(folder, SAMPLES, FIXED, options={"n": 3})
    assert error.what == "the dataset has 3 samples, but the model runs on 4 at least"


def test_an_empty_generator_is_refused(folder: Path) -> None:
    assert generated_error(folder, SAMPLES, options={"n": 0}).what == "the dataset is empty"


def test_a_generator_that_raises_has_the_users_line(folder: Path) -> None:
    body = "    yield {'image': np.zeros(3, np.float32)}\n    raise OSError('disk gone')\n"
    error = generated_error(folder, body)
    assert error.what == "data.py:f raised OSError: disk gone"
    assert error.where == f"{folder / 'data.py'}:4"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("    return 3\n", "data.py:f returned a int, not a series of dicts"),
        ("    return {'image': 1}\n", "data.py:f returned a dict, not a series of dicts"),
        ("    yield np.zeros(3)\n", "the generator yielded a ndarray, not a dict of arrays"),
        ("    yield {'img': np.zeros(3)}\n", "the dataset has no 'image' (did you mean 'img'?)"),
        ("    yield {'image': ['a']}\n", "'image' holds <U1 values, not numbers"),
        (
            "    yield {'image': np.full(3, np.nan)}\n",
            "input 'image' holds nan, at [0, 0]",
        ),
        (
            "    yield {'image': np.zeros(5)}\n",
            "input 'image' has the shape [1, 5]: axis 1 is 5, where the recipe has 3",
        ),
        (
            "    yield {'image': np.zeros(3), 'a': 1}\n    yield {'image': np.zeros(3)}\n",
            "the sample has image, the one before it a, image",
        ),
    ],
)
def test_what_a_generator_gives_wrongly_is_told(folder: Path, body: str, what: str) -> None:
    assert generated_error(folder, body).what == what


FOURS = """\
    for i in range(n):
        yield {'image': np.full((4, 3), i, np.float32), 'label': np.arange(4), 'classes': [1, 2]}
"""


def test_the_last_batch_of_a_generator_is_cut_to_the_samples_asked_for(folder: Path) -> None:
    batches = generated(folder, FOURS, samples=10)
    assert rows(batches) == [4, 4, 2]
    assert batches[-1].extras["label"].tolist() == [0, 1]
    assert batches[-1].extras["classes"].tolist() == [1, 2]


@pytest.mark.parametrize("item", [FIXED, {**IMAGE, "min": [3, 3]}])
def test_a_batch_of_a_generator_that_the_model_needs_whole_is_told(
    folder: Path, item: dict[str, Any]
) -> None:
    warnings: list[str] = []
    batches = generated(folder, FOURS, item, samples=10, warn=warnings.append)
    assert rows(batches) == [4, 4, 4]
    assert warnings == ["12 samples are used where 10 are wanted: the last batch cannot be smaller"]


def test_a_wrong_item_is_told_with_its_number(folder: Path) -> None:
    body = "    yield {'image': np.zeros((2, 3))}\n    yield {'image': np.zeros((2, 4))}\n"
    assert generated_error(folder, body).where == "data.py:f, item 1"


def random_batches(**limits: Any) -> list[Batch]:
    item = {**IMAGE, "range": [5, 6]}
    options = {"kind": "random", "seed": limits.pop("seed", 0)}
    return list(open_dataset(demand_of(options, parse_inputs([item]), Path(), None, **limits)))


def test_random_data_is_seeded_in_range_and_no_more_than_asked_for() -> None:
    first, second = random_batches(samples=8), random_batches(samples=8)
    assert rows(first) == [4, 4]
    assert all(
        np.array_equal(a.inputs["image"], b.inputs["image"])
        for a, b in zip(first, second, strict=True)
    )
    assert not np.array_equal(first[0].inputs["image"], first[1].inputs["image"])
    other = random_batches(samples=8, seed=1)
    assert not np.array_equal(first[0].inputs["image"], other[0].inputs["image"])
    assert all(5 <= batch.inputs["image"].min() < 6 for batch in first)
    assert random_batches() == []


def test_the_last_random_batch_is_as_small_as_it_may_be() -> None:
    warnings: list[str] = []
    assert rows(random_batches(samples=7)) == [4, 3]
    assert rows(random_batches(samples=7, batch=8)) == [7]
    options, least = {"kind": "random"}, {**IMAGE, "min": [2, 3]}
    for item, expected in ((least, [4, 2]), (FIXED, [4, 4])):
        inputs = parse_inputs([item])
        demand = demand_of(options, inputs, Path(), None, samples=5, warn=warnings.append)
        assert rows(list(open_dataset(demand))) == expected
    assert warnings == [
        f"{count} samples are used where 5 are wanted: the last batch cannot be smaller"
        for count in (6, 8)
    ]


def test_random_values_are_there_at_each_shape() -> None:
    demand = demand_of({"kind": "random", "seed": 0}, parse_inputs([IMAGE]), Path(), None)
    assert [at_size(demand, s)["image"].shape[0] for s in ("min", "opt", "max")] == [1, 4, 8]
