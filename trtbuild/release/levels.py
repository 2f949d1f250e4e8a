"""How far two builds of the same thing agree: the levels R0 to R5, and what differs first."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from trtbuild.trt.tactics import changes

LEVELS = {
    "R0": "the inputs are locked, and as they were locked",
    "R1": "the same ONNX bytes",
    "R2": "the same tactics",
    "R3": "the same layers",
    "R4": "the same plan bytes",
    "R5": "the same outputs on the golden inputs",
}

CHUNK = 1 << 20

INTERNAL_NAME = re.compile(rb"__mye[0-9]+")
"""What TensorRT's graph compiler calls the tensors and operations that it makes itself."""

Layers = Sequence[Mapping[str, str]]
"""Name, kind and tactic of each layer of an engine, in order."""


@dataclass(frozen=True, slots=True)
class Level:
    """Whether a level is reached; None where it could not be measured or means nothing here."""

    reached: bool | None
    note: str


def level_reached(levels: Mapping[str, Level]) -> str:
    """The highest level up to which none fails; "none" where R0 does."""
    best = "none"
    for name in LEVELS:
        level = levels[name]
        if level.reached is False:
            break
        if level.reached:
            best = name
    return best


def same_layers(one: Layers, other: Layers) -> tuple[Level, Level]:
    """R2 and R3 of two engines by what the inspector tells: the same tactics, the same layers."""
    if not one or not other:
        unknown = Level(None, "the engine tells nothing of its layers")
        return unknown, unknown
    for index, (before, after) in enumerate(zip(one, other, strict=False)):
        if (before["name"], before["kind"]) != (after["name"], after["kind"]):
            text = f"layer {index} is '{after['name']}', not '{before['name']}'"
            return Level(False, text), Level(False, text)
    if len(one) != len(other):
        text = f"{len(other)} layers, not {len(one)}"
        return Level(False, text), Level(False, text)
    layers = Level(True, f"{len(one)} layers, by the inspector")
    for before, after in zip(one, other, strict=True):
        if before["tactic"] != after["tactic"]:
            text = f"'{before['name']}' runs {after['tactic']}, not {before['tactic']}"
            return Level(False, text), layers
    named = sum(bool(layer["tactic"]) for layer in one)
    if not named:
        return Level(None, "the engine does not tell its tactics"), layers
    return Level(True, f"the tactics of {named} layers, by the inspector"), layers


def same_tactics(
    one: Mapping[str, str], other: Mapping[str, str], names: Mapping[str, str]
) -> Level:
    """R2 of two builds by the tactics that their timing caches hold; `names` of operations."""
    found = changes(one, other)
    if found:
        more = f"; {len(found)} operations in all" if len(found) > 1 else ""
        return Level(False, f"{found[0].text(names)}{more}")
    return Level(True, f"the tactics of {len(one)} operations, by the timing cache")


@dataclass(frozen=True, slots=True)
class ByteDifference:
    """How two files differ: sizes, how many bytes, and the first and last of them."""

    sizes: tuple[int, int]
    count: int
    first: int
    last: int

    def __str__(self) -> str:
        if self.sizes[0] != self.sizes[1]:
            return f"{self.sizes[0]} and {self.sizes[1]} bytes, from byte {self.first} on"
        share = 100 * self.count / self.sizes[0]
        return f"{self.count} bytes ({share:.2g} %) within bytes {self.first} to {self.last}"


def compare_bytes(one: Path, other: Path) -> ByteDifference | None:
    """How two files differ, or None. Raises OSError."""
    count, first, last, offset = 0, -1, -1, 0
    sizes = one.stat().st_size, other.stat().st_size
    with one.open("rb") as a, other.open("rb") as b:
        while True:
            x, y = a.read(CHUNK), b.read(CHUNK)
            if not x and not y:
                break
            if x != y:
                places = [i for i, (p, q) in enumerate(zip(x, y, strict=False)) if p != q]
                count += len(places) + abs(len(x) - len(y))
                begins = places[0] if places else min(len(x), len(y))
                first = offset + begins if first < 0 else first
                last = offset + (max(len(x), len(y)) - 1 if len(x) != len(y) else places[-1])
            offset += max(len(x), len(y))
    return ByteDifference(sizes, count, first, last) if count else None


@dataclass(frozen=True, slots=True)
class Renaming:
    """Two plans that say the same by other names: how many differ, and the first of them."""

    count: int
    before: str
    after: str

    def __str__(self) -> str:
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"only internal names differ: {self.before} is {self.after}{more}"


def renaming(one: Path, other: Path) -> Renaming | None:
    """How two plans of the same size differ, if it is in the numbers of internal names only.

    Each name must stand for one of the other plan wherever it is. Raises OSError.
    """
    size = one.stat().st_size
    if size != other.stat().st_size or not size:
        return None
    with (
        one.open("rb") as a,
        other.open("rb") as b,
        mmap.mmap(a.fileno(), 0, access=mmap.ACCESS_READ) as before,
        mmap.mmap(b.fileno(), 0, access=mmap.ACCESS_READ) as after,
    ):
        pairs = _names(before, after)
    changed = [(x, y) for x, y in pairs.items() if x != y]
    if not changed or len(set(pairs.values())) != len(pairs):
        return None
    return Renaming(len(changed), changed[0][0].decode(), changed[0][1].decode())


def _names(before: mmap.mmap, after: mmap.mmap) -> dict[bytes, bytes]:
    """What each internal name is called in the other; nothing where more than that differs."""
    pairs: dict[bytes, bytes] = {}
    last = 0
    for x, y in zip_longest(INTERNAL_NAME.finditer(before), INTERNAL_NAME.finditer(after)):
        if x is None or y is None or x.span() != y.span():
            return {}
        if before[last : x.start()] != after[last : y.start()]:
            return {}
        if pairs.setdefault(x[0], y[0]) != y[0]:
            return {}
        last = x.end()
    return pairs if before[last:] == after[last:] else {}


def same_in_all(notes: Sequence[str | None], good: str) -> Level:
    """A level that holds if no round has something to say against it."""
    wrong = [(number, note) for number, note in enumerate(notes, 1) if note]
    if not wrong:
        return Level(True, good)
    number, note = wrong[0]
    return Level(False, f"{len(wrong)} of {len(notes)} rounds differ; round {number}: {note}")
