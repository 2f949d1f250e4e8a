"""Which modules the user's code imports."""

from __future__ import annotations

import importlib.abc
import os
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

from trtbuild.stages.places import Places
from trtbuild.stages.readers import Readers


class Imports(importlib.abc.MetaPathFinder):
    """Stands before the finders of modules, and finds none itself."""

    def __init__(self, places: Places, readers: Readers) -> None:
        self._places = places
        self._readers = readers
        self._began = frozenset(sys.path)
        self._names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _: ModuleType | None = None, /
    ) -> None:
        """None: a module is looked for."""
        if fullname.partition(".")[0] in sys.stdlib_module_names:
            return
        if path is None and self._readers.importer_is_user():
            self._names.add(fullname)

    def found_by_python(self) -> Iterator[str]:
        """The top-level names of modules of the user's that the interpreter's own search found: it
        does not know the folders that recipe and user's code have put on the path."""
        return filter(self._is_for_python, self._names)

    def _is_for_python(self, name: str) -> bool:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is None:
            return False
        package = spec.submodule_search_locations
        place = next(iter(package), "") if package is not None else spec.origin or ""
        if not place.startswith(os.sep) or self._places.is_nobodys(place):
            return False
        added = frozenset(map(os.path.abspath, frozenset(sys.path) - self._began))
        return os.path.dirname(place) not in added  # noqa: PTH120 - text
