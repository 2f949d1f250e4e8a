"""Folders for what is being made: on the cache's own device, so that a result moves by a rename."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from trtbuild.store.files import file_lock, store_errors


@contextlib.contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A new empty folder, removed at the end. Raises StoreError.

    What a killed process left is removed first: each folder's lock shows its owner alive.
    """
    base = root / "tmp"
    folder = base / f"{os.getpid():07}-{secrets.token_hex(4)}"  # of one length: see trt.apart
    with store_errors("cannot make the cache folder", base):
        base.mkdir(parents=True, exist_ok=True)
    sweep(root)
    with file_lock(folder.with_suffix(".lock")):
        with store_errors("cannot make a scratch folder", folder):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".lock").unlink(missing_ok=True)


def sweep(root: Path) -> None:
    """Remove what killed processes left. Raises StoreError."""
    with file_lock(root / "locks" / "sweep"):
        for lock in (root / "tmp").glob("*.lock"):
            _remove_if_abandoned(lock)


def _remove_if_abandoned(lock: Path) -> None:
    """Remove a scratch folder whose lock nobody holds; who is about to take it makes it anew."""
    with file_lock(lock, wait=False) as got:
        if got:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
