"""Who reads: the user's code itself, a library that it called, or neither, by the call stack."""

from __future__ import annotations

import enum
import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from trtbuild.discovery.arguments import is_given
from trtbuild.discovery.places import OWN_PACKAGE, Places

_LIBRARY = Path(os.__file__).parent
_HERE = Path(__file__).parent

IMPORT_SYSTEM = ("<frozen importlib", "<frozen zipimport", str(_LIBRARY / "importlib") + os.sep)

_WATCH = str(_HERE) + os.sep
_WATCHING = ("watch", "readers", "variables", "loaders", "imports", "paths", "arguments")

PLUMBING = frozenset(
    {
        *(str(_HERE / f"{name}.py") for name in _WATCHING),
        *(f"<frozen {name}>" for name in ("os", "posixpath", "genericpath", "io", "codecs")),
        "<frozen _collections_abc>",
        *(
            str(_LIBRARY / f"{name}.py")
            for name in (
                *("os", "posixpath", "genericpath", "io", "_pyio", "codecs", "pathlib", "glob"),
                *("_collections_abc", "string", "fileinput", "shutil", "subprocess", "sqlite3"),
            )
        ),
    }
)
"""What does as it is told: whoever calls it is the reader."""
PLUMBING_FOLDERS = (str(_LIBRARY / "pathlib") + os.sep, str(_LIBRARY / "sqlite3") + os.sep)

THREADS = frozenset(
    str(_LIBRARY.joinpath(*parts))
    for parts in (
        ("threading.py",),
        ("concurrent", "futures", "thread.py"),
        ("multiprocessing", "pool.py"),
    )
)
"""What runs a function in a thread, in the name of who started that."""

METADATA = str(_LIBRARY / "importlib" / "metadata") + os.sep
"""What looks for distributions, wherever the path leads."""

TELLING = frozenset(
    str(_LIBRARY / f"{name}.py") for name in ("linecache", "traceback", "inspect", "warnings")
)
"""What shows source text to people: no result depends on that."""

OWN_IMPORTS = str(Path(OWN_PACKAGE) / "model" / "references.py")
"""What it imports, it imports as the recipe says."""

OWN_SEARCH = "_module_name"
"""But for this: it looks for what a file may be called, which is run in any case."""


TOOLS = frozenset(
    {"torch", "numpy", "onnx", "onnxruntime", "onnxscript", "tensorrt", "tensorrt_rtx"}
)
"""Packages that stages work with: their own version stands for what they import in turn."""


class Reader(enum.IntEnum):
    """Who asked for a file, a folder, a module or a variable."""

    NOBODY = 0  # Python's import of something, trtbuild, or a library that they called
    LIBRARY = 1  # a library that the user's code called
    USER = 2  # the user's code


class _Kind(enum.Enum):
    USER = enum.auto()
    LIBRARY = enum.auto()
    PLUMBING = enum.auto()
    THREAD = enum.auto()
    IMPORT = enum.auto()
    METADATA = enum.auto()
    END = enum.auto()


class Readers:
    """Tells who reads; remembers whose each source file is."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._kinds: dict[str, _Kind] = {OWN_IMPORTS: _Kind.END}
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def now(self) -> Reader:
        """Who reads at this moment.

        Where the import system comes after a library, that library is being imported: what it
        then reads is its own affair. Where it comes first, it fetches code for who imports.
        """
        found, begun = Reader.USER, False
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            match self.kind(frame):
                case _Kind.USER:
                    return found
                case _Kind.END | _Kind.METADATA:
                    return Reader.NOBODY
                case _Kind.IMPORT if begun:
                    return Reader.NOBODY
                case _Kind.LIBRARY:
                    found, begun = Reader.LIBRARY, True
            frame = frame.f_back
        return found if self._is_in_a_thread_of_the_user() else Reader.NOBODY

    def start(self) -> None:
        """Begin to remember the threads that the user's code starts, itself or through a library:
        what they read, it reads. Python 3.11 has no audit event of that."""
        threads: Any = threading.Thread
        original = threads.start

        @functools.wraps(original)
        def start(thread: threading.Thread) -> None:
            if self.now() is not Reader.NOBODY:
                self._threads.add(thread)
            original(thread)

        threads.start = start

    def gave(self, path: str, *, beside: bool = False) -> bool:
        """Whether the user's code gave a path, or with `beside` its folder, to the library that it
        called and that reads: a path that a library has from elsewhere is its own affair."""
        called: FrameType | None = None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and (kind := self.kind(frame)) not in (_Kind.END, _Kind.METADATA):
            if kind is _Kind.USER or (kind is _Kind.THREAD and self._is_in_a_thread_of_the_user()):
                return called is not None and is_given(path, called, beside=beside)
            called, frame = frame, frame.f_back
        return False

    def _is_in_a_thread_of_the_user(self) -> bool:
        return threading.current_thread() in self._threads

    def importer_is_user(self) -> bool:
        """Whether the import that is going on was asked for by the user's code, or the recipe."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and self.kind(frame) in (_Kind.IMPORT, _Kind.PLUMBING):
            frame = frame.f_back
        if frame is None:
            return False
        if self.kind(frame) is _Kind.THREAD:
            return self._is_in_a_thread_of_the_user()
        return _is_of_the_recipe(frame) or self.kind(frame) is _Kind.USER

    def cause_is_user(self) -> bool:
        """Whether the import that is going on comes of the user's code or the recipe, also by what
        libraries import for that in turn."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            kind = self.kind(frame)
            if kind is _Kind.USER or _is_of_the_recipe(frame):
                return True
            if kind in (_Kind.END, _Kind.METADATA):
                return False
            if str(frame.f_globals.get("__name__")).partition(".")[0] in TOOLS:
                return False
            frame = frame.f_back
        return self._is_in_a_thread_of_the_user()

    def are_importing(self) -> bool:
        """Whether the import system reads, to look for modules or distributions."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and self.kind(frame) is _Kind.PLUMBING:
            frame = frame.f_back
        return frame is not None and self.kind(frame) in (_Kind.IMPORT, _Kind.METADATA)

    def are_watching(self) -> bool:
        """Whether what was told of by a function of `os` is done by the watch itself."""
        frame: FrameType | None = sys._getframe(3)  # after who asks, who was told, and who told
        while frame is not None and self.kind(frame) is _Kind.PLUMBING:
            if frame.f_code.co_filename.startswith(_WATCH):
                return True
            frame = frame.f_back
        return frame is not None and frame.f_code.co_filename.startswith(_WATCH)

    def caller(self, through: Callable[[FrameType], bool] = lambda _: True) -> FrameType | None:
        """The frame of the user's code that reads, `through` such plumbing alone; None where it is
        not the user's."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and self.kind(frame) is _Kind.PLUMBING:
            if not through(frame):
                return None
            frame = frame.f_back
        if frame is None or self.kind(frame) is _Kind.USER:
            return frame
        started = self.kind(frame) is _Kind.THREAD and self._is_in_a_thread_of_the_user()
        return frame if started else None

    def kind(self, frame: FrameType) -> _Kind:
        """Whose code runs in a frame."""
        file = frame.f_code.co_filename
        if (known := self._kinds.get(file)) is None:
            known = self._kinds[file] = self._kind(file)
        return known

    def _kind(self, file: str) -> _Kind:
        if file.startswith(METADATA):
            return _Kind.METADATA
        if file.startswith(IMPORT_SYSTEM):
            return _Kind.IMPORT
        if file in THREADS:
            return _Kind.THREAD
        if file in PLUMBING or file.startswith(PLUMBING_FOLDERS):
            return _Kind.PLUMBING
        if file in TELLING or file.startswith(OWN_PACKAGE):
            return _Kind.END
        if file.startswith("<"):  # made while it runs, by whoever calls it
            return _Kind.PLUMBING
        path = os.path.abspath(file)  # noqa: PTH100 - once per file
        return _Kind.LIBRARY if self._places.is_nobodys(path) else _Kind.USER


def _is_of_the_recipe(frame: FrameType) -> bool:
    return frame.f_code.co_filename == OWN_IMPORTS and frame.f_code.co_name != OWN_SEARCH
