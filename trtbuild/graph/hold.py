"""An output folder is of one run at a time: the next one waits, and says for whom.

Two runs in one folder would read each other's artifacts. The lock (flock) is on a file in the
folder, since they may have caches of their own; the kernel frees it however its holder ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from trtbuild.discovery.folders import RECORDS
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.graph.workspace import LOCK
from trtbuild.store.files import locked
from trtbuild.store.holder import forget_holder, holder_of, note_holder

_POLL_SECONDS = 0.1


def hold_folders(rebuilders: Iterable[Rebuilder]) -> None:
    """Hold the output folders of some recipes until their cache is closed.

    In one order, so that no two runs wait for each other.
    """
    for rebuilder in sorted(rebuilders, key=lambda one: os.path.realpath(one.workspace.root)):
        descriptor = hold_folder(rebuilder.workspace.root, _telling(rebuilder))
        if descriptor is not None:
            rebuilder.store.at_close(release_folder, descriptor)
            rebuilder.workspace.mark()


def hold_folder(root: Path, waiting: Callable[[str], None]) -> int | None:
    """A descriptor that holds a folder; None where it cannot be locked, as one without a
    lock file that is only read, or a file system without locks.

    `waiting` gets a line that says who holds it, again when that changes.
    """
    path, said = root / RECORDS / LOCK, ""
    while True:
        try:
            descriptor = locked(path, _opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        if descriptor is not None:
            note_holder(descriptor)
            return descriptor
        text = f"waiting for {root}, held by {holder_of(path) or 'another process'}"
        if text != said:
            waiting(text)
            said = text
        time.sleep(_POLL_SECONDS)


def release_folder(descriptor: int) -> None:
    """Let the next one in."""
    forget_holder(descriptor)
    os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # what is only read can be locked too


def _telling(rebuilder: Rebuilder) -> Callable[[str], None]:
    task = next(iter(rebuilder.tasks.values()))
    return lambda text: rebuilder.listener.progress(rebuilder.recipe, task, text, None)
