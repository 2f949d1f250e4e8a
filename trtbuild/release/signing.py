"""Signatures: ed25519 over a DSSE envelope (github.com/secure-systems-lab/dsse, v1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trtbuild.errors import MissingPackage, ReleaseError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAKE_KEY = "openssl genpkey -algorithm ed25519 -out release.key"


def sign(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The envelope of a payload, as JSON."""
    signature = key.sign(_pre_authentication(PAYLOAD_TYPE, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}
        ],
    }
    return json.dumps(envelope, indent=1, sort_keys=True).encode() + b"\n"


def check_envelope(envelope: bytes, payload: bytes, key: Ed25519PublicKey | None) -> str:
    """The key id that an envelope names, once its payload and (given a key) signature are right.

    Raises ReleaseError with what is wrong.
    """
    where = "provenance.dsse.json"
    try:
        document: Any = json.loads(envelope)
        inside = base64.b64decode(document["payload"], validate=True)
        kind = document["payloadType"]
        signatures = [
            (str(item["keyid"]), base64.b64decode(item["sig"], validate=True))
            for item in document["signatures"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise ReleaseError(f"no DSSE envelope: {error}", where=where) from error
    if kind != PAYLOAD_TYPE or not signatures:
        raise ReleaseError("an envelope of something else, or without signature", where=where)
    if inside != payload:
        raise ReleaseError("what was signed is not provenance.json", where=where)
    if key is not None:
        _check_signature(signatures, payload, key, where)
    return signatures[0][0]


def _check_signature(
    signatures: list[tuple[str, bytes]], payload: bytes, key: Ed25519PublicKey, where: str
) -> None:
    from cryptography.exceptions import InvalidSignature

    wanted = key_id(key)
    found = [signature for name, signature in signatures if name == wanted]
    if not found:
        raise ReleaseError(
            f"signed by the key {signatures[0][0][:16]}, not by {wanted[:16]}", where=where
        )
    try:
        key.verify(found[0], _pre_authentication(PAYLOAD_TYPE, payload))
    except InvalidSignature:
        raise ReleaseError(f"the signature of {wanted[:16]} is wrong", where=where) from None


def key_id(key: Ed25519PublicKey) -> str:
    """The sha256 of the public key (DER, SubjectPublicKeyInfo), in hexadecimal."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """An ed25519 key in PEM or OpenSSH form. Raises UsageError for anything else."""
    data = _read(path)
    serialization, ed25519 = _library()
    if b"PUBLIC KEY" in data or data.startswith(b"ssh-"):
        raise UsageError(
            "this is a public key; signing needs the private one",
            where=str(path),
            hint="give the file that the public key was made of",
        )
    loader = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH" in data
        else serialization.load_pem_private_key
    )
    key = _load(path, data, loader, {"password": None})
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _wrong_type(path, key)
    return cast("Ed25519PrivateKey", key)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public ed25519 key of a file, which may also hold the private one."""
    data = _read(path)
    serialization, ed25519 = _library()
    if _is_private(data):
        return read_private_key(path).public_key()
    ssh = data.startswith(b"ssh-")
    loader = serialization.load_ssh_public_key if ssh else serialization.load_pem_public_key
    key = _load(path, data, loader, {})
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _wrong_type(path, key)
    return cast("Ed25519PublicKey", key)


def holds_private_key(path: Path) -> bool:
    """Whether a file of a key holds the private one."""
    return _is_private(_read(path))


def _is_private(data: bytes) -> bool:
    return b"PRIVATE KEY" in data


def _load(path: Path, data: bytes, loader: Any, options: dict[str, Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return loader(data, **options)
    except TypeError as error:  # what cryptography raises for a key under a password
        raise UsageError(
            "this key is under a password",
            where=str(path),
            hint="openssl pkey -in KEY -out PLAIN, in a place that only the release job can read",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("this is no key", where=str(path), hint=f"make one: {MAKE_KEY}") from error


def _wrong_type(path: Path, key: object) -> UsageError:
    kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey").strip("_")
    return UsageError(
        f"this is a key of type {kind}; bundles are signed with ed25519",
        where=str(path),
        hint=f"make one: {MAKE_KEY}",
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingPackage(
            "signatures need cryptography, which is not installed",
            hint="pip install 'trtbuild[release]'",
        ) from error
    return serialization, ed25519


def _pre_authentication(kind: str, payload: bytes) -> bytes:
    """DSSE's PAE: what is signed, so that no payload can be taken for one of another type."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
