"""What made a file: by the records beside it, and by the traces in the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trtbuild.discovery.folders import RECORDS
from trtbuild.store.action_cache import ActionCache
from trtbuild.store.index import Index


def made_by(path: Path, content: str, cache: Path) -> dict[str, Any] | None:
    """The action that gave a file with this sha256: its key and document, and the recipe.

    The content decides, not the name: a copy under another name is found in the cache too.
    """
    found = []
    index = Index(cache)
    actions = ActionCache(cache)
    for key in index.naming(content):
        trace = actions.lookup(key)
        for name, digest in trace.outputs if trace is not None else ():
            if trace is not None and digest.hash == content:
                found.append((trace.action["stage"] != "build", key, name, trace.action))
    index.close()
    if not found:
        return None
    _, key, name, action = min(found, key=lambda one: one[:3])  # builds first
    return {"recipe": _recipe_beside(path, key), "key": key, "output": name, "action": action}


def build_record(path: Path, size: int) -> dict[str, Any] | None:
    """What build.json beside an engine says of it, where it is about an engine of this size."""
    try:
        record = json.loads((path.parent / "build.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("engine_bytes") != size:
        return None
    return record if _is_whole(record) else None


def _is_whole(record: dict[str, Any]) -> bool:
    """Whether a record has what is shown of it: anybody may have written the file."""
    ports = {"inputs": {"name", "dtype", "min", "max"}, "outputs": {"name", "dtype", "shape"}}
    return {"precision", "layers", *ports} <= record.keys() and all(
        isinstance(record[kind], list)
        and all(isinstance(port, dict) and keys <= port.keys() for port in record[kind])
        for kind, keys in ports.items()
    )


def _recipe_beside(path: Path, key: str) -> str | None:
    """The name of the recipe whose output folder holds the file, by its record of this key."""
    folder = path.resolve().parent.parent
    for record in (folder / RECORDS).glob("*.json"):
        try:
            if json.loads(record.read_bytes())["key"] == key:
                return folder.name
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
