"""What the user's own code reads while a stage runs, as a compiler's depfile lists headers.

`trtbuild.discovery.names` says how that is named. What was looked for and is not there is named
too: a task is stale when it appears.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trtbuild.discovery.imports import Imports
from trtbuild.discovery.loaders import Loaders
from trtbuild.discovery.names import LINK, MODULE, PACKAGE, VARIABLE
from trtbuild.discovery.packages import distributions_used
from trtbuild.discovery.paths import database_of, kind_of, stat_of, tell_of, text_of
from trtbuild.discovery.places import Places
from trtbuild.discovery.readers import Reader, Readers
from trtbuild.discovery.seen import Seen
from trtbuild.discovery.source import run_from_source
from trtbuild.discovery.variables import Variables, Warn
from trtbuild.recipe.model import JSONValue

OTHER_PROGRAMS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"})
"""Events whose first argument names another program, which begins."""

CHANGES = {
    "os.mkdir": ((0,), ()),
    **dict.fromkeys(("os.link", "os.symlink"), ((1,), ())),
    "os.rename": ((1,), (0,)),
    **dict.fromkeys(("os.remove", "os.rmdir", "os.truncate"), ((), (0,))),
}
"""Events whose arguments name what is made, and what is changed: their positions."""


class Watch:
    """Notes files that are opened for reading, folders listed, modules imported, variables read.

    `exclude` are folders whose files are no inputs (outputs and cache), `declared` the files that
    are inputs anyway, `given` the variables that trtbuild sets for a stage.
    """

    def __init__(
        self,
        folder: Path,
        project: Path,
        exclude: tuple[Path, ...],
        declared: tuple[Path, ...],
        given: frozenset[str] = frozenset(),
        warn: Warn = lambda _: None,
    ) -> None:
        self._places = Places(folder, project, exclude)
        self._readers = Readers(self._places)
        self._variables = Variables(self._readers, given, warn)
        self._imports = Imports(self._places, self._readers, self._misses)
        self._warn = warn
        self._declared = {os.path.realpath(path) for path in declared}
        self._temporary = (os.path.realpath(tempfile.gettempdir()) + os.sep, time.time_ns())
        self._seen = Seen(folder.resolve())
        self._made: set[str] = set()
        self._written: set[str] = set()
        self._warned: set[str] = set()

    def start(self) -> None:
        """Begin to watch; a process cannot stop an audit hook again."""
        unseen = self._variables.start()
        sys.meta_path.insert(0, Loaders(self._opens, unseen))
        self._imports.start()
        for function in (os.stat, os.access):
            tell_of(function, self._asks)
        tell_of(os.readlink, self._follows)
        self._readers.start()
        run_from_source(lambda path: not self._places.is_nobodys(path))
        sys.addaudithook(self._hook)

    def discovered(self, options: JSONValue) -> list[str]:
        """The names of what was read, sorted; `options` may refer to installed modules."""
        for module in list(sys.modules.values()):
            if isinstance(file := getattr(module, "__file__", None), str):
                self._loaded(file)
        files = {name for path in self._seen.files for name in self._places.names(path)}
        folders = {f"{name}/" for path in self._seen.folders for name in self._places.names(path)}
        links = {f"{LINK}{name}" for path in self._seen.links for name in self._places.names(path)}
        packages = distributions_used(
            self._declared.union(self._seen.files), options, self._imports.imported
        )
        return [
            *sorted(files),
            *sorted(folders),
            *sorted(links),
            *sorted(f"{VARIABLE}{name}" for name in self._variables.read),
            *sorted(f"{MODULE}{name}" for name in self._imports.found_by_python()),
            *(f"{PACKAGE}{name}" for name in packages),
        ]

    def seen(self) -> dict[str, str]:
        """What files and folders were like when they were first read, by name; without those that
        this process has changed itself."""
        own = self._made | self._written
        changed = own | set(map(os.path.dirname, own))
        return {
            f"{name}{end}": state
            for found, end in ((self._seen.files, ""), (self._seen.folders, "/"))
            for path, state in found.items()
            if os.path.realpath(path) not in (changed if end else own)
            for name in self._places.names(path)
        } | {
            f"{LINK}{name}": state
            for path, state in self._seen.links.items()
            for name in self._places.names(path)
        }

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._opens_as(arguments[0], arguments[2] or 0)
        elif event in ("os.listdir", "os.scandir"):
            self._lists("." if arguments[0] is None else arguments[0])
        elif event == "import" and arguments[1] is not None:  # of native code
            self._opens(arguments[1])
        elif event == "ctypes.dlopen" and os.sep in str(arguments[0]):  # others are the system's
            self._opens(arguments[0])
        elif event == "sqlite3.connect" and (database := database_of(arguments[0])):
            self._opens(database)
            self._writes(database)
        elif event in CHANGES:
            made, written = CHANGES[event]
            for position in made:
                self._makes(arguments[position])
            for position in written:
                self._writes(arguments[position])
        elif event in OTHER_PROGRAMS:
            self._runs(arguments[0])
        elif event == "os.fork" and self._readers.now() is not Reader.NOBODY:
            self._warn_once("processes that work for it (with num_workers=0 this one reads)")

    def _opens_as(self, path: Any, flags: int) -> None:
        text = text_of(path)
        is_new = flags & os.O_CREAT and (text is None or kind_of(text) is None)
        if is_new or flags & os.O_TRUNC:
            self._makes(path)
            return
        if not flags & os.O_WRONLY:
            self._opens(path)
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._writes(path)

    def _opens(self, path: Any) -> None:
        """A file is about to be read, by whomever; it need not be there."""
        text = text_of(path)
        if text is None or self._places.is_nobodys(text):
            return
        kind = kind_of(text)
        if (inside := self._places.in_project(text)) is not None:
            if kind == stat.S_IFREG or (kind is None and self._readers.now()):
                self._note(inside, self._seen.opened)
            return
        if kind not in (None, stat.S_IFREG):
            return
        reader = self._readers.now()
        if reader is Reader.USER or (reader is Reader.LIBRARY and self._is_theirs(text, kind)):
            self._note(text, self._seen.opened)

    def _is_theirs(self, path: str, kind: int | None) -> bool:
        """Whether a file outside that a library opens is the user's. One that is missing, or lies
        where libraries keep what is their own, is if the user's code named it."""
        if self._places.is_of_libraries(path):
            return self._readers.gave(path)
        return kind is not None or self._readers.gave(path, beside=True)

    def _loaded(self, file: str) -> None:
        """A module is there: in the project it is the user's, whoever imported it."""
        text = text_of(file)
        if text is None or self._places.is_nobodys(text) or kind_of(text) != stat.S_IFREG:
            return
        if (inside := self._places.in_project(text)) is not None:
            self._note(inside, self._seen.opened)

    def _asks(self, path: Any) -> None:
        """Something is asked of a path, such as whether it is there."""
        text = None if isinstance(path, int) else text_of(path)
        if text is None or self._places.is_nobodys(text):
            return
        reader, kind = self._readers.now(), kind_of(text)
        by_user = reader is Reader.USER and kind in (None, stat.S_IFREG, stat.S_IFDIR)
        by_library = reader is Reader.LIBRARY and kind in (None, stat.S_IFREG)
        if by_user or (by_library and self._readers.gave(text)):
            self._note(self._places.in_project(text) or text, self._seen.asked)

    def _follows(self, path: Any) -> None:
        """The target of a symbolic link is read, as by Path.resolve()."""
        text = text_of(path)
        if text is None or self._places.is_nobodys(text) or self._readers.are_watching():
            return
        reader = self._readers.now()
        if reader is Reader.USER or (reader and self._places.is_in_project(text)):
            self._seen.followed(text)

    def _lists(self, path: Any) -> None:
        """The names in a folder are read."""
        text = text_of(path)
        if text is None or self._places.is_nobodys(text) or self._readers.are_importing():
            return
        inside = self._places.in_project(text)
        reader = Reader.USER if inside is not None else self._readers.now()
        by_library = reader is Reader.LIBRARY and not self._places.is_of_libraries(text)
        if reader is Reader.USER or by_library:
            self._note(inside or text, self._seen.listed)

    def _misses(self, path: str) -> None:
        """A module is not there: of the folders on the path, those of the project count."""
        if (inside := self._places.in_project(path)) is not None:
            self._note(inside, self._seen.asked)

    def _makes(self, path: Any) -> None:
        """A file or folder is made by this process: what it then reads of that is its own."""
        if (text := text_of(path)) is not None:
            self._made.add(os.path.realpath(text))

    def _writes(self, path: Any) -> None:
        """What was there already is changed by this process: nobody else has edited it."""
        if (text := text_of(path)) is not None:
            self._written.add(os.path.realpath(text))

    def _runs(self, program: Any) -> None:
        if self._readers.now() is Reader.USER:
            text = text_of(program) or ""
            words = shlex.split(text) if " " in text else [text]
            self._warn_once(os.path.basename(words[0]) if words else text)  # noqa: PTH119 - text

    def _warn_once(self, program: str) -> None:
        frame = self._readers.caller()
        place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "your code"
        if program not in self._warned:
            self._warned.add(program)
            self._warn(
                f"{place} runs {program}: what other processes read is not seen, and makes nothing"
                " stale when it changes; name such files under model.torch.files"
            )

    def _note(self, path: str, found: Callable[[str], None]) -> None:
        real = os.path.realpath(path)
        if real in self._declared or self._places.is_nobodys(real):
            return
        if self._places.in_project(path) is None and self._is_of_this_run(real):
            return
        found(path if os.path.isabs(path) else os.path.abspath(path))  # noqa: PTH100, PTH117 - text

    def _is_of_this_run(self, real: str) -> bool:
        """Whether a file has come into being since this process began, with or without it."""
        if not self._made.isdisjoint((real, *map(str, Path(real).parents))):
            return True
        temporary, began = self._temporary
        if not real.startswith(temporary):
            return False
        try:
            return stat_of(real).st_ctime_ns >= began
        except OSError:
            return False
