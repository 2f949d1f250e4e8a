"""How well text is found and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
Box = tuple[float, ...]  # left, top, right, bottom


def character_accuracy(
    cases: Sequence[Any], output: str, model: str = "../fetched/ppocr4_rec.onnx"
) -> float:
    """1 - edit distance / length over all lines, blanks included.

    `model`, relative to this file, holds the alphabet in its metadata.
    """
    letters = alphabet(HERE / model)
    wrong = length = 0
    for case in cases:
        if "text" not in case.extras:
            continue
        for scores, codes in zip(case.outputs[output], case.extras["text"], strict=True):
            truth = "".join(map(chr, codes))
            wrong += edit_distance(decode(scores, letters), truth)
            length += len(truth)
    return 1 - wrong / length


def alphabet(model: Path) -> list[str]:
    """The recogniser's classes: nothing, the characters in its metadata, and the blank."""
    import onnx

    metadata = onnx.load(model, load_external_data=False).metadata_props
    characters = next(entry.value for entry in metadata if entry.key == "character")
    return ["", *characters.splitlines(), " "]


def decode(scores: NDArray[np.floating[Any]], letters: list[str]) -> str:
    """The best path of connectionist temporal classification: scores [T, classes] to text."""
    best = scores.argmax(1)
    changed = np.append(True, best[1:] != best[:-1])
    return "".join(letters[index] for index in best[changed])


def edit_distance(a: str, b: str) -> int:
    """The fewest insertions, deletions and replacements from a to b (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            best = min(row[j] + 1, row[j - 1] + 1, before + (letter != other))
            before, row[j] = row[j], best
    return row[-1]


def lines_found(cases: Sequence[Any], output: str, overlap: float = 0.5) -> float:
    """The harmonic mean of recall and precision of lines (F1).

    A line is found where a box shares at least `overlap` of the area that both cover.
    """
    hits = found = true = 0
    for case in cases:
        if "boxes" not in case.extras:
            continue
        for page, boxes in zip(case.outputs[output], case.extras["boxes"], strict=True):
            seen = text_boxes(page[0])
            hits += sum(any(shared(box, other) >= overlap for other in seen) for box in boxes)
            found, true = found + len(seen), true + len(boxes)
    return 2 * hits / (found + true)


def text_boxes(
    probability: NDArray[np.floating[Any]], above: float = 0.3, mean: float = 0.5
) -> list[Box]:
    """Boxes of text [left, top, right, bottom] as fractions, from a probability map [H, W].

    The detector marks the core of each line; it is widened by area * 1.6 / perimeter, as the
    paper on differentiable binarisation does (Liao et al., AAAI 2020, section 3.5).
    """
    height, width = probability.shape
    boxes = []
    for rows, columns in regions(probability > above):
        if probability[rows, columns].mean() < mean or min(np.ptp(rows), np.ptp(columns)) < 3:
            continue
        left, right = columns.min(), columns.max() + 1
        top, bottom = rows.min(), rows.max() + 1
        area, perimeter = (right - left) * (bottom - top), 2 * (right - left + bottom - top)
        wider = area * 1.6 / perimeter
        corners = (left - wider, top - wider, right + wider, bottom + wider)
        boxes.append(tuple(corners / np.array([width, height, width, height])))
    return boxes


def regions(mask: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of each region whose pixels touch at their sides."""
    width = mask.shape[1]
    left = {int(index) for index in np.flatnonzero(mask)}
    found = []
    while left:
        region, edge = [], [left.pop()]
        while edge:
            pixel = edge.pop()
            region.append(pixel)
            column = pixel % width
            beside = [pixel - 1] * (column > 0) + [pixel + 1] * (column < width - 1)
            near = left.intersection((*beside, pixel - width, pixel + width))
            left -= near
            edge += near
        found.append(np.divmod(np.array(region), width))
    return found


def shared(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0.0) * max(high, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(both / (sum(areas) - both))
