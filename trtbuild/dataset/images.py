"""Batches from a folder of images, with the preprocessing that the recipe declares."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trtbuild.dataset.files import batched, listed, ordered, target
from trtbuild.errors import MissingPackage, StageError
from trtbuild.model.inputs import numpy_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtbuild.dataset.base import Batch, Demand
    from trtbuild.model.inputs import Array
    from trtbuild.recipe.model import Options


_CONVERTED = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
"""Pillow's modes of 8 bits a channel or fewer, which it converts to grey and RGB."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to an image, in this order.

    `colour`: the channels and their order. `resize`: to (height, width), or an int: the shorter
    side to that. `crop`: the middle (height, width). Then (pixel * scale - mean) / std with one
    number for each channel or for all, and the axes of `layout`.
    """

    colour: Literal["rgb", "bgr", "grey"]
    resize: int | tuple[int, int] | None
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos", "box"]
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: Literal["chw", "hwc", "hw"]


def batches(demand: Demand) -> Iterator[Batch]:
    """Images in the order of the files' names. Raises StageError with the file, MissingPackage
    without Pillow.
    """
    item = target(demand)
    dtype = numpy_dtype(item.dtype)
    steps = parse_preprocessing(demand.options, dtype)
    pillow = _pillow()
    files = ordered(listed(demand, "images"), demand)

    seen = False  # transparency, which is said once

    def sample(path: Path) -> Array:
        nonlocal seen
        pixels, hidden = _read(pillow, path, steps)
        if hidden and not seen:
            seen = True
            demand.warn(
                f"the image {path.name} is transparent in places, as others may be: that is left "
                "out, and the colours below count"
            )
        return _as_type(_normalised(pixels, steps), dtype, path)

    samples = ((str(path), {item.name: sample(path)}) for path in files)
    return batched(samples, demand, str(demand.options["images"]))


def parse_preprocessing(options: Options, dtype: np.dtype[Any]) -> Preprocessing:
    """The recipe's options, with what is left out filled in: for `scale` 1/255, or 1 where the
    input is of integers, which pixels are.
    """
    scale = 1.0 if dtype.kind in "iu" else 1.0 / 255.0
    given: Any = options
    resize = given.get("resize")
    return Preprocessing(
        colour=given.get("colour", "rgb"),
        resize=tuple(resize) if isinstance(resize, list) else resize,
        filter=given.get("filter", "bilinear"),
        crop=tuple(given["crop"]) if given.get("crop") else None,
        scale=float(given.get("scale", scale)),
        mean=_numbers(given.get("mean", 0.0)),
        std=_numbers(given.get("std", 1.0)),
        layout=given.get("layout", "chw"),
    )


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in value) if isinstance(value, list) else (float(value),)


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise MissingPackage(
            "a dataset of images needs Pillow", hint="pip install 'trtbuild[images]'"
        ) from error


def _read(pillow: Any, path: Path, steps: Preprocessing) -> tuple[Array, bool]:
    """The pixels as height, width and channels from 0 to 255, and whether some are transparent."""
    try:
        with pillow.open(path) as opened:
            hidden = opened.has_transparency_data and _is_transparent(opened)
            coloured = _eight_bits(pillow, opened, path).convert(
                "L" if steps.colour == "grey" else "RGB"
            )
            image = _sized(pillow, coloured, steps, path)
            return np.asarray(image, np.float32).reshape(image.height, image.width, -1), hidden
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise StageError(
            f"the image cannot be read: {error}",
            where=str(path),
            hint="the file is empty, cut off or no image: replace it, or take it out",
        ) from error


def _eight_bits(pillow: Any, image: Any, path: Path) -> Any:
    """The image with 8 bits a channel, where its own range is known; Pillow's conversion would cut
    off what is above 255.
    """
    if image.mode.startswith("I;16"):
        return pillow.fromarray(np.rint(np.asarray(image) / 257.0).astype(np.uint8))
    if image.mode in _CONVERTED:
        return image
    raise StageError(
        f"the pixels are of Pillow's mode {image.mode}, whose range is not known",
        where=str(path),
        hint="write it with 8 or 16 bits a channel, in grey or RGB, or give the values themselves "
        "as .npy files",
    )


def _is_transparent(image: Any) -> bool:
    least: int = image.convert("RGBA").getchannel("A").getextrema()[0]
    return least < 255


def _normalised(pixels: Array, steps: Preprocessing) -> Array:
    if steps.colour == "bgr":
        pixels = pixels[:, :, ::-1]
    mean, std = np.array(steps.mean, np.float32), np.array(steps.std, np.float32)
    if {len(mean), len(std)} - {1, pixels.shape[2]}:
        raise StageError(
            f"mean and std have {len(mean)} and {len(std)} numbers for {pixels.shape[2]} channels",
            where="dataset.mean",
            hint="give one number, or one for each channel",
        )
    values = (pixels * np.float32(steps.scale) - mean) / std
    if steps.layout == "chw":
        return np.ascontiguousarray(values.transpose(2, 0, 1))
    return values[:, :, 0] if steps.layout == "hw" else values


def _sized(pillow: Any, image: Any, steps: Preprocessing, path: Path) -> Any:
    """Resized, then cropped in the middle; Pillow counts width before height."""
    if steps.resize is not None:
        height, width = _size(image.height, image.width, steps.resize)
        image = image.resize((width, height), getattr(pillow.Resampling, steps.filter.upper()))
    if steps.crop is not None:
        height, width = steps.crop
        if height > image.height or width > image.width:
            resized = "" if steps.resize is None else " after `resize`"
            raise StageError(
                f"the image is {image.height} by {image.width} pixels{resized}, less than the crop "
                f"of {height} by {width}",
                where=str(path),
                hint="crop less, or resize to more before: both count height by width",
            )
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return image


def _size(height: int, width: int, resize: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(resize, tuple):
        return resize
    shorter = min(height, width)
    return round(height * resize / shorter), round(width * resize / shorter)


def _as_type(values: Array, dtype: np.dtype[Any], path: Path) -> Array:
    """Pixels in the input's type; integers must be able to hold them as they are."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    wrong = (values != np.rint(values)) | (values < limits.min) | (values > limits.max)
    if wrong.any():
        raise StageError(
            f"pixels become {values[wrong][0]:g}, which {dtype} cannot hold",
            where=str(path),
            hint="leave out scale, mean and std, or give whole numbers: an input of integers takes "
            "pixels from 0 to 255 as they are",
        )
    return values.astype(dtype)
