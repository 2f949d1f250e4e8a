"""Writing files so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from trtbuild.errors import StoreError

FICLONE = 0x40049409
"""ioctl that makes a file share another's extents (linux/fs.h); refused where unsupported."""


@contextlib.contextmanager
def store_errors(what: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that names the file and, if it is known, the remedy."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{what}: {error.strerror or error}", where=str(path), hint=_remedy(error)
        ) from error


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space, or use another folder (--cache DIR, --out DIR)"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "make the folder writable, or use another one (--cache DIR, --out DIR)"
        case errno.ENOTDIR | errno.EEXIST:
            return "a file stands where a folder is needed; move it away"
        case _:
            return ""


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


def copy_file(source: Path, destination: Path) -> None:
    """Copy a file into place by reflink where the file system can, else by bytes.

    The copy is private to the caller: writable, and independent of the source. Raises StoreError.
    """
    with store_errors("cannot write", destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(destination)
        try:
            if not _reflink(source, temporary):
                shutil.copyfile(source, temporary)
            temporary.replace(destination)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that nothing else uses, so that rename stays on one device."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _reflink(source: Path, destination: Path) -> bool:
    with source.open("rb") as reader, destination.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
        except OSError:
            return False  # another device, or a file system without shared extents
    return True


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on `path`, which the kernel drops when the process ends.

    Yields whether the lock was got; without `wait` it may not be. The file stays, since removing
    it would let two processes hold locks on two files of one name.
    """
    with store_errors("cannot lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
