"""Folders of images as datasets, with the preprocessing that a recipe declares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dataset.reading import declared, error, joined, read
from trtbuild.errors import MissingPackage

Image = pytest.importorskip("PIL.Image", reason="Pillow reads and writes the images")

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
