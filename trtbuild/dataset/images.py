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

    def sample(path: Path) -> Array:
        values = _apply(pillow, path, steps)
        return _as_type(values, dtype, path)

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


def _apply(pillow: Any, path: Path, steps: Preprocessing) -> Array:
    try:
        with pillow.open(path) as opened:
            image = _sized(pillow, opened.convert("L" if steps.colour == "grey" else "RGB"), steps)
            pixels = np.asarray(image, np.float32)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise StageError(
            f"the image cannot be read: {error}",
            where=str(path),
            hint="the file is empty, cut off or no image: replace it, or take it out",
        ) from error
    pixels = pixels.reshape(*pixels.shape[:2], -1)
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


def _sized(pillow: Any, image: Any, steps: Preprocessing) -> Any:
    """Resized, then cropped in the middle; Pillow counts width before height."""
    if steps.resize is not None:
        height, width = _size(image.height, image.width, steps.resize)
        image = image.resize((width, height), getattr(pillow.Resampling, steps.filter.upper()))
    if steps.crop is not None:
        height, width = steps.crop
        if height > image.height or width > image.width:
            raise ValueError(
                f"it is {image.height} by {image.width} pixels, less than the crop of "
                f"{height} by {width}"
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
