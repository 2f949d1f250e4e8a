"""Which modules the user's code imports, and where one of the user's would come before."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Any

from trtbuild.discovery.names import INSTALLED_FOLDERS
from trtbuild.discovery.paths import kind_of
from trtbuild.discovery.places import Places
from trtbuild.discovery.readers import Readers


class Imports(importlib.abc.MetaPathFinder):
    """Stands before the finders of modules, and finds none itself.

    `misses` is told of each file that is not there and would be taken if it were.
    """

    def __init__(self, places: Places, readers: Readers, misses: Callable[[str], None]) -> None:
        self._places = places
        self._readers = readers
        self._misses = misses
        self._began = frozenset(sys.path)
        self._names: set[str] = set()
        self.imported: set[str] = set()  # top-level names that the user's code caused

    def start(self) -> None:
        """Begin to watch: the finder stands first, and modules are asked for by name."""
        sys.meta_path.insert(0, self)
        modules: Any = importlib
        original = modules.import_module

        @functools.wraps(original)
        def import_module(name: str, package: str | None = None) -> ModuleType:
            if self._readers.importer_is_user():  # it may be there already, so that none is found
                self.imported.add(name.partition(".")[0])
            found: ModuleType = original(name, package)
            return found

        modules.import_module = import_module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _: ModuleType | None = None, /
    ) -> None:
        """None: a module is looked for, in the folders of its package or on the path."""
        if fullname.partition(".")[0] in sys.stdlib_module_names:
            return
        if path is None and self._readers.cause_is_user():
            self.imported.add(fullname)
        if not self._readers.importer_is_user():
            return
        if path is None:
            self._names.add(fullname)
        for folder in sys.path if path is None else path:
            place = os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118 - text
            if any(part in place for part in INSTALLED_FOLDERS):
                return  # the user's own come before what is installed
            if not self._places.is_nobodys(place) and self._holds(place, fullname):
                return

    def found_by_python(self) -> Iterator[str]:
        """The top-level names of modules of the user's that the interpreter's own search found,
        and of those that are missing, which it could find: it does not know the folders that
        recipe and user's code have put on the path."""
        return filter(self._is_for_python, self._names)

    def _holds(self, place: str, name: str) -> bool:
        """Whether a folder has a module; the files that would be taken before it are told."""
        last = place + name.rpartition(".")[2]
        for candidate in _candidates(last):
            if kind_of(candidate) is not None:
                return True
            self._misses(candidate)
        return False

    def _is_for_python(self, name: str) -> bool:
        if name not in sys.modules:
            return True
        spec = getattr(sys.modules[name], "__spec__", None)
        if spec is None:
            return False
        package = spec.submodule_search_locations
        place = next(iter(package), "") if package is not None else spec.origin or ""
        if not place.startswith(os.sep) or self._places.is_nobodys(place):
            return False
        added = frozenset(map(os.path.abspath, frozenset(sys.path) - self._began))
        return os.path.dirname(place) not in added  # noqa: PTH120 - text


def _candidates(module: str) -> Iterator[str]:
    """The files that a module may be, in the order in which Python's finder of files takes them:
    a package before a module, native code before source."""
    package = f"{module}{os.sep}__init__"
    if kind_of(module) is not None:  # else no more than the source of one is likely to appear
        yield from (f"{package}{suffix}" for suffix in EXTENSION_SUFFIXES)
    yield f"{package}.py"
    yield from (f"{module}{suffix}" for suffix in EXTENSION_SUFFIXES)
    yield f"{module}.py"
