"""Checks a bundle with nothing but its own files and a public key: no network, no GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import ReleaseError, TrtbuildError
from trtbuild.release.archive import (
    FolderBundle,
    TarBundle,
    digest_stream,
    open_bundle,
    tar_difference,
)
from trtbuild.release.documents import ENVELOPE, MANIFEST, PROVENANCE, SUMS, schema_problem
from trtbuild.release.lock_read import parse_lock
from trtbuild.release.provenance import subjects
from trtbuild.release.signing import check_envelope
from trtbuild.store.digest import Digest
from trtbuild.trt.header import parse_plan_header

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LARGEST_DOCUMENT = 64 << 20
"""Bytes of a JSON document that is read into memory."""

PROOFS = frozenset({MANIFEST, PROVENANCE, ENVELOPE, SUMS})
"""The files that speak of the others; all others are in the manifest."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and in which file or field."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check found; `signer` is the key id that the bundle names, "" where it is unsigned."""

    findings: tuple[Finding, ...]
    files: int
    signer: str
    manifest: Any
    digests: dict[str, Digest]


def verify_release(path: Path, key: Ed25519PublicKey | None) -> Verified:
    """Check everything in a bundle; with a key also that it was signed by that.

    Raises UsageError where there is no bundle, ReleaseError for one with hostile names.
    """
    with open_bundle(path) as bundle:
        return _Check(path, bundle, key).run()


class _Check:
    def __init__(
        self, path: Path, bundle: FolderBundle | TarBundle, key: Ed25519PublicKey | None
    ) -> None:
        self._path, self._bundle, self._key = path, bundle, key
        self._findings: list[Finding] = []
        self._digests: dict[str, Digest] = {}
        self._signer = ""

    def run(self) -> Verified:
        for name in self._bundle.names:
            with self._bundle.open(name) as file:
                self._digests[name] = digest_stream(file)
        self._sums()
        manifest = self._document(MANIFEST, "manifest")
        statement = self._document(PROVENANCE, "provenance")
        if manifest is not None:
            self._files(manifest)
            self._engines(manifest)
            self._locks(manifest)
            self._archive(manifest)
        if statement is not None:
            self._subjects(statement)
        self._signature(manifest)
        found = tuple(dict.fromkeys(self._findings))
        return Verified(found, len(self._digests), self._signer, manifest, self._digests)

    def _find(self, where: str, what: str) -> None:
        self._findings.append(Finding(where, what))

    def _read(self, name: str) -> bytes | None:
        digest = self._digests.get(name)
        if digest is None:
            self._find(name, "is missing")
            return None
        if digest.size_bytes > LARGEST_DOCUMENT:
            self._find(name, f"is too large for a document: {digest.size_bytes} bytes")
            return None
        with self._bundle.open(name) as file:
            return file.read()

    def _document(self, name: str, schema: str) -> Any:
        data = self._read(name)
        if data is None:
            return None
        try:
            document = json.loads(data, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            self._find(name, f"is no JSON: {error}")
            return None
        problem = schema_problem(schema, document)
        if problem is not None:
            self._find(name, problem)
            return None
        return document

    def _sums(self) -> None:
        data = self._read(SUMS)
        if data is None:
            return
        listed: dict[str, str] = {}
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            sha256, _, name = line.partition("  ")
            if len(sha256) != 64 or not name or name in listed:
                self._find(f"{SUMS}:{number}", "is no line of digest and name, or not the only one")
            listed[name] = sha256
        if not listed:
            self._find(SUMS, "names no files")
        expected = {name: d.hash for name, d in self._digests.items() if name != SUMS}
        self._compare(SUMS, listed, expected)
        canonical = "".join(f"{listed[name]}  {name}\n" for name in sorted(listed)).encode()
        if data != canonical:
            self._find(SUMS, "is not in the form that trtbuild writes")

    def _compare(self, where: str, listed: dict[str, str], there: dict[str, str]) -> None:
        """Hold what a document lists against what is there, by name and sha256."""
        for name in sorted(listed.keys() | there.keys()):
            if name not in there:
                self._find(name, f"is missing; {where} names it")
            elif name not in listed:
                self._find(name, f"is not named by {where}")
            elif listed[name] != there[name]:
                short = f"{there[name][:12]}, not {listed[name][:12]}"
                self._find(name, f"was changed: its sha256 is {short} as {where} says")

    def _files(self, manifest: Any) -> None:
        listed = {item["path"]: item["sha256"] for item in manifest["files"]}
        if len(listed) != len(manifest["files"]):
            self._find(f"{MANIFEST} files", "names a file twice")
        there = {name: d.hash for name, d in self._digests.items() if name not in PROOFS}
        self._compare(MANIFEST, listed, there)
        for item in manifest["files"]:
            digest = self._digests.get(item["path"])
            if digest is not None and digest.size_bytes != item["size_bytes"]:
                self._find(item["path"], f"has {digest.size_bytes} bytes, not {item['size_bytes']}")
        for where, value in _references(manifest["recipes"], "recipes"):
            path = value if isinstance(value, str) else value["path"]
            digest = self._digests.get(path)
            if digest is None:
                self._find(f"{MANIFEST} {where}", f"names {path}, which is not there")
            elif isinstance(value, dict) and value["sha256"] != digest.hash:
                self._find(f"{MANIFEST} {where}", f"names another {path} than the one there")

    def _engines(self, manifest: Any) -> None:
        """Look at the first bytes of engines whose digests are right; none is deserialised."""
        wrong = {finding.where for finding in self._findings}
        for where, variant in _variants(manifest):
            path = variant["engine"]["path"]
            if path in wrong or path not in self._digests:
                continue
            with self._bundle.open(path) as file:
                head = file.read(4096)
            try:
                header = parse_plan_header(head, self._digests[path].size_bytes, path)
            except TrtbuildError as error:
                self._find(path, error.what)
                continue
            for name, is_so in (("backend", header.kind), ("version", header.version)):
                if variant[name] != is_so:
                    self._find(
                        f"{MANIFEST} {where}.{name}", f"is {variant[name]}; the engine is {is_so}"
                    )

    def _locks(self, manifest: Any) -> None:
        """Hold engines and references against the locks of their recipes."""
        for recipe in manifest["recipes"]:
            name = next(iter(recipe["shared"]["lock"]), "")
            data = self._read(name)
            if data is None:
                continue
            try:
                lock = parse_lock(data, name)
            except TrtbuildError as error:
                self._find(name, error.what)
                continue
            if lock.recipe != recipe["name"]:
                self._find(name, f"is the lock of {lock.recipe}, not of {recipe['name']}")
            for variant in recipe["variants"]:
                task = lock.tasks.get(f"build:{variant['name']}")
                locked = dict(task.outputs).get("engine.plan") if task else None
                if locked is None or locked.hash != variant["engine"]["sha256"]:
                    self._find(variant["engine"]["path"], f"is not the engine that {name} locks")

    def _archive(self, manifest: Any) -> None:
        if isinstance(self._bundle, TarBundle):
            offset = tar_difference(self._path, self._bundle, manifest["epoch"])
            if offset is not None:
                self._find(self._path.name, f"differs from its own files at byte {offset}")

    def _subjects(self, statement: Any) -> None:
        try:
            listed = subjects(statement)
        except ValueError as error:
            self._find(f"{PROVENANCE} subject", str(error))
            return
        outside = {PROVENANCE, ENVELOPE, SUMS}
        there = {name: d.hash for name, d in self._digests.items() if name not in outside}
        self._compare(PROVENANCE, listed, there)

    def _signature(self, manifest: Any) -> None:
        allowed = {item["name"] for item in manifest["allowed"]} if manifest else set()
        if ENVELOPE not in self._digests:
            if self._key is not None:
                self._find(ENVELOPE, "is missing: the bundle is unsigned")
            elif "unsigned" not in allowed:
                self._find(ENVELOPE, "is missing, and the manifest does not allow that")
            return
        envelope, payload = self._read(ENVELOPE), self._read(PROVENANCE)
        if envelope is None or payload is None:
            return
        try:
            self._signer = check_envelope(envelope, payload, self._key)
        except ReleaseError as error:
            self._find(error.where, error.what)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key is given twice")
    return document


def _variants(manifest: Any) -> Iterator[tuple[str, Any]]:
    for i, recipe in enumerate(manifest["recipes"]):
        for j, variant in enumerate(recipe["variants"]):
            yield f"recipes[{i}].variants[{j}]", variant


def _references(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The files that a part of the manifest names: {path, sha256, ...}, and paths below shared."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        if "sha256" in value:
            yield where, value
            return
        for name, item in value.items():
            if name == "shared":
                for role, paths in item.items():
                    yield from ((f"{where}.shared.{role}", path) for path in paths)
            elif name == "config" and isinstance(item, str):
                yield f"{where}.config", item
            else:
                yield from _references(item, f"{where}.{name}")
