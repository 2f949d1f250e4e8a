"""A histogram of magnitudes that is filled as values come, in bounded memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

MOST = 1 << 16
"""Bins that are held at most: beyond them pairs of bins merge."""

_CHUNK = 1 << 16  # values a pass: the buffers stay in the processor's cache (4 times as fast)


class Histogram:
    """Counts of |x| in equal bins from 0 on.

    The first values that are not all zero set the width: `bins` bins up to their largest
    magnitude. Bins of the same width are added where later values go further. This is the
    histogram of NVIDIA's pytorch-quantization (calib/histogram.py, HistogramCalibrator.collect);
    it needs no run over the data before, but depends on which values come first.
    """

    def __init__(self, bins: int) -> None:
        self.counts = np.zeros(bins, np.int64)
        self.width = 0.0  # of a bin; 0 while every value was zero
        self.largest = 0.0

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
        if self.width == 0.0:
            self.counts[0] += flat.size
        else:
            self._count(flat)
        return True

    def _reach(self, largest: float) -> None:
        """Add bins, or merge them, so that the last one holds the new largest magnitude."""
        self.largest = largest
        if self.width == 0.0:
            self.width = largest / len(self.counts)
            return
        while math.ceil(largest / self.width) > MOST:
            even = np.append(self.counts, np.zeros(len(self.counts) % 2, np.int64))
            self.counts = even.reshape(-1, 2).sum(axis=1)
            self.width *= 2.0
        missing = math.ceil(largest / self.width) - len(self.counts)
        if missing > 0:
            self.counts = np.append(self.counts, np.zeros(missing, np.int64))

    def _count(self, flat: npt.NDArray[np.float32]) -> None:
        scaled, places = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.intp)
        per_unit = np.float32(1.0 / self.width)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            out, place = scaled[: part.size], places[: part.size]
            np.abs(part, out=out)
            np.multiply(out, per_unit, out=out)
            place[:] = out
            np.minimum(place, len(self.counts) - 1, out=place)  # the largest value ends its bin
            self.counts += np.bincount(place, minlength=len(self.counts))
