"""The WordPiece tokenizer of BERT's lower-case English models, as far as plain text needs it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

LONGEST_WORD = 100  # letters; a longer one is unknown


class WordPiece:
    """Turns text into ids; `path` is a tokenizer.json whose model is WordPiece.

    After Google's BERT: tokenization.py, BasicTokenizer and WordpieceTokenizer.
    """

    def __init__(self, path: Path) -> None:
        self.ids: dict[str, int] = json.loads(path.read_text("utf-8"))["model"]["vocab"]

    def encode(self, text: str, longest: int) -> list[int]:
        """[CLS], at most longest - 2 pieces, [SEP]."""
        pieces = [piece for word in words(text) for piece in self._pieces(word)]
        return [self.ids["[CLS]"], *pieces[: longest - 2], self.ids["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        """The longest known beginning, then the longest known rest, and so on."""
        found: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            before = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self.ids.get(before + word[start:end])
                if piece is not None:
                    found.append(piece)
                    start = end
                    break
            else:
                break
        return found if start == len(word) else [self.ids["[UNK]"]]


def words(text: str) -> Iterator[str]:
    """Lower-case words without accents; each mark of punctuation is a word."""
    word = ""
    for letter in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(letter)
        if category == "Mn":
            continue
        if letter.isspace() or category.startswith("C"):
            yield from filter(None, [word])
            word = ""
        elif _is_punctuation(letter, category):
            yield from filter(None, [word, letter])
            word = ""
        else:
            word += letter
    yield from filter(None, [word])


def _is_punctuation(letter: str, category: str) -> bool:
    """ASCII that is neither letter nor digit counts too, as it does in BERT."""
    return category.startswith("P") or (letter.isascii() and not letter.isalnum())
