"""How well frames of speech are told from silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def frame_agreement(
    cases: Sequence[Any], output: str = "speech_probs", threshold: float = 0.5
) -> float:
    """The fraction of frames where probability > `threshold` says what the annotators say."""
    labelled = [case for case in cases if "speech" in case.extras]
    right = [
        (np.ravel(case.outputs[output]) > threshold) == np.ravel(case.extras["speech"])
        for case in labelled
    ]
    return float(np.mean(np.concatenate(right)))
