"""Where fetch_models.py puts the files that the datasets and metrics read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[1] / "fetched"


def fetched(name: str) -> Path:
    """The path of a fetched file. Raises FileNotFoundError that says how to fetch it."""
    path = FOLDER / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `python recipes/fetch_models.py`")
    return path


def read_wave(name: str, rate: int) -> NDArray[np.float32]:
    """The samples of a fetched 16-bit mono file of `rate` Hz, from -1 to 1."""
    import wave

    with wave.open(str(fetched(name)), "rb") as file:
        form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if form != (rate, 1, 2):
            raise ValueError(f"{name} has (rate, channels, bytes) {form}, not {(rate, 1, 2)}")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (samples / 32768).astype(np.float32)
