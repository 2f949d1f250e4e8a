"""Digests and the canonical JSON that they are taken of."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK_BYTES = 4 << 20
"""Large enough that handing a buffer from thread to thread does not show beside sha256."""

Done = Callable[[float], None]
"""Told which fraction of some work is done, from 0 to 1."""

READ_AHEAD_BYTES = 16 << 20
"""From this size on reading and hashing overlap; a thread costs more than it saves below."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The sha256 of some bytes, in hexadecimal, and how many bytes they are."""

    hash: str
    size_bytes: int

    @property
    def text(self) -> str:
        """`sha256:HASH:SIZE`, as documents hold it."""
        return f"sha256:{self.hash}:{self.size_bytes}"


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN.

    Raises ValueError for NaN and infinities, TypeError for what is no JSON.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_of_bytes(data: bytes) -> Digest:
    """The digest of bytes in memory."""
    return Digest(hashlib.sha256(data).hexdigest(), len(data))


def digest_of_file(path: Path, progress: Done | None = None) -> Digest:
    """The digest of a file's content, read in chunks; `progress` is told the fraction of a large
    file that is read. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        if total >= READ_AHEAD_BYTES:
            return _digest_reading_ahead(file, total, progress)
        return digest_of_bytes(file.read())


def _digest_reading_ahead(file: io.FileIO, total: int, progress: Done | None) -> Digest:
    """Hash one buffer while another is filled; both release the interpreter's lock."""
    from concurrent.futures import ThreadPoolExecutor

    hasher = hashlib.sha256()
    size = 0
    filled, filling = memoryview(bytearray(CHUNK_BYTES)), memoryview(bytearray(CHUNK_BYTES))
    with ThreadPoolExecutor(max_workers=1) as reader:
        count = file.readinto(filled)
        while count:
            following = reader.submit(file.readinto, filling)
            hasher.update(filled[:count])
            size += count
            if progress is not None:
                progress(min(1.0, size / total))
            filled, filling = filling, filled
            count = following.result()
    return Digest(hasher.hexdigest(), size)
