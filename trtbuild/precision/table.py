"""Calibration tables: calibration.json, and the calibration cache of TensorRT 10 and before."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trtbuild.errors import StageError

FORMAT = 1

_ALGORITHMS = {
    "entropy": "EntropyCalibration2",
    "minmax": "MinMaxCalibration",
    "percentile": "LegacyCalibration",
}
"""How TensorRT calls each method in the first line of a cache."""

_VERSION = 100300
"""TensorRT 10.3.0, as the first line holds it; the scales mean the same in every version."""


@dataclass(frozen=True, slots=True)
class Table:
    """What calibration found: tensor -> amax, the magnitude that the largest code stands for.

    `method` is "minmax", "entropy", "percentile" or "table" (of a cache that was given), `samples`
    how many were seen (0 for a cache that was given), `source` says where they came from: the kind
    of the dataset, or the first line of the cache.
    """

    method: str
    samples: int
    source: str
    amax: Mapping[str, float]


def write_table(table: Table, path: Path) -> None:
    """Write calibration.json."""
    document = {
        "format": FORMAT,
        "method": table.method,
        "samples": table.samples,
        "source": table.source,
        "tensors": {name: {"amax": amax} for name, amax in table.amax.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_table(path: Path) -> Table:
    """The table in a calibration.json. Raises StageError where it is none."""
    try:
        document: Any = json.loads(path.read_bytes())
        return Table(
            document["method"],
            document["samples"],
            document["source"],
            {name: float(item["amax"]) for name, item in document["tensors"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageError(
            f"the calibration table cannot be read: {error}",
            where=str(path),
            hint="run the calibrate stage again: trtbuild run --rebuild calibrate",
        ) from error


def write_cache(table: Table, path: Path) -> None:
    """Write the table as TensorRT's IInt8Calibrator.write_calibration_cache gives it.

    A line that names version and algorithm, then `tensor: scale` with the scale amax / 127 as
    the big-endian float32 in hexadecimal.
    """
    algorithm = _ALGORITHMS.get(table.method, _ALGORITHMS["entropy"])
    lines = [f"TRT-{_VERSION}-{algorithm}"]
    for name, amax in table.amax.items():
        lines.append(f"{name}: {struct.pack('>f', amax / 127.0).hex()}")
    path.write_text("\n".join(lines) + "\n")


@dataclass(frozen=True, slots=True)
class Cache:
    """What a calibration cache of TensorRT holds: its first line, and tensor -> amax."""

    title: str
    amax: Mapping[str, float]


def read_cache(path: Path) -> Cache:
    """A calibration cache that TensorRT or trtexec wrote.

    Raises StageError with the line that is not of its form, or names a tensor again.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StageError(
            f"the calibration cache cannot be read: {error}", where=str(path), hint=_HINT
        ) from error
    if not lines or not lines[0].startswith("TRT-"):
        raise StageError("this is no calibration cache of TensorRT", where=str(path), hint=_HINT)
    found: dict[str, float] = {}
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            name, amax = _parse(line, f"{path}:{number}")
            if name in found:
                raise StageError(
                    f"'{name}' is given twice",
                    where=f"{path}:{number}",
                    hint="keep the line of the two that is right",
                )
            found[name] = amax
    return Cache(lines[0].strip(), found)


_MOST = float(np.finfo(np.float32).max)

_HINT = (
    "give the file that write_calibration_cache, `trtexec --calib` or trtbuild wrote: its first "
    "line begins with TRT-"
)


def _parse(line: str, place: str) -> tuple[str, float]:
    name, _, digits = line.rpartition(":")  # names may hold colons
    try:
        (scale,) = struct.unpack(">f", bytes.fromhex(digits.strip()))
    except (struct.error, ValueError) as error:
        raise StageError(
            f"'{line[:80]}' is no `tensor: scale` with the scale in 8 hexadecimal digits",
            where=place,
            hint=_HINT,
        ) from error
    largest = scale * 127.0
    if not name or not math.isfinite(scale) or scale < 0.0 or largest > _MOST:
        raise StageError(f"'{name}' has the scale {scale}", where=place, hint=_HINT)
    return name, largest
