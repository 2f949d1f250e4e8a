"""The documents of a bundle: manifest, checksums, licence notes; and their schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import trtbuild
from trtbuild.errors import MissingPackage
from trtbuild.recipe.schema import validator
from trtbuild.release.archive import Entry
from trtbuild.release.conditions import Objection
from trtbuild.release.gather import Gathered
from trtbuild.release.source import SourceState
from trtbuild.release.tools import Tool

MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
ENVELOPE = "provenance.dsse.json"
SUMS = "SHA256SUMS"
SBOM = "sbom.cdx.json"
LICENCES = "LICENCES.txt"

FORMAT = 1
"""The version of the manifest's form."""


def json_bytes(document: Any) -> bytes:
    """A document as a bundle holds it: readable, sorted, and the same bytes each time."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def timestamp(epoch: int) -> str:
    """Seconds since 1970 as RFC 3339, in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(
    found: Sequence[Gathered],
    states: Sequence[SourceState],
    entries: Sequence[Entry],
    *,
    epoch: int,
    allowed: Sequence[Objection],
    required: Sequence[str],
) -> dict[str, Any]:
    """What is in a bundle, for consumers; schemas/manifest.schema.json describes it."""
    return {
        "format": FORMAT,
        "trtbuild": trtbuild.__version__,
        "created": timestamp(epoch),
        "epoch": epoch,
        "allowed": [{"name": item.name, "what": item.text} for item in allowed],
        "required": list(required),
        "recipes": [_recipe(recipe, state) for recipe, state in zip(found, states, strict=True)],
        "files": [
            {
                "path": entry.path,
                "role": entry.role,
                "sha256": entry.digest.hash,
                "size_bytes": entry.digest.size_bytes,
            }
            for entry in sorted(entries, key=lambda entry: entry.path)
        ],
    }


def _recipe(found: Gathered, state: SourceState) -> dict[str, Any]:
    return {
        "name": found.name,
        "commit": state.commit,
        "licence": found.rebuilder.recipe.package.licence,
        "shared": found.shared,
        "variants": found.variants,
    }


def sums(entries: Sequence[Entry]) -> bytes:
    """`sha256sum -c SHA256SUMS` checks these lines."""
    ordered = sorted(entries, key=lambda entry: entry.path)
    return "".join(f"{entry.digest.hash}  {entry.path}\n" for entry in ordered).encode()


def licences(found: Sequence[Gathered], tools: Sequence[Tool]) -> bytes:
    """Whose terms apply to what is in a bundle, as far as the recipes and packages say."""
    lines = ["The models in this bundle", ""]
    for recipe in found:
        package = recipe.rebuilder.recipe.package
        lines.append(f"{recipe.name}: {package.licence or 'the recipe states no licence'}")
        lines += [f"  see {path}" for path in recipe.shared.get("notice", ())]
    lines += ["", "What made them (nothing of it is in this bundle)", ""]
    lines += [f"{tool.name} {tool.version}: {tool.licence or 'not stated'}" for tool in tools]
    lines += [
        "",
        "An engine holds code of the TensorRT that built it; NVIDIA's terms for that apply.",
    ]
    return ("\n".join(lines) + "\n").encode()


def schema_problem(name: str, document: Any) -> str | None:
    """The first difference of a document from schemas/NAME.schema.json, or None."""
    try:
        problems = validator(f"{name}.schema.json").iter_errors(document)
        from jsonschema.exceptions import best_match
    except ImportError as error:
        raise MissingPackage(f"jsonschema cannot be imported: {error}") from error
    problem = best_match(problems)
    if problem is None:
        return None
    place = problem.json_path.removeprefix("$").removeprefix(".")
    return f"{place}: {problem.message}" if place else str(problem.message)
