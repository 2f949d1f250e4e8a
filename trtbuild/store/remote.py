"""A cache that others share, reached through fsspec: slow, full, refusing or lying, it is a miss.

Laid out as the local one, with `kin/` beside it, which finds actions that differ only in tools and
devices. Every answer has a time limit, every byte that is taken is hashed first, and nothing that
goes wrong here fails a build: it becomes a warning.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from trtbuild.errors import MissingPackage
from trtbuild.store.action_cache import (
    DISCOVERED_SETS,
    Trace,
    decode_discovered,
    decode_trace,
    is_of,
)
from trtbuild.store.address import safe_url, scrubbed
from trtbuild.store.attempt import Attempt, Failure
from trtbuild.store.digest import Digest, canonical_json
from trtbuild.store.index import kin_of
from trtbuild.store.transport import CHUNK_BYTES, PART_BYTES, PARTS_AT_ONCE, Moved, Transport

T = TypeVar("T")

LARGEST_DOCUMENT = 16 << 20
"""Bytes of a trace; what is larger is none."""

SLOWEST_BYTES_PER_SECOND = 1 << 20
"""A transfer that is slower than this, beyond the time limit of an answer, is given up."""

STEP_BYTES = PART_BYTES * PARTS_AT_ONCE
"""As much may move before a transfer is seen to have moved."""

FAILURES = 3
"""After so many failures in a row, or one that took all its time, a run asks no more."""

KIN = 32
"""How many kin of an action are looked at."""

NOT_FOUND = 404

_KEY = re.compile(r"[0-9a-f]{64}")


class Remote:
    """One remote cache in one run. Its methods never raise but for a missing package."""

    def __init__(self, url: str, *, read_only: bool, timeout: float) -> None:
        self.url = url
        self.read_only = read_only
        self.warnings: list[str] = []
        self.timeout = timeout
        self._files = Transport(url, timeout)
        self._failures = {"read": 0, "write": 0}
        self._blobs: dict[Digest, bool] = {}
        self.wrong: set[str] = set()  # hashes under which it was found to have other bytes
        self._traces: dict[str, Trace | None] = {}

    def is_off(self, kind: str = "read") -> bool:
        """Whether it has failed so often to "read" or to "write" that it is not asked any more."""
        return self._failures[kind] >= FAILURES

    def trace(self, key: str) -> Trace | None:
        """The trace of a key, if there is one, for exactly that action."""
        if key not in self._traces:
            data = self._read(_actions(key))
            trace = decode_trace(data) if data is not None else None
            if data is not None and (trace is None or not is_of(trace, key)):
                self._warn(f"its trace {key[:12]} is damaged, or of another action")
                trace = None
            self._traces[key] = trace
        return self._traces[key]

    def discovered(self, key: str) -> tuple[tuple[str, ...], ...]:
        """The sets of discovered files of a key; the names are not to be trusted."""
        data = self._read(_discovered(key))
        return decode_discovered(data) if data is not None else ()

    def kin(self, kin: str) -> list[str]:
        """Keys of actions that share all but tools, devices and what was discovered."""
        place = f"kin/{kin[:2]}/{kin[2:]}"

        def work(_: Moved) -> list[str]:
            return [name for name in self._files.names(place) if _KEY.fullmatch(name)][:KIN]

        return self._bounded(f"list {place}", work) or []

    def has(self, digest: Digest) -> bool:
        """Whether there is a file under that name; its bytes are judged when it is fetched."""
        if digest not in self._blobs:

            def work(_: Moved) -> bool:
                return self._files.exists(_blob(digest))

            self._blobs[digest] = bool(self._bounded("look for a blob", work))
        return self._blobs[digest]

    def fetch(
        self, digest: Digest, file: Path, progress: Callable[[float], None] | None = None
    ) -> bool:
        """Write a blob's bytes to a file; False if they cannot be had, or are not those bytes."""

        def work(moved: Moved) -> str:
            hasher, size = hashlib.sha256(), 0
            with self._files.reading(_blob(digest)) as reader, file.open("wb") as writer:
                while size <= digest.size_bytes and (data := reader.read(CHUNK_BYTES)):
                    hasher.update(data)
                    writer.write(data)
                    size += len(data)
                    moved(size)
                    if progress is not None and digest.size_bytes:
                        progress(min(1.0, size / digest.size_bytes))
            return hasher.hexdigest() if size == digest.size_bytes else f"{size} bytes"

        found = self._bounded(f"fetch {digest.hash[:12]}", work, digest.size_bytes)
        if found is not None and found != digest.hash:
            self.wrong.add(digest.hash)
            self._warn(f"it gave other bytes for {digest.hash[:12]}; they were thrown away")
        return found == digest.hash

    def put_blob(self, digest: Digest, file: Path) -> bool:
        """Store a blob unless there is one of its size; whether it is there now.

        One that was found to have other bytes is replaced.
        """

        def work(moved: Moved) -> bool:
            there = self._files.size(_blob(digest)) == digest.size_bytes
            if not there or digest.hash in self.wrong:
                self._files.put(file, _blob(digest), moved)
                self.wrong.discard(digest.hash)
            return True

        what = f"store {digest.hash[:12]}"
        return bool(self._bounded(what, work, digest.size_bytes, kind="write"))

    def put_trace(self, key: str, file: Path, trace: Trace) -> bool:
        """Store a trace, after the blobs that it names, and where its kin is found."""
        kin = kin_of(trace.action)
        places = (_actions(key), f"kin/{kin[:2]}/{kin[2:]}/{key}")

        def work(moved: Moved) -> bool:
            for place in places:
                self._files.put(file, place, moved)
            return True

        return bool(self._bounded(f"store the trace {key[:12]}", work, kind="write"))

    def put_discovered(self, key: str, sets: tuple[tuple[str, ...], ...]) -> None:
        """Store the sets of discovered files of a key, before those that others have put there."""
        others = tuple(names for names in self.discovered(key) if names not in sets)

        def work(moved: Moved) -> bool:
            with tempfile.NamedTemporaryFile(prefix="trtbuild-") as file:
                file.write(canonical_json((sets + others)[:DISCOVERED_SETS]))
                file.flush()
                self._files.put(Path(file.name), _discovered(key), moved)
            return True

        self._bounded(f"store what {key[:12]} reads", work, kind="write")

    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Those keys of which it has no trace."""
        if self._files.listable:
            there = set(self.action_keys())
            return [key for key in keys if key not in there]
        return [key for key in keys if self.trace(key) is None]

    def action_keys(self) -> list[str]:
        """The keys of all traces that it has; none where it cannot be listed."""

        def work(moved: Moved) -> list[str]:
            found = self._files.below("actions")
            moved(1)
            keys = ("".join(path.removesuffix(".json").split("/")[-2:]) for path in found)
            return [key for key in keys if _KEY.fullmatch(key)]

        return self._bounded("list the actions", work) or []

    def why_unlisted(self) -> str:
        """Why nobody can say what it has; "" where it can be asked."""
        return self._bounded("look for it", lambda _: self._files.why_unlisted()) or ""

    def _read(self, place: str) -> bytes | None:
        def work(moved: Moved) -> bytes:
            data = b""
            with self._files.reading(place) as reader:
                while chunk := reader.read(CHUNK_BYTES):
                    data += chunk
                    moved(len(data))
                    if len(data) > LARGEST_DOCUMENT:
                        raise Failure("a document without end")
            return data

        return self._bounded(f"read {place[:24]}", work)

    def _bounded(
        self,
        what: str,
        work: Callable[[Moved], T],
        size: int = 0,
        kind: str = "read",
    ) -> T | None:
        """Do something within its time; None if it failed or there is nothing there.

        The thread of what takes too long is left behind: nothing can end it, and nothing waits.
        """
        if self.is_off(kind):
            return None
        attempt = Attempt(work)
        limit = self.timeout + size / SLOWEST_BYTES_PER_SECOND
        stall = self.timeout + min(size, STEP_BYTES) / SLOWEST_BYTES_PER_SECOND
        if not attempt.wait(stall, limit):
            self._failures[kind] = FAILURES
            self._warn(f"{what}: no answer in time; it is not asked any more in this run")
            return None
        if attempt.error is None or (kind == "read" and _is_absence(attempt.error)):
            self._failures[kind] = 0
            return attempt.result
        if isinstance(attempt.error, MissingPackage):
            raise attempt.error
        self._failures[kind] += 1
        more = "; it is not asked any more in this run" if self.is_off(kind) else ""
        self._warn(f"{what}: {_reason(attempt.error)}{more}")
        return None

    def _warn(self, text: str) -> None:
        self.warnings.append(f"remote cache {safe_url(self.url)}: {text}")


def _is_absence(error: Exception) -> bool:
    """Whether there is just nothing there. Over HTTP fsspec says so of every failure, and names
    the true one as the cause (fsspec.implementations.http, `_info`)."""
    cause = error.__cause__
    status = getattr(cause, "status", None)
    failed = type(cause).__module__.partition(".")[0] in ("aiohttp", "asyncio", "builtins")
    if cause is None or isinstance(cause, FileNotFoundError) or status == NOT_FOUND:
        failed = False
    return isinstance(error, FileNotFoundError) and not failed


def _reason(error: Exception) -> str:
    """What went wrong, in a few words without credentials."""
    told = error.__cause__ if isinstance(error.__cause__, Exception) else error
    status = getattr(told, "status", None)
    text = f"{status} " if isinstance(status, int) else ""
    return f"{text}{type(told).__name__}: {scrubbed(str(told))}"


def _actions(key: str) -> str:
    return f"actions/{key[:2]}/{key[2:]}.json"


def _discovered(key: str) -> str:
    return f"discovered/{key[:2]}/{key[2:]}.json"


def _blob(digest: Digest) -> str:
    return f"cas/{digest.hash[:2]}/{digest.hash[2:]}"
