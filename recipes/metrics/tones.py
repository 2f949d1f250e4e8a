"""How well the pitch of a tone is heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS, CENTS_PER_BIN, FIRST_BIN = 360, 20.0, 1997.3794084376191  # CREPE's bins, in cents above 10 Hz


def raw_pitch_accuracy(
    cases: Sequence[Any], output: str = "pitch", within_cents: float = 50.0
) -> float:
    """The fraction of frames whose pitch is at most so many cents off (the CREPE paper's RPA)."""
    errors = [
        np.abs(cents(case.outputs[output]) - 1200 * np.log2(np.ravel(case.extras["hertz"]) / 10))
        for case in cases
        if "hertz" in case.extras
    ]
    return float(np.mean(np.concatenate(errors) <= within_cents))


def cents(activation: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Pitch in cents above 10 Hz [N] from CREPE's activations [N, 360].

    The mean of the bins around the largest one, weighted by activation: Kim et al., "CREPE: A
    convolutional representation for pitch estimation", ICASSP 2018, section 2.
    """
    grid = FIRST_BIN + CENTS_PER_BIN * np.arange(BINS)
    near = np.abs(np.arange(BINS) - activation.argmax(1)[:, None]) <= 4
    weight = np.where(near, activation, 0).astype(np.float64)
    mean: NDArray[np.float64] = (weight * grid).sum(1) / weight.sum(1)
    return mean


def note_accuracy(cases: Sequence[Any], output: str, threshold: float = 0.5) -> float:
    """The fraction of windows whose strongest key is right, and active, in the median frame."""
    right = [
        (frames.argmax() == key) and frames.max() > threshold
        for case in cases
        if "key" in case.extras
        for frames, key in zip(
            np.median(case.outputs[output], axis=1), np.ravel(case.extras["key"]), strict=True
        )
    ]
    return float(np.mean(right))
