"""Files of a remote cache by fsspec: what differs from one kind of address to the next.

Everything here may raise anything, and may take for ever: `trtbuild.store.remote` bounds it.
Whatever the size of a file, a few MiB of it are in memory at once.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from trtbuild.store.address import connect

CHUNK_BYTES = 4 << 20
PART_BYTES = 8 << 20
"""A part of an upload to object storage. S3 takes 10,000 of them, so a file of 80 GB."""

PARTS_AT_ONCE = 2

SFTP_BYTES = 32 << 10
"""The most that one request of SFTP asks for (paramiko.sftp_file.SFTPFile.MAX_REQUEST_SIZE)."""

Moved = Callable[[int], None]


class Reader(Protocol):
    """What a file is read from."""

    # Some bytes, at most so many; none at its end.
    def read(self, size: int, /) -> bytes: ...


class Transport:
    """Reads and writes files at one address."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._scheme = url.partition("://")[0]
        self._timeout = timeout
        self._root = ""
        self._filesystem: Any = None
        self._lock = threading.Lock()
        self._folders: set[str] = set()

    @property
    def listable(self) -> bool:
        """Whether it says what it has."""
        return self._scheme not in ("http", "https")

    def why_unlisted(self) -> str:
        """Why it does not say what it has; "" where it does."""
        if not self.listable:
            return f"over {self._scheme} files have names, but no list"
        folder = self._url.removeprefix("file://")
        return "" if self._scheme != "file" or Path(folder).is_dir() else "there is no such folder"

    @contextlib.contextmanager
    def reading(self, place: str) -> Iterator[Reader]:
        """A file from its beginning to its end, in one request where the address has requests."""
        filesystem, path = self._at(place)
        options: dict[str, Any] = {"block_size": CHUNK_BYTES, "cache_type": "none"}
        if self._scheme in ("http", "https"):
            options = {"block_size": 0, "size": 1}  # no HEAD before, no ranges, a stream
        with filesystem.open(path, "rb", **options) as file:
            yield _Windows(file) if self._scheme in ("ssh", "sftp") else file

    def size(self, place: str) -> int | None:
        """The bytes of a file; None where there is none, or nobody says."""
        filesystem, path = self._at(place)
        try:
            size = filesystem.info(path).get("size")
        except FileNotFoundError:
            return None
        return int(size) if size is not None else None

    def exists(self, place: str) -> bool:
        """Whether there is a file."""
        filesystem, path = self._at(place)
        return bool(filesystem.exists(path))

    def names(self, place: str) -> list[str]:
        """What a folder holds."""
        filesystem, path = self._at(place)
        return [str(n).rstrip("/").rpartition("/")[2] for n in filesystem.ls(path, detail=False)]

    def below(self, place: str) -> list[str]:
        """The paths of all files at any depth."""
        filesystem, path = self._at(place)
        return [str(found) for found in filesystem.find(path)]

    def put(self, file: Path, place: str, moved: Moved) -> None:
        """Store a file in one step, as object storage does: elsewhere by a rename."""
        filesystem, path = self._at(place)
        if self._scheme in ("file", "ssh", "sftp"):
            self._put_by_rename(filesystem, file, path, moved)
            return
        options: dict[str, Any] = {}
        if self._scheme in ("http", "https"):
            options = {"method": "put", "chunk_size": CHUNK_BYTES}
        elif self._scheme == "s3":
            options = {"chunksize": PART_BYTES, "max_concurrency": PARTS_AT_ONCE}
        elif self._scheme in ("gs", "gcs"):
            options = {"chunksize": PART_BYTES}
        filesystem.put_file(str(file), path, callback=_callback(moved), **options)

    def _put_by_rename(self, filesystem: Any, file: Path, path: str, moved: Moved) -> None:
        folder, _, name = path.rpartition("/")
        self._make(filesystem, folder)
        temporary = f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"
        try:
            with file.open("rb") as reader, filesystem.open(temporary, "wb") as writer:
                if self._scheme != "file":
                    writer.set_pipelined(True)
                while data := reader.read(CHUNK_BYTES):
                    writer.write(data)
                    moved(reader.tell())
            filesystem.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell of
                filesystem.rm_file(temporary)
            raise

    def _make(self, filesystem: Any, folder: str) -> None:
        """Make a folder, which others may be making at the same moment."""
        if folder in self._folders:
            return
        try:
            filesystem.makedirs(folder, exist_ok=True)
        except OSError:
            filesystem.makedirs(folder, exist_ok=True)
        self._folders.add(folder)

    def _at(self, place: str) -> tuple[Any, str]:
        with self._lock:
            if self._filesystem is None:
                self._filesystem, self._root = connect(self._url, self._timeout)
        return self._filesystem, f"{self._root}/{place}"


class _Windows:
    """Reads a file over SFTP by many requests at once, but no more than one read asks for.

    One request after the other would wait for each; paramiko's prefetch keeps the whole file.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size = file.stat().st_size
        self._done = 0

    def read(self, size: int, /) -> bytes:
        end = min(self._done + size, self._size)
        wanted = [(at, min(SFTP_BYTES, end - at)) for at in range(self._done, end, SFTP_BYTES)]
        data = b"".join(self._file.readv(wanted))
        self._done += len(data)
        return data


def _callback(moved: Moved) -> Any:
    """fsspec's way of telling how far a transfer is."""
    from fsspec.callbacks import Callback

    class Told(Callback):  # type: ignore[misc]  # fsspec is read without its types
        def call(self, *_: object, **__: object) -> None:
            moved(self.value)

    return Told()
