"""Folders of recordings as datasets."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.dataset.reading import declared, error, joined, read

AUDIO = {"kind": "audio", "audio": "data", "frame": 4}


FRAMES = declared("frames", 4)


def recording(
    path: Path, content: bytes, *, channels: int = 1, width: int = 2, rate: int = 8000
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(content)


def test_a_recording_is_cut_into_frames(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", np.arange(10, dtype="<i2").tobytes())
    frames = joined(read(tmp_path, AUDIO, FRAMES), "frames") * 2**15
    assert frames.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    overlapping = joined(read(tmp_path, {**AUDIO, "hop": 3}, FRAMES), "frames") * 2**15
    assert overlapping[:, 0].tolist() == [0, 3, 6]


def test_a_frame_takes_the_shape_of_a_sample(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", np.arange(8, dtype="<i2").tobytes())
    assert joined(read(tmp_path, AUDIO, declared("frames", 4, 1)), "frames").shape == (2, 4, 1)
    assert "axis 1 is 4" in error(tmp_path, AUDIO, declared("frames", 5)).what


@pytest.mark.parametrize(
    ("width", "content"),
    [
        (1, np.array([0, 64, 128, 192], np.uint8).tobytes()),
        (2, np.array([-(2**15), -(2**14), 0, 2**14], "<i2").tobytes()),
        (3, b"".join(v.to_bytes(3, "little", signed=True) for v in (-(2**23), -(2**22), 0, 2**22))),
        (4, np.array([-(2**31), -(2**30), 0, 2**30], "<i4").tobytes()),
    ],
)
def test_every_width_of_pcm_becomes_numbers_from_minus_one_to_one(
    tmp_path: Path, width: int, content: bytes
) -> None:
    recording(tmp_path / "data/a.wav", content, width=width)
    assert joined(read(tmp_path, AUDIO, FRAMES), "frames").tolist() == [[-1, -0.5, 0, 0.5]]


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.array([[1, 3], [2, 4], [0, 0], [5, 7]], "<i2")
    recording(tmp_path / "data/a.wav", stereo.tobytes(), channels=2)
    frames = joined(read(tmp_path, AUDIO, FRAMES), "frames") * 2**15
    assert frames.tolist() == [[2, 3, 0, 6]]


def test_another_sampling_rate_is_refused_with_the_command_that_converts(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", bytes(16), rate=44100)
    found = error(tmp_path, {**AUDIO, "rate": 16000}, FRAMES)
    assert found.what == "the recording has 44100 samples a second, not 16000"
    assert "-ar 16000" in found.hint


def test_recordings_that_are_too_short_or_no_wav_are_refused(tmp_path: Path) -> None:
    recording(tmp_path / "data/a.wav", bytes(6))
    assert "as long as one frame of 4 samples" in error(tmp_path, AUDIO, FRAMES).what
    (tmp_path / "data/a.wav").write_bytes(b"RIFF")
    assert "cannot be read" in error(tmp_path, AUDIO, FRAMES).what
