"""Uploads that a run left when it ended, by a process that outlives it.

    python -m trtbuild.store.later

reads what to do from standard input, since an address may hold a password.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from trtbuild.store.files import file_lock
from trtbuild.store.remote import Remote
from trtbuild.store.store import Store
from trtbuild.store.upload import Journal, Uploader


def begin(store: Store, remote: Remote) -> bool:
    """Start the process, unless the remote cache takes nothing; whether it was started."""
    if remote.is_off("write"):
        return False
    document = {
        "root": str(store.root.absolute()),
        "shared": store.shared,
        "url": remote.url,
        "timeout": remote.timeout,
    }
    with contextlib.suppress(OSError):  # then the next run goes on
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt at the terminal is not meant for it
        )
        assert process.stdin is not None  # noqa: S101 - it was asked for
        with process.stdin as pipe:
            pipe.write(json.dumps(document).encode())
        return True
    return False


def main() -> None:
    """Upload what the journal names, after the process that is at it already, if there is one."""
    asked = json.load(sys.stdin)
    root = Path(asked["root"])
    journal = Journal(root, asked["url"])
    with contextlib.ExitStack() as queue:
        place = root / "locks" / f"uploads-{journal.name}"
        if not queue.enter_context(file_lock(place.with_suffix(".next"), wait=False)):
            return  # the one that waits will do this too
        with file_lock(place):
            queue.close()
            store = Store(root, shared=asked["shared"])
            remote = Remote(asked["url"], read_only=False, timeout=asked["timeout"])
            _upload(store, remote, journal)
            journal.keep_warnings(remote.warnings)
            store.close()


def _upload(store: Store, remote: Remote, journal: Journal) -> None:
    uploader = Uploader(store.root, store.cas, store.actions, remote)
    tried: set[str] = set()
    while new := [key for key in journal.left() if key not in tried]:
        for key in new:
            if not remote.is_off("write"):
                uploader.upload(key)
        tried.update(new)


if __name__ == "__main__":
    main()
