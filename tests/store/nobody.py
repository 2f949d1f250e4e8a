"""A command run by a user whom permissions hold for, where the tests run as root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534

CODE = """\
import importlib, os, pkgutil, sys
import trtbuild.cli, trtbuild.store
from trtbuild.cli import cache, settings  # all while it can still be read
from trtbuild.report import cache, document
for module in pkgutil.iter_modules(trtbuild.store.__path__):
    importlib.import_module(f"trtbuild.store.{module.name}")
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(int(sys.argv[1])), os.setuid(int(sys.argv[1]))
sys.exit(trtbuild.cli.main(sys.argv[2:]))
"""


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that any user can get to, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="trtbuild-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def give(root: Path) -> None:
    """Make all below a folder, and itself, that user's."""
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def as_nobody(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What a command of trtbuild gives."""
    return subprocess.run(
        [sys.executable, "-c", CODE, str(NOBODY), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
    )
