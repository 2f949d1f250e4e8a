"""What files and folders were like when the user's code first read them.

A digest is taken only after the stage: a file that has changed by then is not what was read.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from trtbuild.discovery.folders import folder_state
from trtbuild.discovery.names import MISSING, link_state
from trtbuild.discovery.paths import stat_of

THERE = "there"
"""Of what was only asked for, and is there; else `stamp_of`, `folder_state`, or MISSING."""


def stamp_of(path: str | os.PathLike[str]) -> str:
    """Changes with a file's content: size, times, device and inode; MISSING where it cannot be
    had. The change time cannot be set by a program."""
    try:
        status = stat_of(path)
    except (OSError, ValueError):
        return MISSING
    times = f"{status.st_mtime_ns}-{status.st_ctime_ns}"
    return f"{status.st_size}-{times}-{status.st_dev}-{status.st_ino}"


class Seen:
    """Absolute paths that were read, each with its first state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self._listing: set[int] = set()

    def asked(self, path: str) -> None:
        """Whether something is there is read, and not what is in it."""
        if path not in self.files:
            self.files[path] = THERE if stamp_of(path) != MISSING else MISSING

    def opened(self, path: str) -> None:
        """The content is read, perhaps after the path was asked for."""
        if self.files.get(path, THERE) == THERE:
            self.files[path] = stamp_of(path)

    def listed(self, path: str) -> None:
        """The names in a folder are read."""
        thread = threading.get_ident()
        if path in self.folders or thread in self._listing:
            return
        self._listing.add(thread)  # to take the state lists the folder too
        try:
            self.folders[path] = folder_state(path)
        finally:
            self._listing.discard(thread)

    def followed(self, path: str) -> None:
        """The target of a symbolic link is read."""
        if path not in self.links:
            self.links[path] = link_state(path, self._folder)
