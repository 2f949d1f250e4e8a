"""The lease of a GPU: one measurement or build per GPU at a time, across processes and users.

A lease is a lock (flock) on a file named by the UUID of the GPU, or of the MIG slice, in a folder
that every user of the machine can write to. The kernel frees it when its holder ends, however it
ends. The file says who holds it; what it says is only shown, never trusted.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from trtbuild.cuda.probe import DeviceFacts
from trtbuild.errors import StageError, UsageError
from trtbuild.store.files import locked
from trtbuild.store.holder import Holder, forget_holder, holder_of, note_holder

FOLDER_VARIABLE = "TRTBUILD_LEASES"  # a folder that containers of one machine share, say
_FOLDERS = ("/run/lock", "/tmp", "/dev/shm")  # noqa: S108 - shared on purpose; opened safely below
"""A lock file that is removed while it is held excludes nobody any more. Nothing cleans /run/lock,
but only root may write to it on some systems. /tmp is cleaned by age, and systemd-tmpfiles leaves
out what is locked; logind empties /dev/shm of a user's files when their last session ends.
"""

_POLL_SECONDS = 0.1


class Lease:
    """The right to use one GPU alone; released on exit, or when the process ends."""

    def __init__(self, device: DeviceFacts, descriptor: int) -> None:
        self.device = device
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor that holds the lock: a child that gets it (pass_fds) holds it too."""
        return self._descriptor

    def release(self) -> None:
        """Gives the GPU back; a second call does nothing."""
        if self._descriptor >= 0:
            forget_holder(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def acquire(
    devices: Iterable[DeviceFacts],
    on_wait: Callable[[str], None],
    *,
    timeout: float | None = None,
    folder: Path | None = None,
) -> Lease:
    """The lease of the first of the devices that is free, waiting until one is.

    `on_wait` gets a line that says who holds them, again when that changes. `timeout` is in
    seconds, None for ever. Raises StageError after the timeout, UsageError where the lock files
    cannot be opened.
    """
    wanted = tuple(devices)
    folder = folder or lease_folder()
    deadline = None if timeout is None else time.monotonic() + timeout
    said = ""
    while True:
        for device in wanted:
            lease = try_acquire(device, folder)
            if lease is not None:
                return lease
        waiting = "; ".join(_held(device, folder) for device in wanted)
        if waiting != said:
            on_wait(f"waiting for {waiting}")
            said = waiting
        if deadline is not None and time.monotonic() >= deadline:
            raise StageError(f"no GPU became free within {timeout:g} s: {waiting}")
        time.sleep(_POLL_SECONDS)


def try_acquire(device: DeviceFacts, folder: Path | None = None) -> Lease | None:
    """The lease of a device, or None while somebody holds it."""
    path = lease_file(device, folder)
    descriptor = locked(path, _open, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is None:
        return None
    note_holder(descriptor)
    return Lease(device, descriptor)


def holder(device: DeviceFacts, folder: Path | None = None) -> Holder | None:
    """Who wrote themselves into a device's lock file last; None where nobody did."""
    return holder_of(lease_file(device, folder))


def lease_folder() -> Path:
    """The folder of the lock files: the same for every user of the machine."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen)
    for name in _FOLDERS:
        try:
            mode = Path(name).stat().st_mode
        except OSError:
            continue
        # By the mode and not by trying, so that root and users come to the same folder.
        if mode & stat.S_ISVTX and mode & stat.S_IWOTH:
            return Path(name)
    return Path(tempfile.gettempdir())


def lease_file(device: DeviceFacts, folder: Path | None = None) -> Path:
    """The lock file of a device; a slice of a GPU has one of its own."""
    name = device.uuid.replace("/", "-")  # of slices before driver 470: MIG-GPU-.../1/0
    return (folder or lease_folder()) / f"trtbuild-{name}.lock"


def _held(device: DeviceFacts, folder: Path) -> str:
    found = holder(device, folder)
    who = f"held by {found}" if found else "held by another process"
    return f"GPU {device.ordinal} ({device.name}), {who}"


def _open(path: Path) -> int:
    """A descriptor of the lock file, made where it is missing.

    Never O_CREAT on a file that is there: the kernel refuses that for another user's file in a
    folder with the sticky bit (fs.protected_regular). A file that may only be read can be locked.
    """
    failure: OSError | None = None
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR, os.O_RDONLY):
        try:
            descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            failure = error
            continue
        if flags & os.O_CREAT:
            os.fchmod(descriptor, 0o666)  # the umask must not shut other users out
        return descriptor
    raise UsageError(
        f"the GPU's lock file {path} cannot be opened: {failure.strerror if failure else ''}",
        hint=f"set {FOLDER_VARIABLE} to a folder that all users of this GPU can write to",
    ) from failure
