"""Paths as programs give them to Python: text, bytes, descriptors, URIs."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable
from typing import Any

stat_of = os.stat
"""As it is while nothing is watched."""


def text_of(path: Any) -> str | None:
    """A path as text, also of a file that is open already; None for what is none."""
    if isinstance(path, int):
        path = _behind(path)
    if not isinstance(path, (str, bytes, os.PathLike)):
        return None
    text = os.fsdecode(path)
    if not text or os.path.basename(text).startswith("<"):  # noqa: PTH119 - text
        return None  # the name of code that is made while it runs: what shows it looks for a file
    absolute = os.path.abspath(text)  # noqa: PTH100 - text
    if ".." in text and os.path.realpath(absolute) != os.path.realpath(text):
        return os.path.realpath(text)  # up from what a link leads to
    return absolute


def _behind(descriptor: int) -> str | None:
    with contextlib.suppress(OSError):
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - text
        return path if path.startswith(os.sep) else None
    return None


def database_of(name: Any) -> str | None:
    """The file of a SQLite database, which may be named by a URI; None for one in memory."""
    text = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""
    path = text.removeprefix("file:").partition("?")[0] if text.startswith("file:") else text
    return None if not path or path.startswith(":") else path


def kind_of(path: str) -> int | None:
    """The type of a file, as stat has it; None where there is nothing."""
    try:
        return stat.S_IFMT(stat_of(path).st_mode)
    except (OSError, ValueError):
        return None


def tell_of(function: Callable[..., Any], asks: Callable[[Any], None]) -> None:
    """Have a function of `os` tell of the paths that it is given."""

    @functools.wraps(function)
    def telling(path: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("dir_fd") is None:
            asks(path)
        return function(path, *arguments, **options)

    setattr(os, function.__name__, telling)
    supporting = (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks)
    for able in (*supporting, os.supports_effective_ids):
        if function in able:
            able.add(telling)
