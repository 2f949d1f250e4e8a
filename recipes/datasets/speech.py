"""30 seconds of conversation with its speaker turns: voice activity and wake word front ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from fetched import fetched, read_wave
from numpy.typing import NDArray

RATE = 16000  # Hz
FRAME, CONTEXT = 512, 64  # samples: what Silero VAD judges at once, and what it sees before
STATE = (1, 1, 128)
MEL_WINDOW, MEL_STEP = 76, 8  # mel frames of one embedding, and between two of them

Sample = dict[str, NDArray[Any]]


def frames() -> Iterator[Sample]:
    """The whole recording as one sequence for Silero VAD.

    input float32 [T, 576] (each frame with the end of the one before it), h and c the LSTM's
    first state, and speech bool [T]: whether somebody speaks in the middle of the frame.
    """
    sequence, speech = _framed()
    zeros = np.zeros(STATE, np.float32)
    yield {"input": sequence, "h": zeros, "c": zeros, "speech": speech}


def stream(samples: int) -> Iterator[Sample]:
    """So many frames one by one, each with the state that the model leaves after those before it.

    input float32 [1, 576], state float32 [2, 1, 128], sr int64 [], and speech bool [1].
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(fetched("silero_vad_if.onnx"))
    state, rate = np.zeros((2, 1, 128), np.float32), np.array(RATE, np.int64)
    for frame, speaks in islice(zip(*_framed(), strict=True), samples):
        values = {"input": frame[None], "state": state, "sr": rate}
        yield {**values, "speech": np.array([speaks])}
        state = session.run(["stateN"], values)[0]


def _framed() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The recording as frames with context [T, 576], and whether somebody speaks in each [T]."""
    samples = read_wave("data/sample.wav", RATE)
    count = len(samples) // FRAME
    parts = samples[: count * FRAME].reshape(count, FRAME)
    before = np.vstack([np.zeros((1, CONTEXT), np.float32), parts[:-1, -CONTEXT:]])
    middle = (np.arange(count) + 0.5) * FRAME / RATE
    speech = np.any([(a <= middle) & (middle < b) for a, b in turns()], axis=0)
    return np.hstack([before, parts]), speech


def turns() -> list[tuple[float, float]]:
    """When somebody speaks, in seconds, from the recording's RTTM file (fields 4 and 5)."""
    lines = fetched("data/sample.rttm").read_text("utf-8").splitlines()
    fields = [line.split() for line in lines if line.startswith("SPEAKER")]
    return [(float(f[3]), float(f[3]) + float(f[4])) for f in fields]


def clips(samples: int) -> Iterator[Sample]:
    """The recording cut into clips of so many samples: input float32 [samples] from -1 to 1."""
    recording = read_wave("data/sample.wav", RATE)
    for start in range(0, len(recording) - samples + 1, samples):
        yield {"input": recording[start : start + samples]}


def mel_windows() -> Iterator[Sample]:
    """Windows of the recording's mel spectrogram: input_1 float32 [76, 32, 1].

    The spectrogram comes from wake_melspec, and x / 10 + 2 is the scale that the embedding was
    trained with (openWakeWord).
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(fetched("wake_melspec.onnx"))
    recording = read_wave("data/sample.wav", RATE)
    mel = session.run(None, {"input": recording[None]})[0].reshape(-1, 32) / 10 + 2
    for start in range(0, len(mel) - MEL_WINDOW + 1, MEL_STEP):
        yield {"input_1": mel[start : start + MEL_WINDOW, :, None].astype(np.float32)}
