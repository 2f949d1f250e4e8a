"""Whose a file is: the user's own, of an installed package or Python, or of nobody."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from trtbuild.discovery.names import INSTALLED_FOLDERS, NO_PATHS, checkout_of

OWN_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep

OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")
OF_THE_CLOCK = (
    *("/usr/share/zoneinfo/", "/usr/share/locale/", "/usr/lib/locale/"),
    *("/etc/localtime", "/etc/timezone"),
)
"""What native code of Python reads in its caller's name: time zones and locales."""

SHARED_PREFIXES = frozenset({"/", "/usr", "/usr/local"})
"""Where a Python of the system has other people's files beside it."""

OF_THE_SYSTEM = (
    *("/etc/", "/run/", "/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/"),
    *("/usr/share/", "/usr/include/"),
)
CACHES = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "TRITON_CACHE_DIR")
"""Variables that name folders in which libraries keep what they fetched or compiled."""

COMPILED = ("torchinductor_", "pymp-")
"""How the names of libraries' own folders begin in the temporary folder."""


class Places:
    """Gives files that are the user's own the names that they have in an action.

    `exclude` are folders whose files are no inputs (outputs and cache).
    """

    def __init__(self, folder: Path, project: Path, exclude: tuple[Path, ...]) -> None:
        self._folder = str(folder.resolve())
        self._project = _prefix(str(project.resolve()))
        self._checkout = _prefix(str(checkout_of(project.resolve())))
        kept = _unique(_prefix(str(path)) for path in exclude)
        real = _unique(map(_real_prefix, kept))
        self._exclude = (OWN_PACKAGE, *kept, *real, *OF_THE_KERNEL, *OF_THE_CLOCK)
        self._installed = _installed((self._project, self._folder))
        self._of_libraries = _of_libraries()

    def is_installed(self, path: str) -> bool:
        """Whether a file belongs to Python or to a package, whose version stands for it."""
        return path.startswith(self._installed) or any(part in path for part in INSTALLED_FOLDERS)

    def is_nobodys(self, path: str) -> bool:
        """Whether a file is no input whoever reads it: installed, ours, or made by builds."""
        folder = f"{path}{os.sep}"  # which it may be itself
        return folder.startswith(self._exclude) or self.is_installed(folder)

    def is_of_libraries(self, path: str) -> bool:
        """Whether libraries look there for settings and for what they keep: a file that one of
        them reads by itself there is another on each machine, and decides no result."""
        return path.startswith(self._of_libraries)

    def in_project(self, path: str) -> str | None:
        """An absolute path as it is the project or lies in it, through links of the project's own;
        None outside."""
        if self.is_in_project(path):
            return path
        real = os.path.realpath(path)
        return real if self.is_in_project(real) else None

    def is_in_project(self, path: str) -> bool:
        """Whether an absolute path, as it is written, is the project or lies in it."""
        return f"{path}{os.sep}".startswith(self._project)

    def names(self, path: str) -> list[str]:
        """The names of an absolute path in an action.

        A file outside of the checkout that lies near it has two: code may have reached it from
        the checkout, where another checkout has another file, or by its absolute path.
        """
        relative = os.path.relpath(path, self._folder)
        if relative.startswith(NO_PATHS):
            relative = f"./{relative}"
        if f"{path}{os.sep}".startswith((self._project, self._checkout)):
            return [relative]
        shared = os.path.commonpath([path, self._checkout])
        return [path] if shared == os.sep else [path, relative]


def _installed(own: tuple[str, ...]) -> tuple[str, ...]:
    """Folders of Python, and those on its path that hold installed distributions.

    A prefix, or a folder on the path, that the user's own folders lie in is not one as a whole:
    `python -m venv .` makes a project's root one.
    """
    library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = [p for p in (sys.prefix, sys.base_prefix) if p not in SHARED_PREFIXES]
    for entry in sys.path:
        with contextlib.suppress(OSError):
            if any(name.endswith(".dist-info") for name in os.listdir(entry or ".")):  # noqa: PTH208 - names only
                found.append(entry)
    whole = [path for path in found if not any(map(_within(path), own))]
    prefixes = [_prefix(path) for path in (*library, *whole)]
    return _unique([*prefixes, *map(_real_prefix, prefixes)])


def _within(folder: str) -> Callable[[str], bool]:
    """Tells whether a path is a folder or lies in it."""
    prefixes = (_prefix(folder), _real_prefix(folder))
    return lambda path: _prefix(path).startswith(prefixes)


def _of_libraries() -> tuple[str, ...]:
    home = os.path.expanduser("~")  # noqa: PTH111 - text
    named = [_prefix(os.environ[name]) for name in CACHES if os.environ.get(name)]
    temporary = [os.path.join(tempfile.gettempdir(), begin) for begin in COMPILED]  # noqa: PTH118 - text
    hidden = [os.path.join(home, ".")] if home != os.sep else []  # noqa: PTH118 - as above
    return _unique([*OF_THE_SYSTEM, *hidden, *named, *temporary])


def _prefix(path: str) -> str:
    return os.path.join(os.path.abspath(path), "")  # noqa: PTH100, PTH118 - with a separator


def _real_prefix(path: str) -> str:
    return _prefix(os.path.realpath(path))


def _unique(paths: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))  # type: ignore[call-overload]
