"""Makes a release: checks that it may be made, gathers what is in it, and writes the bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import ReleaseError, UsageError
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.release import documents
from trtbuild.release.archive import Entry, write_bundle
from trtbuild.release.conditions import Objection, objections, require, require_allowed
from trtbuild.release.documents import json_bytes, schema_problem
from trtbuild.release.gather import Gathered, add_levels, gather
from trtbuild.release.locked import LockGuard
from trtbuild.release.provenance import input_files, statement, tools_of
from trtbuild.release.sbom import sbom
from trtbuild.release.signing import sign
from trtbuild.release.source import release_time, source_state
from trtbuild.release.start import Start, require_unchanged
from trtbuild.release.triton import add_triton
from trtbuild.store.digest import digest_of_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Order:
    """What release is asked for; `key` signs it."""

    target: Path
    with_onnx: bool
    allowed: frozenset[str]
    required: tuple[str, ...]
    key: Ed25519PrivateKey | None


@dataclass(frozen=True, slots=True)
class Made:
    """What was written."""

    target: Path
    files: int
    size_bytes: int
    allowed: tuple[Objection, ...]


def make_release(guards: Sequence[LockGuard], starts: Sequence[Start], order: Order) -> Made:
    """Write the bundle of recipes that a session has brought up to date, held to their locks.

    `starts` are the recipes and locks that it was begun with, and are what the bundle holds.
    Raises ReleaseError for what is neither in order nor allowed, UsageError for a target that is
    there, StoreError for one that cannot be written; then nothing is.
    """
    _check_names([guard.rebuilder for guard in guards])
    found = [
        gather(guard.rebuilder, guard.lock, start, with_onnx=order.with_onnx)
        for guard, start in zip(guards, starts, strict=True)
    ]
    for recipe in found:
        add_levels(recipe)
        add_triton(recipe)
    states = [
        source_state(recipe.rebuilder.recipe.folder, _source_files(recipe, start))
        for recipe, start in zip(found, starts, strict=True)
    ]
    require_unchanged(guards, starts, states)
    against = objections(found, states, signed=order.key is not None)
    allowed = require_allowed(against, order.allowed)
    require(found, order.required)
    epoch = release_time(tuple(states))
    tools = tools_of(found)

    entries = [entry for recipe in found for entry in recipe.entries]
    entries.append(_entry(documents.SBOM, "sbom", sbom(found, tools, epoch)))
    entries.append(_entry(documents.LICENCES, "licences", documents.licences(found, tools)))
    manifest = documents.manifest(
        found, states, entries, epoch=epoch, allowed=allowed, required=order.required
    )
    entries.append(_document(documents.MANIFEST, "manifest", manifest))
    parameters = {
        "require": list(order.required),
        "allow": sorted(item.name for item in allowed),
        "onnx": order.with_onnx,
    }
    made = statement(found, states, entries, tools, parameters=parameters)
    provenance = _document(documents.PROVENANCE, "provenance", made)
    entries.append(provenance)
    if order.key is not None:
        assert isinstance(provenance.content, bytes)  # noqa: S101 - made from a document
        envelope = sign(provenance.content, order.key)
        entries.append(_entry(documents.ENVELOPE, "signature", envelope))
    entries.append(_entry(documents.SUMS, "sums", documents.sums(entries)))
    write_bundle(entries, order.target, epoch)
    size = sum(entry.digest.size_bytes for entry in entries)
    return Made(order.target, len(entries), size, allowed)


def _source_files(found: Gathered, start: Start) -> Iterator[Path]:
    """Every file that a release is made from."""
    recipe = found.rebuilder.recipe
    yield from (path for path, content in start.documents.values() if content is not None)
    yield from (recipe.folder / name for name in (*recipe.package.notices, *input_files(found)))


def _entry(path: str, role: str, content: bytes) -> Entry:
    return Entry(path, role, content, digest_of_bytes(content))


def _document(path: str, role: str, document: dict[str, Any]) -> Entry:
    """A document that has a published schema, which it must agree with."""
    problem = schema_problem(role, document)
    if problem is not None:
        raise ReleaseError(f"is not as its schema says: {problem}", where=path)
    return _entry(path, role, json_bytes(document))


def _check_names(rebuilders: Sequence[Rebuilder]) -> None:
    names: dict[str, Path] = {}
    reserved = {"triton", *(name.lower() for name in _TOP)}
    for rebuilder in rebuilders:
        name, path = rebuilder.recipe.name, rebuilder.recipe.path
        if name.lower() in reserved:
            raise UsageError(f"a recipe called {name} cannot be released", where=str(path))
        if name.lower() in names:
            raise UsageError(
                f"{names[name.lower()]} has the same name",
                where=f"{path} name",
                hint="give each recipe of a release a name of its own",
            )
        names[name.lower()] = path


_TOP = (
    documents.MANIFEST,
    documents.PROVENANCE,
    documents.ENVELOPE,
    documents.SUMS,
    documents.SBOM,
    documents.LICENCES,
)
