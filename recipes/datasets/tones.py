"""Sines of known pitch, alone and with overtones: exact truth for models that hear pitch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sample = dict[str, NDArray[Any]]

CREPE_RATE, CREPE_FRAME = 16000, 1024  # Hz, samples
PITCH_RATE, PITCH_WINDOW = 22050, 43844  # Hz, samples
LOWEST_KEY = 21  # MIDI number of the piano's lowest key, A0: the first bin of basic-pitch


def tone(hertz: float, rate: int, count: int, phase: float = 0.0) -> NDArray[np.float64]:
    """A sine with four weaker overtones, as a string has them: [count], from -1 to 1."""
    time = np.arange(count) / rate
    overtones = [0.5**n * np.sin(2 * np.pi * hertz * (n + 1) * time + phase) for n in range(5)]
    total: NDArray[np.float64] = np.sum(overtones, axis=0)
    total /= np.abs(total).max()
    return total


def frames(low: float, high: float, count: int) -> Iterator[Sample]:
    """Frames for CREPE: frames float32 [1024], mean 0 and deviation 1; hertz float64 [].

    `count` pitches from `low` to `high` Hz with equal steps in pitch, each at another phase.
    """
    for index, hertz in enumerate(np.geomspace(low, high, count)):
        samples = tone(hertz, CREPE_RATE, CREPE_FRAME, phase=index)
        frame = (samples - samples.mean()) / samples.std()
        yield {"frames": frame.astype(np.float32), "hertz": np.array(hertz)}


def notes(keys: Sequence[int], name: str) -> Iterator[Sample]:
    """Two seconds of a note for each MIDI key: the input `name` float32 [43844, 1], key int64 [].

    `key` counts from the piano's lowest key, as the bins of basic-pitch do.
    """
    for midi in keys:
        hertz = 440 * 2 ** ((midi - 69) / 12)
        samples = 0.5 * tone(hertz, PITCH_RATE, PITCH_WINDOW)
        yield {
            name: samples[:, None].astype(np.float32),
            "key": np.array(midi - LOWEST_KEY, np.int64),
        }
