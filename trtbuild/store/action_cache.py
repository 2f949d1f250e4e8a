"""Traces: an action key names the action and what came out of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.store.digest import Digest, canonical_json
from trtbuild.store.files import write_file

FORMAT = 1
"""Raised when a trace is written differently; a trace of another format is a miss."""

DISCOVERED_SETS = 8
"""How many sets of discovered files are kept per action: one for each recent branch or so."""


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
        """The trace of a key; None where there is none or it is damaged."""
        return _read_trace(self._path("actions", key))

    def record(self, key: str, trace: Trace) -> None:
        """Write a trace, after the blobs that it names. Raises StoreError."""
        document = {
            "format": FORMAT,
            "action": trace.action,
            "outputs": [[name, d.hash, d.size_bytes] for name, d in trace.outputs],
            "seconds": round(trace.seconds, 3),
            "warnings": list(trace.warnings),
        }
        write_file(self._path("actions", key), canonical_json(document))

    def discovered(self, key: str) -> tuple[tuple[str, ...], ...]:
        """The sets of files that runs of an action have been seen to read, latest first.

        `key` is the key of the action as far as it is known before it runs.
        """
        try:
            sets = json.loads(self._path("discovered", key).read_bytes())
            return tuple(tuple(str(name) for name in names) for names in sets)
        except (OSError, ValueError, TypeError):
            return ()

    def record_discovered(self, key: str, names: tuple[str, ...]) -> None:
        """Remember one more set of files. Raises StoreError."""
        others = [known for known in self.discovered(key) if known != names]
        sets = [names, *others][:DISCOVERED_SETS]
        write_file(self._path("discovered", key), canonical_json(sets))

    def _path(self, kind: str, key: str) -> Path:
        return self._root / kind / key[:2] / f"{key[2:]}.json"


def _read_trace(path: Path) -> Trace | None:
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            return None
        outputs = tuple((str(n), Digest(str(h), int(s))) for n, h, s in document["outputs"])
        return Trace(
            document["action"], outputs, float(document["seconds"]), tuple(document["warnings"])
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a damaged trace is a miss; recording replaces it
