"""The members of each binding's classes, recorded, so that every test run can compare with them.

`python -m tests.trt.conformance.surfaces` fetches the bindings and writes surfaces.json anew. In it
a class has its members by a text of ones and zeros: in which of the versions they are.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.trt.conformance.bindings import BINDINGS, Classes, fetch, look_into

FILE = Path(__file__).with_name("surfaces.json")

Surface = Mapping[str, frozenset[str]]
"""By class, "" for the module: the names of its members."""


def recorded() -> dict[str, Surface]:
    """By version, what the file says."""
    document = json.loads(FILE.read_text())
    return {
        version: {
            owner: names
            for owner, members in document["classes"].items()
            if (names := _at(members, index))
        }
        for index, version in enumerate(document["versions"])
    }


def _at(members: Mapping[str, str], index: int) -> frozenset[str]:
    return frozenset(
        name for where, names in members.items() if where[index] == "1" for name in names.split()
    )


def names_of(classes: Classes) -> Surface:
    """The members that a surface is made of: public ones, and those of an enum."""
    found = {
        owner: frozenset(name for name in members if _public(name))
        for owner, members in classes.items()
    }
    return {owner: names for owner, names in found.items() if names}


def _public(name: str) -> bool:
    return not name.startswith("_") or name in ("__members__", "__version__")


def document(surfaces: Mapping[str, Surface]) -> str:
    """The file's text, a class a line."""
    versions = list(surfaces)
    owners = sorted({owner for surface in surfaces.values() for owner in surface})
    lines = []
    for owner in owners:
        places: dict[str, list[str]] = {}
        for name in sorted({n for s in surfaces.values() for n in s.get(owner, ())}):
            where = "".join(str(int(name in surfaces[v].get(owner, ()))) for v in versions)
            places.setdefault(where, []).append(name)
        written = {where: " ".join(names) for where, names in sorted(places.items(), reverse=True)}
        lines.append(f"{json.dumps(owner)}: {json.dumps(written)}")
    classes = ",\n".join(lines)
    return f'{{"versions": {json.dumps(versions)},\n"classes": {{\n{classes}\n}}}}\n'


def main() -> int:
    """Fetch, look and write."""
    found: dict[str, Surface] = {}
    for binding in BINDINGS:
        with tempfile.TemporaryDirectory() as folder:
            reason = fetch(binding, Path(folder))
            if reason:
                print(reason, file=sys.stderr)
                return 1
            found[binding.version] = names_of(look_into(binding, Path(folder)))
    FILE.write_text(document(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
