"""How far the range of a tensor goes, by percentile or entropy, from a histogram of magnitudes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trtbuild.precision.histogram import Histogram

BINS = 2048
"""That entropy searches, from 0 to the largest magnitude: NVIDIA's number. With others it finds
other thresholds, and with LEVELS bins it finds the largest value, whatever the data is."""

LEVELS = 128
"""Magnitudes of a signed 8-bit integer: the bins that a candidate is quantized to."""

_Floats = npt.NDArray[np.float64]


def percentile(histogram: Histogram, share: float) -> float:
    """The magnitude that `share` percent of all values do not exceed, 0 < share <= 100.

    The quantile of TensorRT's IInt8LegacyCalibrator (get_quantile), and of NVIDIA's
    pytorch-quantization (calib/histogram.py, _compute_amax_percentile). Within a bin of the
    histogram values are taken as evenly spread.
    """
    sums = np.cumsum(histogram.counts)
    wanted = share / 100.0 * float(sums[-1])
    place = int(np.searchsorted(sums, wanted))
    below = float(sums[place - 1]) if place else 0.0
    inside = (wanted - below) / float(max(sums[place] - below, 1))
    return float(min((place + inside) * histogram.width, histogram.largest))


def entropy(histogram: Histogram) -> float:
    """The threshold T for which clipping at T and quantizing to LEVELS loses least information.

    The search of TensorRT's IInt8EntropyCalibrator2, as NVIDIA published it: S. Migacz, "8-bit
    inference with TensorRT", GTC 2017, and pytorch-quantization (calib/histogram.py,
    _compute_amax_entropy). For each threshold from LEVELS bins on: the distribution clipped
    there, the clipped mass in its last bin, is the reference P; the same without that mass, each
    group of bins replaced by the mean of those that are not empty, is Q; the threshold with the
    least Kullback-Leibler divergence of P from Q is chosen, the largest of equals. The first bin
    is taken as full as the second, since zeros (behind a ReLU) are exact in any scale.

    Where few values fill a tail many thresholds lose nearly the same, far from each other.
    """
    if histogram.largest == 0.0:
        return 0.0
    counts = histogram.rebinned(BINS)
    counts[0] = counts[1]
    divergence = _divergences(counts)
    best = len(divergence) - 1 - int(np.argmin(divergence[::-1]))
    return (best + LEVELS) / BINS * histogram.largest


def _divergences(counts: _Floats) -> _Floats:
    """KL(P || Q) for every threshold from LEVELS bins on; infinite where Q lacks mass that P has.

    With h the counts, T their total, and for the group k of a bin S its sum and N its bins that
    are not empty: Q is (S / N) / Z with Z the clipped total, so that
    KL = sum p log p - sum over groups of (P's mass in k) log(S / N / Z).
    """
    sums = np.concatenate(([0.0], np.cumsum(counts)))
    filled = np.concatenate(([0.0], np.cumsum(counts > 0)))
    ends = np.arange(LEVELS, len(counts) + 1)
    total, clipped, last = sums[-1], sums[ends], counts[ends - 1]
    outliers = total - clipped
    plogp = np.concatenate(([0.0], np.cumsum(_xlogx(counts / total))))
    own = plogp[ends - 1] + _xlogx((last + outliers) / total)
    lost = (last == 0) & (outliers > 0)  # P has the outliers in a bin that is empty in Q
    return np.where(lost, np.inf, own - _cross(sums, filled, ends, outliers))


def _cross(
    sums: _Floats, filled: _Floats, ends: npt.NDArray[np.intp], outliers: _Floats
) -> _Floats:
    """The sum over groups, for each threshold; `sums` and `filled` are cumulative."""
    edges = -(-np.outer(ends, np.arange(LEVELS + 1)) // LEVELS)  # the first bin of each group
    mass = np.diff(sums[edges], axis=1)  # S
    width = np.diff(filled[edges], axis=1)  # N
    share = mass.copy()
    share[:, -1] += outliers
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(mass / width / sums[ends][:, None])
        found: _Floats = np.where(share > 0, share / sums[-1] * level, 0.0).sum(axis=1)
    return found


def _xlogx(values: _Floats) -> _Floats:
    return values * np.log(values, out=np.zeros_like(values), where=values > 0)
