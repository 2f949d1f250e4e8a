"""Which environment variables the user's code reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from trtbuild.discovery.readers import Readers

Warn = Callable[[str], None]

_Environ: Any = type(os.environ)


class Variables:
    """Notes what the user's code asks `os.environ` for, by name.

    `given` are variables that trtbuild sets for a stage itself.
    """

    def __init__(self, readers: Readers, given: frozenset[str], warn: Warn) -> None:
        self.read: set[str] = set()
        self._readers = readers
        self._not_asked = set(given)
        self._warn = warn
        self._copying: tuple[int, int] | None = None
        self._warned = False

    def start(self) -> tuple[Callable[..., None], ...]:
        """Begin to watch; returns the functions that compilers of the user's code may leave out."""

        def noted(key: Any) -> None:
            self.note(key)

        def all_noted() -> None:
            self.note_all()

        def forgotten(key: Any) -> None:
            self.forget(key)

        class Environ(_Environ):  # type: ignore[misc]
            """os.environ, which tells of what is asked for."""

            def __getitem__(self, key: Any) -> Any:
                noted(key)
                return super().__getitem__(key)

            def __iter__(self) -> Iterator[Any]:
                all_noted()
                yield from super().__iter__()

            def __setitem__(self, key: Any, value: Any) -> None:
                forgotten(key)
                super().__setitem__(key, value)

            def __delitem__(self, key: Any) -> None:
                forgotten(key)
                super().__delitem__(key)

        for environ in (os.environ, os.environb):
            environ.__class__ = Environ  # the very object: others hold references to it
        return noted, all_noted, forgotten

    def note(self, key: Any) -> None:
        """A variable is asked for; its value need not be there."""
        frame = self._readers.caller(_passes_on)
        if frame is None or (id(frame), frame.f_lasti) == self._copying:
            return
        if (name := _name(key)) is not None and name not in self._not_asked:
            self.read.add(name)

    def note_all(self) -> None:
        """All of them are gone through. Each shell has others, so that no result could be found
        again if all were inputs: the user is told instead."""
        frame = self._readers.caller(_passes_on)
        if frame is None:
            return
        self._copying = (id(frame), frame.f_lasti)  # what one step of the code does
        if not self._warned:
            self._warned = True
            place = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"  # noqa: PTH119 - text
            self._warn(
                f"{place} takes all environment variables, which are no inputs: a change of one"
                " makes nothing stale; ask for those that matter by name: os.environ.get('NAME')"
            )

    def forget(self, key: Any) -> None:
        """A variable is set by this process: what it holds from now on follows from the rest."""
        if (name := _name(key)) is not None and name not in self.read:
            self._not_asked.add(name)


def _passes_on(frame: FrameType) -> bool:
    """Whether a function of Python's asks in its caller's name, and not for what it needs itself:
    PATH to find a program, HOME in "~"."""
    code = frame.f_code
    module = frame.f_globals.get("__name__", "")
    if module in ("os", "posixpath"):
        return code.co_name not in ("expanduser", "get_exec_path")
    return module in ("_collections_abc", "collections.abc", "string", __name__)


def _name(key: Any) -> str | None:
    if isinstance(key, bytes):
        return os.fsdecode(key)
    return key if isinstance(key, str) else None  # else a TypeError is on its way
