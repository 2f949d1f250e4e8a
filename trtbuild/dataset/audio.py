"""Batches from .wav files, cut into frames."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trtbuild.dataset.files import batched, listed, ordered, target
from trtbuild.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtbuild.dataset.base import Batch, Demand
    from trtbuild.model.inputs import Array


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a frame begins in its file."""

    path: Path
    start: int


def batches(demand: Demand) -> Iterator[Batch]:
    """Frames of `frame` samples, `hop` apart (by default next to each other), of every file in
    the order of names. Values are in [-1, 1), the mean of the channels. What is left at a file's
    end and fills no frame is left out.

    Raises StageError with the file: for another sampling rate than `rate`, for what is no PCM.
    """
    options: Any = demand.options
    item = target(demand)
    length, hop = int(options["frame"]), int(options.get("hop") or options["frame"])
    frames: list[_Frame] = []
    for path in listed(demand, "audio"):
        count = _length(path, options.get("rate"))
        frames += [_Frame(path, start) for start in range(0, count - length + 1, hop)]
    if not frames:
        raise StageError(
            f"no file is as long as one frame of {length} samples",
            where=str(demand.options["audio"]),
            hint="give longer recordings, or a smaller `frame`",
        )
    shape = item.opt[1:]
    samples = (
        (
            f"{frame.path}, from sample {frame.start}",
            {item.name: _shaped(_read(frame, length), shape)},
        )
        for frame in ordered(frames, demand)
    )
    return batched(samples, demand, str(demand.options["audio"]))


def _length(path: Path, rate: int | None) -> int:
    with _open(path) as file:
        if rate is not None and file.getframerate() != rate:
            raise StageError(
                f"the recording has {file.getframerate()} samples a second, not {rate}",
                where=str(path),
                hint=f"convert it first: `ffmpeg -i in.wav -ar {rate} out.wav`",
            )
        return file.getnframes()


def _read(frame: _Frame, length: int) -> Array:
    with _open(frame.path) as file:
        channels, width = file.getnchannels(), file.getsampwidth()
        file.setpos(frame.start)
        content = file.readframes(length)
    if len(content) < length * channels * width:
        raise _unreadable(frame.path, "it ends early")
    mixed: Array = _decoded(content, width).reshape(length, channels).mean(axis=1, dtype=np.float32)
    return mixed


def _decoded(content: bytes, width: int) -> Array:
    """PCM as float32 in [-1, 1): 8 bits are unsigned, the others little-endian and signed."""
    if width == 1:
        return (np.frombuffer(content, np.uint8).astype(np.float32) - 128.0) / 128.0
    if width == 3:
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0].astype(np.float32) / 2.0**31
    return np.frombuffer(content, f"<i{width}").astype(np.float32) / 2.0 ** (8 * width - 1)


def _shaped(values: Array, shape: tuple[int, ...]) -> Array:
    """A frame in the shape of one sample, where that holds as many values."""
    if np.prod(shape, dtype=int) == values.size:
        return values.reshape(shape)
    return values  # the check of shapes says what does not fit, with the place


def _open(path: Path) -> wave.Wave_read:
    try:
        return wave.open(str(path), "rb")
    except (OSError, EOFError, wave.Error) as error:
        raise _unreadable(path, str(error) or "the file is empty") from error


def _unreadable(path: Path, why: str) -> StageError:
    return StageError(
        f"the recording cannot be read: {why}",
        where=str(path),
        hint="give .wav files of PCM samples, as `ffmpeg -i in -c:a pcm_s16le out.wav` writes them",
    )
