"""Who holds a lock that others may have to wait for: what the lock file says is only shown."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, as it wrote itself down."""

    pid: int
    user: str
    command: str
    since: str  # local time, ISO 8601

    def __str__(self) -> str:
        return f"pid {self.pid} (user {self.user}, since {self.since}): {self.command}"


def holder_of(path: Path) -> Holder | None:
    """Who wrote themselves into a lock file last; None where nobody did."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):  # no file yet, half written, or not ours
        return None


def note_holder(descriptor: int) -> None:
    """Write this process into the lock file that it holds."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in the password file
        user = str(os.getuid())
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = Holder(os.getpid(), user, " ".join(sys.orig_argv)[:200], now)
    _write(descriptor, json.dumps(asdict(holder)).encode())


def forget_holder(descriptor: int) -> None:
    """Take that away again."""
    _write(descriptor, b"")


def _write(descriptor: int, record: bytes) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, record, 0)
    except OSError:
        return  # opened for reading: the lock holds, only its note is missing
