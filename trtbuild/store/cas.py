"""Content-addressed storage: a digest names bytes, and only bytes that hash to it are served."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from trtbuild.store.digest import Digest, Done
from trtbuild.store.files import copy_file, link_file, store_errors
from trtbuild.store.memo import Memo

READ_ONLY = 0o444
"""Blobs are shared by everything that was built from them; nothing may write to one."""


class CAS:
    """Blobs below a folder, fanned out by the first two digits of their hash."""

    def __init__(self, root: Path, memo: Memo) -> None:
        self._root = root
        self._memo = memo

    def path(self, digest: Digest) -> Path:
        """Where a blob lies, whether it is there or not."""
        return self._root / digest.hash[:2] / digest.hash[2:]

    def has(self, digest: Digest) -> bool:
        """Whether a blob of this size is there; its bytes are verified when it is read."""
        try:
            return os.stat(self.path(digest)).st_size == digest.size_bytes  # noqa: PTH116 - no-op path
        except OSError:
            return False

    def adopt(
        self, file: Path, known: Digest | None = None, *, progress: Done | None = None
    ) -> Digest:
        """Move a finished file into the storage; it must not be written to any more.

        `known` is its digest where the caller has just computed it; else `progress` is told how far
        that is for a large file. A blob that is there already
        is marked as new, since a garbage collection that runs at once may find nobody using it.
        Raises StoreError, and then the storage is as before.
        """
        with store_errors("cannot store", file):
            digest = known or self._memo.digest(file, progress)
            blob = self.path(digest)
            if self.verified(digest) and self._marked(digest):
                file.unlink()
                return digest
            blob.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            file.chmod(READ_ONLY)
            os.utime(file)  # a stage may have copied it with the time it had elsewhere
            file.replace(blob)
        self._memo.remember(blob, digest)
        return digest

    def _marked(self, digest: Digest) -> bool:
        """Mark a blob as new; False where another user owns it, and it is best replaced."""
        blob = self.path(digest)
        try:
            os.utime(blob)
        except PermissionError:
            return False
        self._memo.remember(blob, digest)
        return True

    def verified(self, digest: Digest) -> bool:
        """Whether the blob is there with the right bytes; a damaged one is dropped."""
        if not self.has(digest):
            self._drop(digest)
            return False
        try:
            if self._memo.digest(self.path(digest)) == digest:
                return True
        except OSError:
            pass  # unreadable is as good as damaged
        self._drop(digest)
        return False

    def materialise(
        self,
        digest: Digest,
        destination: Path,
        *,
        link: bool = False,
        progress: Done | None = None,
    ) -> bool:
        """Put a copy of the blob at `destination`; False where it is missing or damaged.

        With `link` it becomes another name of the blob, which takes no space and is read-only.
        Raises StoreError if the destination cannot be written.
        """
        if not self.verified(digest):
            return False
        blob = self.path(digest)
        if link:
            placed = link_file(blob, destination)
            self._memo.remember(blob, digest)  # a further name changes a file's stamp
        else:
            placed = copy_file(blob, destination, progress)
        self._memo.remember(destination, digest, placed)
        return True

    def _drop(self, digest: Digest) -> None:
        with contextlib.suppress(OSError):
            self.path(digest).unlink()
