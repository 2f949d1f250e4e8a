"""A photographed page of text: where its lines are, what they say, which side is up.

Needs Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from fetched import fetched
from numpy.typing import NDArray
from PIL import Image

Sample = dict[str, NDArray[Any]]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the page

LINES: tuple[tuple[Box, str], ...] = (
    ((4, 12, 295, 35), "Region-based segmentation"),
    ((4, 48, 380, 66), "Let us first determine markers of the coins and the"),
    ((4, 65, 380, 84), "background. These markers are pixels that we can label"),
    ((4, 84, 380, 102), "unambiguously as either object or background. Here,"),
    ((4, 100, 380, 119), "the markers are found at the two extreme parts of the"),
    ((4, 117, 173, 137), "histogram of grey values:"),
    ((16, 168, 243, 190), ">>> markers = np.zeros_like(coins)"),
)
LINE_HEIGHT = 48  # pixels: what the recogniser was trained on
DETECTOR_SIDE = 32  # the detector's height and width are multiples of it
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def page() -> Image.Image:
    """The page, 384 x 191 pixels."""
    with Image.open(fetched("data/page.png")) as image:
        return image.convert("RGB")


def planes(image: Image.Image, mean: Any = 0.5, deviation: Any = 0.5) -> NDArray[np.float32]:
    """(value / 255 - mean) / deviation, with colours first: [3, H, W]."""
    values: NDArray[np.float64] = (np.asarray(image, np.float64) / 255 - mean) / deviation
    return values.transpose(2, 0, 1).astype(np.float32)


def lines(widths: int = 32) -> Iterator[Sample]:
    """The page's lines for the recogniser, one batch each: x float32 [1, 3, 48, W].

    W is rounded up to a multiple of `widths` by grey, as PaddleOCR pads. `text` int32 [1, L]
    holds the code points of what stands there.
    """
    for box, text in LINES:
        codes = np.array([[ord(letter) for letter in text]], np.int32)
        yield {"x": _line(box, widths), "text": codes}


def pieces(widths: int = 32, length: int = 150, step: int = 10) -> Iterator[Sample]:
    """Pieces of the page's lines, for calibration: x float32 [1, 3, 48, W], as `lines` makes them.

    They are `length` pixels of the page long, begin every `step`, and lie up to 2 pixels higher or
    lower than the lines.
    """
    number = 0
    for (left, top, right, bottom), _ in LINES:
        for start in range(left, max(left + 1, right - length + 1), step):
            shift = number % 5 - 2
            number += 1
            box = (start, max(0, top + shift), min(right, start + length), bottom + shift)
            yield {"x": _line(box, widths)}


def _line(box: Box, widths: int) -> NDArray[np.float32]:
    line = page().crop(box)
    width = math.ceil(LINE_HEIGHT * line.width / line.height)
    resized = planes(line.resize((width, LINE_HEIGHT), Image.Resampling.BILINEAR))
    padding = ((0, 0), (0, 0), (0, -width % widths))
    return np.pad(resized, padding)[None]


def pages(shortest: int = 640) -> Iterator[Sample]:
    """The page for the detector: x float32 [1, 3, H, W], its shorter side `shortest` pixels.

    `boxes` float64 [1, 7, 4] are left, top, right and bottom of its lines, as fractions of the
    width and the height.
    """
    image = page()
    scale = shortest / min(image.size)
    size = [max(1, round(side * scale / DETECTOR_SIDE)) * DETECTOR_SIDE for side in image.size]
    boxes = np.array([[box for box, _ in LINES]]) / (image.size * 2)
    resized = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    yield {"x": planes(resized)[None], "boxes": boxes}


def turned_pages() -> Iterator[Sample]:
    """The page turned by 0, 90, 180 and 270 degrees: x float32 [3, 224, 224], label int64 [].

    Shorter side to 256 pixels, and the middle of that, as PaddleClas prepares images.
    """
    for quarter in range(4):
        image = page().rotate(-90 * quarter, expand=True)
        scale = 256 / min(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        resized = image.resize(size, Image.Resampling.LANCZOS)
        left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
        middle = resized.crop((left, top, left + 224, top + 224))
        yield {
            "x": planes(middle, IMAGENET_MEAN, IMAGENET_DEVIATION),
            "label": np.array(quarter, np.int64),
        }
