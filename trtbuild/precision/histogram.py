"""A histogram of magnitudes that is filled as values come, in memory that never grows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_BITS = 14
FINE = 1 << _BITS
"""Bins that are held; a calibration method's own 2048 are made of them at the end."""

_CHUNK = 1 << 16  # values a pass: the buffers stay in the processor's cache (4 times as fast)


class Histogram:
    """Counts of |x| in FINE equal bins over [0, limit), where limit is a power of two.

    Where a value goes beyond the limit, the limit doubles and pairs of bins merge. Widths are
    powers of two throughout, so that the counts depend on the values alone: not on their order,
    nor on how they were split into batches.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(FINE, np.int64)
        self.largest = 0.0
        self._exponent: int | None = None  # limit = 2**exponent; None: only zeros so far

    @property
    def limit(self) -> float:
        """The upper end of the last bin; 0 where every value was zero."""
        return 0.0 if self._exponent is None else math.ldexp(1.0, self._exponent)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def add(self, values: npt.NDArray[Any]) -> bool:
        """Count the magnitudes of an array; False, and nothing counted, where one is not finite."""
        if values.size == 0:
            return True
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        largest = max(abs(float(flat.min())), abs(float(flat.max())))
        if not math.isfinite(largest):
            return False
        self.largest = max(self.largest, largest)
        if largest > 0.0:
            self._widen(math.frexp(largest)[1])
        if self._exponent is None:
            self.counts[0] += flat.size
        else:
            self._count(flat, np.float32(math.ldexp(1.0, _BITS - self._exponent)))
        return True

    def rebinned(self, bins: int) -> npt.NDArray[np.int64]:
        """The counts in so many equal bins over [0, largest].

        A fine bin goes as a whole to the bin that its centre is in: no count is split, and the
        ends are off by half a fine bin at most.
        """
        centres = (np.arange(FINE) + 0.5) * (self.limit / FINE)
        places = np.minimum((centres * (bins / self.largest)).astype(np.intp), bins - 1)
        return np.bincount(places, self.counts, bins).astype(np.int64)

    def _widen(self, exponent: int) -> None:
        """Make the limit 2**exponent where it is smaller; merged bins move to the lower end."""
        if self._exponent is None:
            self._exponent = exponent
        # After so many halvings all counts are in the first bin.
        for _ in range(min(exponent - self._exponent, _BITS + 1)):
            self.counts[: FINE // 2] = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[FINE // 2 :] = 0
        self._exponent = max(self._exponent, exponent)

    def _count(self, flat: npt.NDArray[np.float32], per_unit: np.float32) -> None:
        """Scaling by a power of two is exact, so that a value's bin is too."""
        scaled, places = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.intp)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            out, place = scaled[: part.size], places[: part.size]
            np.abs(part, out=out)
            np.multiply(out, per_unit, out=out)
            place[:] = out
            self.counts += np.bincount(place, minlength=FINE)
