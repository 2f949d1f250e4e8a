"""How well sentence embeddings agree with people about what is similar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def human_correlation(cases: Sequence[Any], output: str) -> float:
    """Pearson's correlation of cosine similarities with people's, over all pairs of texts."""
    known = [case for case in cases if "human" in case.extras]
    number = np.concatenate([case.extras["document"] for case in known])
    embedding = np.concatenate([case.outputs[output] for case in known]).astype(np.float64)
    human = np.concatenate([case.extras["human"] for case in known])[:, number]
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    pairs = np.triu_indices(len(number), 1)
    return float(np.corrcoef((embedding @ embedding.T)[pairs], human[pairs])[0, 1])
