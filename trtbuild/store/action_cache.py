"""Traces: an action key names the action and what came out of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.store.digest import Digest, canonical_json
from trtbuild.store.files import write_file

FORMAT = 2
"""Raised when a trace is written differently; a trace of another format is a miss."""

DISCOVERED_SETS = 8
"""How many sets of discovered files are kept per action: one for each recent branch or so."""

MARK_SECONDS = 3600
"""A use is marked at most once in so long, so that a no-op hardly ever writes."""

_HASH_DIGITS = frozenset("0123456789abcdef")
_CHECK = b',"sha256":"'
_CHECK_BYTES = len(_CHECK) + 64 + len(b'"}')


@dataclass(frozen=True, slots=True)
class Trace:
    """One success: the action's document, its outputs, and how long it took.

    `outputs` pairs file names with digests, sorted. `seconds` is a fact about that run and takes
    no part in any comparison.
    """

    action: dict[str, Any]
    outputs: tuple[tuple[str, Digest], ...]
    seconds: float
    warnings: tuple[str, ...] = ()


class ActionCache:
    """Traces below a folder, one JSON file each."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def lookup(self, key: str) -> Trace | None:
        """The trace of a key; None where there is none, or it is damaged or of another action."""
        try:
            trace = decode_trace(self.path(key).read_bytes())
        except OSError:
            return None
        return trace if trace is not None and is_of(trace, key) else None

    def record(self, key: str, trace: Trace) -> None:
        """Write a trace, after the blobs that it names. Raises StoreError."""
        write_file(self.path(key), encode_trace(trace))

    def mark_used(self, key: str) -> None:
        """Note in the trace's modification time that it was used; recent marks are left."""
        path = self.path(key)
        with contextlib.suppress(OSError):  # an unmarked use makes a removal earlier, not wrong
            age = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - no-op path
            if not 0 <= age < MARK_SECONDS:
                os.utime(path)

    def path(self, key: str) -> Path:
        """Where the trace of a key lies, whether it is there or not."""
        return self._path("actions", key)

    def discovered_path(self, key: str) -> Path:
        """Where the sets of discovered files of a key lie, whether they are there or not."""
        return self._path("discovered", key)

    def discovered(self, key: str) -> tuple[tuple[str, ...], ...]:
        """The sets of files that runs of an action have been seen to read, latest first.

        `key` is the key of the action as far as it is known before it runs.
        """
        try:
            return decode_discovered(self.discovered_path(key).read_bytes())
        except OSError:
            return ()

    def record_discovered(self, key: str, names: tuple[str, ...]) -> None:
        """Remember one more set of files. Raises StoreError."""
        others = [known for known in self.discovered(key) if known != names]
        sets = [names, *others][:DISCOVERED_SETS]
        write_file(self.discovered_path(key), canonical_json(sets))

    def _path(self, kind: str, key: str) -> Path:
        return self._root / kind / key[:2] / f"{key[2:]}.json"


def decode_discovered(data: bytes) -> tuple[tuple[str, ...], ...]:
    """The sets of file names that a document holds; none where it is damaged."""
    try:
        sets = json.loads(data)
        canonical_json(sets)  # raises ValueError for text that is no Unicode
        found = tuple(tuple(str(name) for name in names) for names in sets[:DISCOVERED_SETS])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    return () if any("\0" in name for names in found for name in names) else found


def encode_trace(trace: Trace) -> bytes:
    """A trace as a JSON document, whose last member is the sha256 of the rest."""
    document = {
        "format": FORMAT,
        "action": trace.action,
        "outputs": [[name, d.hash, d.size_bytes] for name, d in trace.outputs],
        "seconds": round(trace.seconds, 3),
        "warnings": list(trace.warnings),
    }
    body = canonical_json(document)
    return body[:-1] + _CHECK + hashlib.sha256(body).hexdigest().encode() + b'"}'


def decode_trace(data: bytes) -> Trace | None:
    """The trace that a document holds; None where it is damaged or of another format."""
    body = data[:-_CHECK_BYTES] + b"}"
    check = _CHECK + hashlib.sha256(body).hexdigest().encode() + b'"}'
    if data[-_CHECK_BYTES:] != check:
        return None
    try:
        document = json.loads(body, parse_constant=_refused)
        if document["format"] != FORMAT:
            return None
        outputs = tuple((_file_name(n), _digest(h, s)) for n, h, s in document["outputs"])
        warnings = tuple(_printable(str(text)) for text in document["warnings"])
        action, seconds = _action(document["action"]), float(document["seconds"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # whoever wrote it knew how to sum it, but not what a trace is
    return Trace(action, outputs, seconds, warnings) if math.isfinite(seconds) else None


def is_of(trace: Trace, key: str) -> bool:
    """Whether a trace is of the action of that key, and names only files that the action makes."""
    try:
        if hashlib.sha256(canonical_json(trace.action)).hexdigest() != key:
            return False
    except ValueError:  # text that is no Unicode
        return False
    names = [name for name, _ in trace.outputs]
    return len(set(names)) == len(names) and set(names) <= set(trace.action["outputs"])


def _action(document: Any) -> dict[str, Any]:
    """An action's document, if it has the form of one: readers rely on that.

    Raises ValueError, KeyError, TypeError or AttributeError.
    """
    shown = [document["stage"], *document["outputs"]]
    shown += [text for fact in document["toolchain"].items() for text in fact]
    others = [text for fact in document["discovered"].items() for text in fact]
    others += [text for pair in document["inputs"].items() for text in pair]
    if not all(isinstance(text, str) for text in shown + others):
        raise ValueError("no action")
    if not all(text.isprintable() for text in shown):
        raise ValueError("what a terminal could take for a command")
    return {**document, "options": dict(document["options"])}


def _refused(constant: str) -> object:
    """What Python's JSON reader makes of NaN and infinities. Raises ValueError."""
    raise ValueError(f"no JSON: {constant}")


def _printable(text: str) -> str:
    """Text that a terminal can show: what it could take for a command is replaced."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _file_name(name: object) -> str:
    """A name directly below the outputs folder: no path, nothing hidden. Raises ValueError."""
    if not isinstance(name, str) or "/" in name or "\0" in name or name.startswith("."):
        raise ValueError(f"no file name: {name!r}")
    return name


def _digest(hash_: object, size: object) -> Digest:
    """Raises ValueError for what is no digest: it becomes a path of the storage."""
    if not isinstance(hash_, str) or len(hash_) != 64 or not _HASH_DIGITS.issuperset(hash_):
        raise ValueError(f"no sha256: {hash_!r}")
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"no size: {size!r}")
    return Digest(hash_, size)
