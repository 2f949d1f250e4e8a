"""Writes and reads bundles: a folder, or a tar with the same bytes for the same content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from trtbuild.errors import ReleaseError, UsageError
from trtbuild.store.digest import Digest
from trtbuild.store.files import store_errors

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]*(/[A-Za-z0-9_][A-Za-z0-9._+=@-]*)*")
LONGEST_NAME = 240
MOST_FILES = 100_000
CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a bundle: its path there, what it is for, and where its bytes are."""

    path: str
    role: str
    content: Path | bytes
    digest: Digest

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes. Raises OSError."""
        if isinstance(self.content, bytes):
            yield io.BytesIO(self.content)
        else:
            with self.content.open("rb") as file:
                yield file


class Bundle(Protocol):
    """A bundle to read; the names are safe and each is there once."""

    @property
    def names(self) -> tuple[str, ...]:
        """The files in it, sorted."""

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of one. Raises OSError."""


def write_bundle(entries: Sequence[Entry], target: Path, epoch: int) -> None:
    """Write a folder, or a tar where the name ends so; whole or not at all.

    Raises UsageError where something is there already, StoreError where it cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already", hint="remove it, or give another -o")
    ordered = sorted(entries, key=lambda entry: entry.path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with store_errors("cannot write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if is_tar(target):
                with temporary.open("wb") as file:
                    _write_tar(ordered, file, epoch)
                    file.flush()
                    os.fsync(file.fileno())
            else:
                _write_folder(ordered, temporary)
            temporary.rename(target)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def is_tar(target: Path) -> bool:
    """Whether a name asks for an archive. Raises UsageError for a kind that is not written."""
    if target.name.endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".zip")):
        raise UsageError(
            f"{target.name}: a bundle is a folder or a .tar",
            hint="engines hardly compress, and compressors differ in their bytes",
        )
    return target.suffix == ".tar"


def tar_header(name: str, size: int, epoch: int) -> tarfile.TarInfo:
    """The header of a file in a bundle: nothing of who wrote it, or where."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, epoch, 0o644
    return info  # a new TarInfo has uid and gid 0 and no names of users


def _write_tar(entries: Sequence[Entry], file: IO[bytes], epoch: int) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            with entry.open() as source:
                checked = _Checked(source, entry)
                archive.addfile(tar_header(entry.path, entry.digest.size_bytes, epoch), checked)
                checked.finish()


def _write_folder(entries: Sequence[Entry], folder: Path) -> None:
    folder.mkdir()
    for entry in entries:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, path.open("wb") as file:
            checked = _Checked(source, entry)
            shutil.copyfileobj(checked, file, CHUNK)
            checked.finish()
            file.flush()
            os.fsync(file.fileno())


class _Checked(io.RawIOBase):
    """Hashes what is read, so that a file which changed since it was listed is found."""

    def __init__(self, source: IO[bytes], entry: Entry) -> None:
        super().__init__()
        self._source, self._entry, self._hasher = source, entry, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._hasher.update(data)
        return data

    def finish(self) -> None:
        """Raise ReleaseError where the bytes were not those that the entry names."""
        if self._hasher.hexdigest() != self._entry.digest.hash:
            raise ReleaseError("its bytes changed while it was bundled", where=self._entry.path)


class FolderBundle:
    """A bundle that lies in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.names = check_names(list(_walk(root)), str(root))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of a file."""
        with (self._root / name).open("rb") as file:
            yield file


class TarBundle:
    """A bundle in a tar, read in place: nothing is extracted."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}
        length = os.fstat(file.fileno()).st_size
        try:
            self._archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - as long as file
            members = self._archive.getmembers()
        except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
            # OSError: a header with a size that leads before the beginning, or beyond all files.
            raise ReleaseError(f"no readable tar archive: {error}", where=str(path)) from error
        for member in members:
            if not member.isreg() or member.issparse():
                raise ReleaseError(
                    f"holds {member.name!r}, which is no regular file", where=str(path)
                )
            if not 0 <= member.size <= length - member.offset_data:
                raise ReleaseError(f"does not hold all of {member.name!r}", where=str(path))
            self._members.setdefault(member.name, member)
        self.names = check_names([member.name for member in members], str(path))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of a file."""
        file = self._archive.extractfile(self._members[name])
        assert file is not None  # noqa: S101 - only regular files are members
        with file:
            yield file

    def size(self, name: str) -> int:
        """How many bytes the archive says a file has."""
        return self._members[name].size


def check_names(names: list[str], where: str) -> tuple[str, ...]:
    """The names, sorted. Raises ReleaseError for one that could lead out of a folder or hide."""
    if len(names) > MOST_FILES:
        raise ReleaseError(f"holds {len(names)} files", where=where)
    for name in names:
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            raise ReleaseError(f"holds a file with the unsafe name {name[:80]!r}", where=where)
    folded: set[str] = set()
    for name in names:
        if name.lower() in folded:
            raise ReleaseError(f"holds {name!r} twice", where=where)
        folded.add(name.lower())
    for name in folded:
        if any(parent in folded for parent in _parents(name)):
            raise ReleaseError(f"holds {name!r} below another file", where=where)
    return tuple(sorted(names))


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _walk(root: Path) -> Iterator[str]:
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from (f"{entry.name}/{inner}" for inner in _walk(Path(entry.path)))
        elif stat.S_ISREG(mode):
            yield entry.name
        else:
            raise ReleaseError("is no regular file", where=entry.path)


@contextmanager
def open_bundle(path: Path) -> Iterator[FolderBundle | TarBundle]:
    """A bundle to read. Raises UsageError where there is none, ReleaseError for a hostile one."""
    try:
        if path.is_dir():
            yield FolderBundle(path)
        else:
            with path.open("rb") as file:
                yield TarBundle(path, file)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def tar_difference(path: Path, bundle: TarBundle, epoch: int) -> int | None:
    """Where an archive first differs from the one that its files make; None where it does not.

    What no digest covers (headers, padding, what follows the end) has only one right form.
    """
    with path.open("rb") as file:
        sink = _Comparing(file)
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]  # it only needs write and tell
            for name in bundle.names:
                with bundle.open(name) as source:
                    archive.addfile(tar_header(name, bundle.size(name), epoch), source)
        return sink.difference()


class _Comparing:
    """A file to write to that compares with another instead."""

    def __init__(self, other: BinaryIO) -> None:
        self._other = other
        self._position = 0
        self._first: int | None = None

    def write(self, data: bytes) -> int:
        there = self._other.read(len(data))
        if self._first is None and there != data:
            pairs = zip(data, there, strict=False)
            inner = next((i for i, (a, b) in enumerate(pairs) if a != b), len(there))
            self._first = self._position + inner
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def difference(self) -> int | None:
        if self._first is None and self._other.read(1):
            return self._position
        return self._first


def digest_stream(file: IO[bytes], sink: Callable[[bytes], object] | None = None) -> Digest:
    """The digest of a stream, which is passed on to `sink` piece by piece."""
    hasher, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        hasher.update(chunk)
        size += len(chunk)
        if sink is not None:
            sink(chunk)
    return Digest(hasher.hexdigest(), size)
