"""What made a file: by the records beside it, and by the traces in the cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trtbuild.graph.workspace import RECORDS


def made_by(path: Path, content: str, cache: Path) -> dict[str, Any] | None:
    """The action that gave a file with this sha256: its key and document, and the recipe.

    The content decides, not the name: a copy under another name is found in the cache too.
    """
    for key, action, outputs in _traces(cache):
        for name, hash_, *_ in outputs:
            if hash_ == content:
                recipe = _recipe_beside(path, key)
                return {"recipe": recipe, "key": key, "output": name, "action": action}
    return None


def build_record(path: Path, size: int) -> dict[str, Any] | None:
    """What build.json beside an engine says of it, where it is about an engine of this size."""
    try:
        record = json.loads((path.parent / "build.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("engine_bytes") != size:
        return None
    return record


def _traces(cache: Path) -> Iterator[tuple[str, dict[str, Any], list[Any]]]:
    """Key, action and outputs of every trace that can be read, those of builds first."""
    found = []
    for file in sorted((cache / "actions").glob("*/*.json")):
        try:
            document = json.loads(file.read_bytes())
            found.append((file.parent.name + file.stem, document["action"], document["outputs"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged trace says nothing
    return iter(sorted(found, key=lambda item: item[1].get("stage") != "build"))


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
