"""Bundles: how tests make them, and change them by accident or with care."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.project import Project
from trtbuild.cli import main
from trtbuild.errors import ExitCode, ReleaseError
from trtbuild.release.signing import sign
from trtbuild.release.verify import verify_release

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(b"o" * 32)
ALLOW = "unsigned,unverified"  # this machine has no GPU, so no engine is run


def release(
    project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str, allow: str = ALLOW
) -> ExitCode:
    """`trtbuild release tiny.yaml` in this process."""
    monkeypatch.chdir(project.folder)
    allowed = ["--allow", allow] if allow else []
    return main(["release", "tiny.yaml", *allowed, *arguments, "--cache", str(project.cache)])


def write_key(path: Path, key: Any = None, password: bytes | None = None) -> Path:
    """A private key in PEM."""
    chosen = key or ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    protect = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(chosen.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protect))
    public = chosen.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


def places(path: Path, key: ed25519.Ed25519PrivateKey | None = KEY) -> set[str]:
    """Where the findings of a check are; {"refused"} where it goes no further."""
    try:
        found = verify_release(path, key.public_key() if key else None).findings
    except ReleaseError:
        return {"refused"}
    return {finding.where for finding in found}


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a bundle by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)}


def files_of(folder: Path) -> list[Path]:
    """The files of a bundle, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON document in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def consistent(bundle: Path, signer: ed25519.Ed25519PrivateKey | None = None) -> None:
    """What a forger does after a change: recompute manifest, provenance, sums and signature."""

    def sha256(name: str) -> str:
        return hashlib.sha256((bundle / name).read_bytes()).hexdigest()

    proofs = {"manifest.json", "provenance.json", "provenance.dsse.json", "SHA256SUMS"}
    names = [str(path.relative_to(bundle)) for path in files_of(bundle)]

    def manifest(document: Any) -> None:
        roles = {item["path"]: item["role"] for item in document["files"]}
        document["files"] = [
            {
                "path": name,
                "role": roles.get(name, "other"),
                "sha256": sha256(name),
                "size_bytes": (bundle / name).stat().st_size,
            }
            for name in names
            if name not in proofs
        ]

    rewrite(bundle / "manifest.json", manifest)
    outside = {"provenance.json", "provenance.dsse.json", "SHA256SUMS"}
    subjects = [{"name": n, "digest": {"sha256": sha256(n)}} for n in names if n not in outside]
    rewrite(bundle / "provenance.json", lambda document: document.update(subject=subjects))
    if signer is not None:
        envelope = sign((bundle / "provenance.json").read_bytes(), signer)
        (bundle / "provenance.dsse.json").write_bytes(envelope)
    sums(bundle)


def sums(bundle: Path) -> None:
    """Recompute SHA256SUMS."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(bundle)}\n"
        for path in files_of(bundle)
        if path.name != "SHA256SUMS"
    ]
    (bundle / "SHA256SUMS").write_text("".join(sorted(lines, key=lambda line: line[66:])))


def swap(first: Path, second: Path) -> None:
    """Exchange two files' bytes."""
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def append(path: Path) -> None:
    """Add a byte."""
    path.write_bytes(path.read_bytes() + b"\0")
