"""50 news texts and how similar people find them: the documents of Lee, Pincombe and Welsh.

Beside them 300 others from the same source, which nobody judged: for calibration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from fetched import fetched
from numpy.typing import NDArray
from wordpiece import WordPiece

Sample = dict[str, NDArray[Any]]


def texts(batch: int = 4, longest: int = 256) -> Iterator[Sample]:
    """Batches of texts, as long as the longest text in them: input_ids, attention_mask [N, T].

    `document` int64 [N] numbers the texts, and row n of `human` float64 [N, 50] holds how similar
    people find text n and each of the 50, from 0 to 1.
    """
    tokenizer = WordPiece(fetched("minilm-tokenizer.json"))
    documents = fetched("data/lee.cor").read_text("latin-1").splitlines()
    human = np.loadtxt(fetched("data/similarities0-1.txt"))
    human = np.triu(human, 1) + np.triu(human, 1).T + np.eye(len(human))
    ids = [tokenizer.encode(text, longest) for text in documents]
    for start in range(0, len(ids), batch):
        some = ids[start : start + batch]
        yield {
            **_padded(some),
            "document": np.arange(start, start + len(some)),
            "human": human[start : start + batch],
        }


def background(batch: int = 4, longest: int = 256) -> Iterator[Sample]:
    """Batches of the texts that nobody judged: input_ids and attention_mask int64 [N, T]."""
    tokenizer = WordPiece(fetched("minilm-tokenizer.json"))
    documents = fetched("data/lee_background.cor").read_text("latin-1").splitlines()
    for start in range(0, len(documents), batch):
        yield _padded([tokenizer.encode(t, longest) for t in documents[start : start + batch]])


def _padded(ids: list[list[int]]) -> Sample:
    width = max(map(len, ids))
    return {
        "input_ids": np.array([row + [0] * (width - len(row)) for row in ids], np.int64),
        "attention_mask": np.array(
            [[1] * len(row) + [0] * (width - len(row)) for row in ids], np.int64
        ),
    }
