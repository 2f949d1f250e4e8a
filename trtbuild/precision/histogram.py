"""A histogram of magnitudes that is filled as values come, in bounded memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

FINE = 1 << 16
"""Bins that are held: 512 KiB for each tensor."""

_LEAST = -100  # exponent of the least range: the inverse of a bin's width is a float32 there

_CHUNK = 1 << 16  # values a pass: the buffers stay in the processor's cache (4 times as fast)


class Histogram:
    """Counts of |x| in `fine` equal bins from 0 to the power of two above the largest magnitude.

    Where a value goes beyond, the range doubles and pairs of bins merge, which is exact. So the
    counts are those of all values at once: neither the size of a batch nor which data comes first
    decides them, and no run over the data is needed before.
    """

    def __init__(self, fine: int = FINE) -> None:
        self.counts = np.zeros(fine, np.int64)
        self.largest = 0.0
        self._exponent: int | None = None  # of the range; None while every value was zero

    @property
    def width(self) -> float:
        """Of a bin; 0 while every value was zero."""
        return 0.0 if self._exponent is None else 2.0**self._exponent / len(self.counts)

    def add(self, values: npt.NDArray[Any]) -> bool:
        """Count the magnitudes of an array; False, and nothing counted, where one is not finite."""
        if values.size == 0:
            return True
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        largest = max(abs(float(flat.min())), abs(float(flat.max())))
        if not math.isfinite(largest):
            return False
        if largest > self.largest:
            self._reach(largest)
        if self._exponent is None:
            self.counts[0] += flat.size
        else:
            self._count(flat)
        return True

    def rebinned(self, bins: int) -> npt.NDArray[np.float64]:
        """The counts in `bins` equal bins from 0 to the largest magnitude, which is not 0.

        What lies in a bin across an edge is taken as evenly spread.
        """
        sums = np.concatenate(([0.0], np.cumsum(self.counts, dtype=np.float64)))
        ends = np.minimum(np.arange(len(sums)) * self.width, self.largest)
        edges = np.linspace(0.0, self.largest, bins + 1)
        counts: npt.NDArray[np.float64] = np.diff(np.interp(edges, ends, sums))
        return counts

    def _reach(self, largest: float) -> None:
        """Double the range, merging bins, until it holds the new largest magnitude."""
        self.largest = largest
        exponent = max(math.frexp(largest)[1], _LEAST)  # largest < 2 ** exponent
        if self._exponent is not None and exponent > self._exponent:
            merged = 1 << min(exponent - self._exponent, len(self.counts).bit_length() - 1)
            sums = self.counts.reshape(-1, merged).sum(axis=1)
            self.counts = np.zeros_like(self.counts)
            self.counts[: len(sums)] = sums
        self._exponent = exponent

    def _count(self, flat: npt.NDArray[np.float32]) -> None:
        scaled, places = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.intp)
        per_unit = np.float32(1.0 / self.width)  # a power of two: the products are exact
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            out, place = scaled[: part.size], places[: part.size]
            np.abs(part, out=out)
            np.multiply(out, per_unit, out=out)
            place[:] = out
            np.add.at(self.counts, place, 1)  # faster than bincount, and takes no memory
