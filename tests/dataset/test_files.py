"""Datasets made of files: folders of .npy, images, recordings."""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trtbuild.dataset import demand_of, open_dataset
from trtbuild.dataset.base import Batch
from trtbuild.errors import MissingPackage, StageError
from trtbuild.model.inputs import parse_inputs
from trtbuild.recipe.dataset_section import samples_in

Image = pytest.importorskip("PIL.Image", reason="Pillow reads and writes the images")


def declared(name: str, *shape: int, dtype: str = "float32", most: int = 8) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": dtype,
        "min": [1, *shape],
        "opt": [2, *shape],
        "max": [most, *shape],
    }


def read(
    folder: Path, options: dict[str, Any], *inputs: dict[str, Any], **limits: Any
) -> list[Batch]:
    return list(open_dataset(demand_of(options, parse_inputs(inputs), folder, None, **limits)))


def error(
    folder: Path, options: dict[str, Any], *inputs: dict[str, Any], **limits: Any
) -> StageError:
    with pytest.raises(StageError) as caught:
        read(folder, options, *inputs, **limits)
    assert caught.value.where
    assert caught.value.hint
    return caught.value


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def joined(batches: list[Batch], name: str) -> np.ndarray:
    return np.concatenate([batch.inputs[name] for batch in batches])


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


IMAGES = {"kind": "images", "images": "data"}
PICTURE = declared("image", 3, 4, 6)


def picture(path: Path, height: int = 4, width: int = 6) -> np.ndarray:
    """Write an image whose channels and places can be told apart; returns its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    red = np.arange(height * width).reshape(height, width)
    pixels = np.stack([red, red + 100, np.full_like(red, 250)], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def one(folder: Path, item: dict[str, Any], **options: Any) -> np.ndarray:
    (batch,) = read(folder, {**IMAGES, **options}, item)
    return batch.inputs["image"][0]


def test_an_image_is_scaled_to_one_and_has_its_channels_first(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "data/a.png")
    expected = pixels.transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(one(tmp_path, PICTURE), expected, rtol=1e-6)


def test_mean_and_std_colour_order_and_layout_are_as_declared(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "data/a.png").astype(np.float32)
    got = one(
        tmp_path,
        declared("image", 4, 6, 3),
        colour="bgr",
        layout="hwc",
        scale=1,
        mean=[1, 2, 3],
        std=[2, 4, 8],
    )
    expected = (pixels[:, :, ::-1] - [1, 2, 3]) / [2, 4, 8]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_an_image_is_resized_by_its_shorter_side_and_cropped_in_the_middle(tmp_path: Path) -> None:
    picture(tmp_path / "data/a.png", 8, 24)
    got = one(tmp_path, PICTURE, resize=4, crop=[4, 6], filter="nearest", scale=1)
    with Image.open(tmp_path / "data/a.png") as image:
        small = np.asarray(image.resize((12, 4), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(got, small[:, 3:9].transpose(2, 0, 1))


def test_a_grey_image_has_one_channel_or_none(tmp_path: Path) -> None:
    picture(tmp_path / "data/a.jpg")
    assert one(tmp_path, declared("image", 1, 4, 6), colour="grey").shape == (1, 4, 6)
    assert one(tmp_path, declared("image", 4, 6), colour="grey", layout="hw").shape == (4, 6)


def test_an_input_of_integers_takes_pixels_as_they_are(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "data/a.png")
    item = declared("image", 3, 4, 6, dtype="uint8")
    np.testing.assert_array_equal(one(tmp_path, item), pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(one(tmp_path, item, scale=1), pixels.transpose(2, 0, 1))
    signed = declared("image", 3, 4, 6, dtype="int8")
    expected = pixels.transpose(2, 0, 1).astype(int) - 128
    np.testing.assert_array_equal(one(tmp_path, signed, mean=128), expected)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"scale": 1 / 255}, "pixels become 0.00392157, which uint8 cannot hold"),
        ({"mean": 0.5}, "pixels become -0.5, which uint8 cannot hold"),
        ({"mean": 1}, "pixels become -1, which uint8 cannot hold"),
        ({"scale": 2}, "pixels become 500, which uint8 cannot hold"),
    ],
)
def test_pixels_that_an_input_of_integers_cannot_hold_are_refused(
    tmp_path: Path, options: dict[str, float], what: str
) -> None:
    picture(tmp_path / "data/a.png")
    item = declared("image", 3, 4, 6, dtype="uint8")
    found = error(tmp_path, {**IMAGES, **options}, item)
    assert found.what == what
    assert found.where.endswith("data/a.png")
    assert "leave out scale, mean and std" in found.hint


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_of_grey_become_eight(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "data").mkdir()
    pixels = np.array([[0, 128, 129, 257], [514, 32768, 65406, 65535]], np.uint16)
    Image.fromarray(pixels).save(tmp_path / f"data/a.{suffix}")
    with Image.open(tmp_path / f"data/a.{suffix}") as image:
        assert image.mode == "I;16"
    expected = [[0, 0, 1, 1], [2, 128, 254, 255]]
    got = one(tmp_path, declared("image", 1, 2, 4), colour="grey", scale=1)
    assert got.tolist() == [expected]
    assert one(tmp_path, declared("image", 3, 2, 4), scale=1).tolist() == [expected] * 3


@pytest.mark.parametrize(("mode", "dtype"), [("I", np.int32), ("F", np.float32)])
def test_pixels_whose_range_is_not_known_are_refused(
    tmp_path: Path, mode: str, dtype: type[Any]
) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(np.array([[0, 1000]], dtype)).save(tmp_path / "data/a.tif")
    found = error(tmp_path, IMAGES, declared("image", 3, 1, 2))
    assert found.what == f"the pixels are of Pillow's mode {mode}, whose range is not known"
    assert found.where.endswith("data/a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_images_of_other_colours_are_converted(tmp_path: Path, mode: str) -> None:
    (tmp_path / "data").mkdir()
    source = Image.new("RGB", (2, 1), (255, 255, 255))
    source.putpixel((0, 0), (0, 0, 0))
    source.convert(mode).save(tmp_path / "data/a.tif")
    got = one(tmp_path, declared("image", 3, 1, 2), scale=1)
    assert got.tolist() == [[[0, 255]]] * 3


def test_transparency_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 8, 7])
    palette.save(tmp_path / "data/b.png", transparency=0)
    Image.new("RGBA", (2, 1), (9, 8, 7, 0)).save(tmp_path / "data/c.png")
    Image.new("RGBA", (2, 1), (9, 8, 7, 255)).save(tmp_path / "data/a.png")
    warnings: list[str] = []
    item = declared("image", 3, 1, 2)
    batches = read(tmp_path, {**IMAGES, "scale": 1}, item, warn=warnings.append)
    assert joined(batches, "image")[:, :, 0, 0].tolist() == [[9, 8, 7]] * 3
    (warning,) = warnings
    assert "the image b.png is transparent in places" in warning


def test_an_empty_or_damaged_image_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "data/a.png")
    (tmp_path / "data/b.png").write_bytes(b"")
    assert error(tmp_path, IMAGES, PICTURE).where.endswith("data/b.png")
    content = (tmp_path / "data/a.png").read_bytes()
    (tmp_path / "data/b.png").write_bytes(content[: len(content) // 2])
    assert "cannot be read" in error(tmp_path, IMAGES, PICTURE).what


def test_an_image_smaller_than_the_crop_is_named_with_its_size(tmp_path: Path) -> None:
    picture(tmp_path / "data/a.png")
    found = error(tmp_path, {**IMAGES, "crop": [5, 6]}, PICTURE)
    assert found.what == "the image is 4 by 6 pixels, less than the crop of 5 by 6"
    assert found.where.endswith("data/a.png")
    assert "crop less" in found.hint
    found = error(tmp_path, {**IMAGES, "resize": 8, "crop": [9, 6]}, PICTURE)
    assert "8 by 12 pixels after `resize`" in found.what


def test_mean_must_fit_the_channels(tmp_path: Path) -> None:
    picture(tmp_path / "data/a.png")
    assert (
        "2 and 1 numbers for 3 channels"
        in error(tmp_path, {**IMAGES, "mean": [1, 2]}, PICTURE).what
    )


def test_without_pillow_the_line_to_install_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingPackage, match="needs Pillow"):
        read(tmp_path, IMAGES, PICTURE)


AUDIO = {"kind": "audio", "audio": "data", "frame": 4}
FRAMES = declared("frames", 4)


def recording(
    path: Path, content: bytes, *, channels: int = 1, width: int = 2, rate: int = 8000
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(content)


def test_a_recording_is_cut_into_frames(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", np.arange(10, dtype="<i2").tobytes())
    frames = joined(read(tmp_path, AUDIO, FRAMES), "frames") * 2**15
    assert frames.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    overlapping = joined(read(tmp_path, {**AUDIO, "hop": 3}, FRAMES), "frames") * 2**15
    assert overlapping[:, 0].tolist() == [0, 3, 6]


def test_a_frame_takes_the_shape_of_a_sample(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", np.arange(8, dtype="<i2").tobytes())
    assert joined(read(tmp_path, AUDIO, declared("frames", 4, 1)), "frames").shape == (2, 4, 1)
    assert "axis 1 is 4" in error(tmp_path, AUDIO, declared("frames", 5)).what


@pytest.mark.parametrize(
    ("width", "content"),
    [
        (1, np.array([0, 64, 128, 192], np.uint8).tobytes()),
        (2, np.array([-(2**15), -(2**14), 0, 2**14], "<i2").tobytes()),
        (3, b"".join(v.to_bytes(3, "little", signed=True) for v in (-(2**23), -(2**22), 0, 2**22))),
        (4, np.array([-(2**31), -(2**30), 0, 2**30], "<i4").tobytes()),
    ],
)
def test_every_width_of_pcm_becomes_numbers_from_minus_one_to_one(
    tmp_path: Path, width: int, content: bytes
) -> None:
    recording(tmp_path / "data/a.wav", content, width=width)
    assert joined(read(tmp_path, AUDIO, FRAMES), "frames").tolist() == [[-1, -0.5, 0, 0.5]]


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[1, 3], [2, 4], [0, 0], [5, 7]], "<i2")
    recording(tmp_path / "data/a.wav", stereo.tobytes(), channels=2)
    frames = joined(read(tmp_path, AUDIO, FRAMES), "frames") * 2**15
    assert frames.tolist() == [[2, 3, 0, 6]]


def test_another_sampling_rate_is_refused_with_the_command_that_converts(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", bytes(16), rate=44100)
    found = error(tmp_path, {**AUDIO, "rate": 16000}, FRAMES)
    assert found.what == "the recording has 44100 samples a second, not 16000"
    assert "-ar 16000" in found.hint


def test_recordings_that_are_too_short_or_no_wav_are_refused(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", bytes(6))
    assert "as long as one frame of 4 samples" in error(tmp_path, AUDIO, FRAMES).what
    (tmp_path / "data/a.wav").write_bytes(b"RIFF")
    assert "cannot be read" in error(tmp_path, AUDIO, FRAMES).what
