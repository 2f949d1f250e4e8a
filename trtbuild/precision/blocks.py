"""Quantizes a weight matrix to int4 by blocks: round to nearest, and the searches of AWQ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from trtbuild.precision.moments import Floats, Moments

_Matrix = npt.NDArray[np.float32]

Method = Literal["rtn", "awq_lite", "awq_clip", "awq_full"]

LARGEST = 7
"""Of the magnitudes of int4 that scales are made for; the code -8 is left over by symmetry."""

_ALPHAS = np.linspace(0.0, 1.0, 21)  # the grid of AWQ's search of the scales
_SHRINKS = 1.0 - np.arange(11) / 20.0  # the grid of its search of the clipping: 1 down to 0.5
_SMALLEST = 1e-4  # of a scale of a channel


@dataclass(frozen=True, slots=True)
class Blocks:
    """Codes (K by N, int8 from -8 to 7) and scales (K / block by N): weight = code * scale."""

    codes: npt.NDArray[np.int8]
    scales: _Matrix


@dataclass(frozen=True, slots=True)
class Quantized:
    """The matrices that read one activation, and what the activation is divided by for them:
    one number a channel, None where nothing is gained by that.
    """

    matrices: tuple[Blocks, ...]
    smoothing: _Matrix | None


def quantize_matrices(
    weights: Sequence[_Matrix],
    block: int,
    method: Method,
    moments: Moments | None,
) -> Quantized:
    """Quantize the matrices (K by N each, K a multiple of the block) that read one activation.

    rtn: round to nearest, the scale of a block its largest magnitude / 7.
    awq_lite: AWQ (Lin et al., arXiv:2306.00978, section 3.2): channels are multiplied by
    s = mean(|x|)^alpha before rounding and the activation divided by s, with the alpha on a grid
    from 0 to 1 that makes the least error in the product.
    awq_clip: AWQ's weight clipping (auto_clip of the authors' llm-awq): the scale of each block is
    shrunk down to one half, to the size that makes the least error in the block's part.
    awq_full: both, in that order.
    `moments` are those of the activation; rtn needs none.
    """
    smoothing = None
    if moments is not None and method in ("awq_lite", "awq_full"):
        smoothing = _search_smoothing(weights, block, moments)
    factors = np.ones(len(weights[0]), np.float32) if smoothing is None else smoothing
    scaled = [weight * factors[:, None] for weight in weights]
    if moments is not None and method in ("awq_clip", "awq_full"):
        grams = _block_grams(moments.gram / np.outer(factors, factors), block)
        return Quantized(tuple(_clipped(weight, grams) for weight in scaled), smoothing)
    return Quantized(tuple(_rounded(weight, block, 1.0) for weight in scaled), smoothing)


def decoded(blocks: Blocks) -> _Matrix:
    """The weights that the codes stand for, K by N."""
    size = len(blocks.codes) // len(blocks.scales)
    return (blocks.codes * np.repeat(blocks.scales, size, axis=0)).astype(np.float32, copy=False)


def _rounded(weight: _Matrix, block: int, shrink: float) -> Blocks:
    amax = np.abs(weight.reshape(-1, block, weight.shape[1])).max(axis=1)
    scales = np.where(amax > 0.0, amax * (shrink / LARGEST), 1.0).astype(np.float32)
    codes = np.rint(weight / np.repeat(scales, block, axis=0)).clip(-LARGEST - 1, LARGEST)
    return Blocks(codes.astype(np.int8), scales)


def _search_smoothing(weights: Sequence[_Matrix], block: int, moments: Moments) -> _Matrix | None:
    mean = np.maximum(moments.magnitude / max(moments.rows, 1), 1e-8)
    gram = moments.gram.astype(np.float32)  # half the time; errors are compared, not added up
    best, found = np.inf, None
    for alpha in _ALPHAS:
        plain = np.maximum(mean**alpha, _SMALLEST)
        factors = (plain / np.sqrt(plain.max() * plain.min())).astype(np.float32)
        error = sum(_smoothed_error(weight, factors, block, gram) for weight in weights)
        if error < best:
            best, found = error, (factors if alpha > 0.0 else None)
    return found


def _smoothed_error(weight: _Matrix, factors: _Matrix, block: int, gram: _Matrix) -> float:
    """|X (W - W')|^2, with W' what the rounded, smoothed weight is worth."""
    rounded = decoded(_rounded(weight * factors[:, None], block, 1.0)) / factors[:, None]
    off = rounded - weight
    return float(np.sum(off * (gram @ off), dtype=np.float64))


def _block_grams(gram: Floats, block: int) -> _Matrix:
    """The blocks on the diagonal: K / block by block by block."""
    starts = range(0, len(gram), block)
    parts = [gram[start : start + block, start : start + block] for start in starts]
    return np.stack(parts).astype(np.float32)


def _clipped(weight: _Matrix, grams: _Matrix) -> Blocks:
    block, columns = grams.shape[1], weight.shape[1]
    tries = [_rounded(weight, block, shrink) for shrink in _SHRINKS]
    errors = []
    for attempt in tries:
        off = (decoded(attempt) - weight).reshape(-1, block, columns)
        errors.append(np.sum(off * (grams @ off), axis=1))
    best = np.argmin(errors, axis=0)  # per block and column
    scales = np.choose(best, [attempt.scales for attempt in tries])
    rows = np.repeat(best, block, axis=0)
    return Blocks(np.choose(rows, [attempt.codes for attempt in tries]), scales)
