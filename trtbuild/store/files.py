"""Writing files so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from trtbuild.errors import StoreError
from trtbuild.store.digest import Done

FICLONE = 0x40049409
"""ioctl that makes a file share another's extents (linux/fs.h); refused where unsupported."""

REPAIR = "have `trtbuild cache verify --repair` remove it where it is the cache's"

COPY_BYTES = 32 << 20
LARGE_BYTES = 64 << 20
"""From this size on a copy takes long enough to show how far it is."""


@contextlib.contextmanager
def store_errors(what: str, path: Path, *, reading: bool = False) -> Iterator[None]:
    """Turn an OSError into a StoreError that names the file and, if it is known, the remedy."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{what}: {error.strerror or error}",
            where=str(path),
            hint=_remedy(error, reading=reading),
        ) from error


def _remedy(error: OSError, *, reading: bool) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM if reading:
            return "make it readable, and the folders above it"
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space, or use another folder (--cache DIR, --out DIR)"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make the folder writable, or use another one (--cache DIR, --out DIR)"
        case errno.ENOTDIR | errno.EEXIST:
            return "a file stands where a folder is needed; move it away"
        case errno.EISDIR:
            return f"a folder stands where a file is needed; move it away, or {REPAIR}"
        case _:
            return ""


def names_below(folder: Path | str) -> list[str]:
    """The names in a folder, none where there is no folder. Raises StoreError.

    Path.glob passes over what it cannot read, as if nothing were there.
    """
    with store_errors("cannot read the cache", Path(folder), reading=True):
        try:
            return os.listdir(folder)  # noqa: PTH208 - names only
        except FileNotFoundError:
            return []


def write_file(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, fsync, rename. Raises StoreError."""
    with store_errors("cannot write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def copy_file(source: Path, destination: Path, progress: Done | None = None) -> os.stat_result:
    """Copy a file into place by reflink where the file system can, else by bytes.

    The copy is private to the caller: writable, and independent of the source. `progress` is told
    the fraction that is done of a large file. Gives the status of the copy, whatever may have been
    put in its place since. Raises StoreError.
    """
    with _in_place_of(destination) as temporary:
        # Opened once: ext4 writes out at once what was truncated, even from nothing.
        with source.open("rb") as reader, temporary.open("wb") as writer:
            if not _reflink(reader, writer):
                _copy_bytes(reader, writer, progress)
        return _put(temporary, destination)


def link_file(source: Path, destination: Path) -> os.stat_result:
    """Make `destination` another name of a file, which nobody may write to; copy where the file
    system cannot. Gives its status. Raises StoreError."""
    try:
        with _in_place_of(destination) as temporary:
            os.link(source, temporary)
            return _put(temporary, destination)
    except StoreError:
        return copy_file(source, destination)  # another device, or too many links


@contextlib.contextmanager
def _in_place_of(destination: Path) -> Iterator[Path]:
    """A name beside `destination` for what takes its place in one step. Raises StoreError."""
    with store_errors("cannot write", destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(destination)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _put(temporary: Path, destination: Path) -> os.stat_result:
    """Rename a file into place; its status after that, since a rename changes it."""
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        temporary.replace(destination)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that nothing else uses, so that rename stays on one device."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _reflink(reader: IO[bytes], writer: IO[bytes]) -> bool:
    try:
        fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
    except OSError:
        return False  # another device, or a file system without shared extents
    return True


def _copy_bytes(reader: IO[bytes], writer: IO[bytes], progress: Done | None) -> None:
    """Copy inside the kernel, some MiB at a time, so that memory stays bounded."""
    size = os.fstat(reader.fileno()).st_size
    done = 0
    while count := os.sendfile(writer.fileno(), reader.fileno(), done, COPY_BYTES):
        done += count
        if progress is not None and size >= LARGE_BYTES:
            progress(done / size)


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold a lock on `path`, which the kernel drops when the process ends.

    Yields whether the lock was got; without `wait` it may not be. Only who holds the exclusive
    lock of a file may remove it: whoever waited for it then takes the file that has its name now.
    """
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with store_errors("cannot lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = locked(path, _lock_file, mode)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def locked(path: Path, opened: Callable[[Path], int], mode: int) -> int | None:
    """A descriptor, made by `opened`, that holds a lock (flock) on the file of that name; None
    where `mode` does not wait and another process holds it. Raises what either call raises.
    """
    while True:
        descriptor = opened(path)
        try:
            fcntl.flock(descriptor, mode)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_named(descriptor, path):
            return descriptor
        os.close(descriptor)  # removed since it was opened, by who held it before or by a cleaner


def _lock_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether `path` is still a name of an open file: a lock of one that is removed excludes
    nobody who opens the file anew.
    """
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
