"""What is wrong with a recipe: the place, the text and the remedy of one mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from trtbuild.recipe.model import Position, dotted_key

Key: TypeAlias = tuple[str | int, ...]
"""Where a value lies in a recipe: ("surgery", 2, "op"); () is the whole of it."""

SHOWN = 60
"""Characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the value of `key`.

    `spoils` is what cannot be used because of it, and what later checks go on without. The place
    is `position`, or else where the longer of the two keys is written.
    """

    key: Key
    text: str
    hint: str = ""
    position: Position | None = None
    spoils: Key | None = None

    def report(self, path: Path, positions: Mapping[Key, Position]) -> Report:
        """The problem as a line of `path`, whose keys are written at `positions`."""
        place_of = max(self.key, self.spoils or (), key=len)
        position = self.position or _nearest(place_of, positions)
        place = f"{path}:{position.line}:{position.column}" if position else str(path)
        key = f" {dotted_key(self.key)}" if self.key else ""
        remedy = f"\n  hint: {self.hint}" if self.hint else ""
        return Report(str(path), position, f"{place}{key}: {self.text}{remedy}")


class BadKey(ValueError):  # noqa: N818 - reads as what it is
    """A value that means nothing, found by who gives a part of a recipe its meaning."""

    def __init__(self, key: Key, text: str) -> None:
        super().__init__(f"{dotted_key(key)}: {text}")
        self.key = key
        self.text = text


@dataclass(frozen=True, slots=True)
class Report:
    """A problem as it is printed, and what reports are sorted by."""

    path: str
    position: Position | None
    text: str

    @property
    def order(self) -> tuple[str, int, int, str]:
        """File, line, column; a problem of the whole file comes first."""
        if self.position is None:
            return self.path, 0, 0, self.text
        return self.path, self.position.line, self.position.column, self.text


def nearest(word: str, candidates: Iterable[str]) -> list[str]:
    """The one of the candidates that looks most like a word, if one does."""
    from difflib import get_close_matches  # slow to import, and only needed for a mistake

    by_lower = {candidate.lower(): candidate for candidate in candidates}
    return [by_lower[near] for near in get_close_matches(word.lower(), by_lower, n=1)]


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`. Did you mean 'opt'?` for the nearest of the candidates, or nothing."""
    return "".join(f". Did you mean '{near}'?" for near in nearest(word, candidates))


def shown(value: object) -> str:
    """A value as a recipe would write it in one line, cut where it is long."""
    text = "nothing" if value is None else _flow(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


def listed(words: Iterable[object]) -> str:
    """`a, b and c`."""
    texts = [str(word) for word in words]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _flow(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_flow(item)}' for name, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(item) for item in value)}]"
    return str(value)


def _nearest(key: Key, positions: Mapping[Key, Position]) -> Position | None:
    for length in range(len(key), -1, -1):
        position = positions.get(key[:length])
        if position is not None:
            return position
    return None
