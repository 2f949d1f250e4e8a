"""Files of known types, as the Magika model reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from fetched import fetched
from numpy.typing import NDArray

HEAD, TAIL, BLOCK, PADDING = 1024, 1024, 4096, 256
TYPES = {
    "basic_pitch.onnx": "onnx",
    "data/animation.gif": "gif",
    "data/cascade.xml": "xml",
    "data/china.jpg": "jpeg",
    "data/content-types.json": "json",
    "data/digits.csv.gz": "gzip",
    "data/disk.npy": "npy",
    "data/disparity.npz": "npz",
    "data/entry-points.ini": "ini",
    "data/estimator.css": "css",
    "data/estimator.js": "javascript",
    "data/helper.c": "c",
    "data/iris.csv": "csv",
    "data/iris.rst": "rst",
    "data/library.so": "elf",
    "data/licence.txt": "txt",
    "data/linear.cpp": "cpp",
    "data/magika.md": "markdown",
    "data/page.png": "png",
    "data/pages.tif": "tiff",
    "data/python-source": "python",
    "data/sample.wav": "wav",
    "data/telemetry.yaml": "yaml",
    "data/tron.cpp": "cpp",
}


def features(content: bytes) -> NDArray[np.int32]:
    """The model's input [2048]: both ends of the file without blanks, 256 where there is nothing.

    The model's own feature extraction, version 2 (magika.py, _extract_features_from_seekable).
    """
    head = content[:BLOCK].lstrip()[:HEAD]
    tail = content[-BLOCK:].rstrip()[-TAIL:]
    values = np.full(HEAD + TAIL, PADDING, np.int32)
    values[: len(head)] = list(head)
    values[HEAD + TAIL - len(tail) :] = list(tail)
    return values


def excerpts(length: int = 3000, most: int = 12) -> Iterator[dict[str, NDArray[np.int32]]]:
    """Pieces from within the files, for calibration: bytes int32 [2048], as of a file of its own.

    Up to `most` pieces of `length` bytes of each file, none of which holds one of its ends.
    """
    for name in TYPES:
        content = fetched(name).read_bytes()[BLOCK:-BLOCK]
        starts = range(0, len(content) - length + 1, max(length, len(content) // most))
        for start in list(starts)[:most]:
            yield {"bytes": features(content[start : start + length])}


def files() -> Iterator[dict[str, NDArray[np.generic]]]:
    """One sample per file: bytes int32 [2048], and label int64 [], its index among the labels."""
    labels: list[str] = json.loads(fetched("magika.json").read_text("utf-8"))["target_labels_space"]
    for name, label in TYPES.items():
        content = fetched(name).read_bytes()
        yield {"bytes": features(content), "label": np.array(labels.index(label), np.int64)}
