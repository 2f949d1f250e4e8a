"""What the user's own code reads while a stage runs, as a compiler's depfile lists headers.

Names are "path" for a file (relative to the recipe's folder), "path/" for a folder that was
listed, and "package:NAME" for an installed distribution that the user's code imports.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

from trtbuild.recipe.model import JSONValue

OWN_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
IMPORT_SYSTEM = ("<frozen importlib", str(Path(os.__file__).parent / "importlib") + os.sep)
MODULE_REFERENCE = re.compile(r"^([A-Za-z_]\w*)(\.\w+)*:[A-Za-z_][\w.]*$")


class Watch:
    """Notes files below `project` that are opened for reading, folders listed, modules imported.

    `exclude` are folders whose files are no inputs (outputs and cache), `declared` the files that
    are inputs anyway.
    """

    def __init__(
        self,
        folder: Path,
        project: Path,
        exclude: tuple[Path, ...],
        declared: tuple[Path, ...],
    ) -> None:
        self._folder = str(folder.resolve())
        self._project = str(project.resolve()) + os.sep
        self._exclude = (
            OWN_PACKAGE,
            *(str(path.resolve()) + os.sep for path in exclude),
            os.path.realpath(sys.prefix) + os.sep,
        )
        self._declared = {os.path.realpath(path) for path in declared}
        self._read: set[str] = set()
        self._listed: set[str] = set()

    def start(self) -> None:
        """Begin to watch; a process cannot stop an audit hook again."""
        sys.addaudithook(self._hook)

    def discovered(self, options: JSONValue) -> list[str]:
        """The names of what was read, sorted; `options` may refer to installed modules."""
        for module in list(sys.modules.values()):
            if isinstance(file := getattr(module, "__file__", None), str):
                self._note(file, self._read)
        files = [os.path.relpath(path, self._folder) for path in self._read]
        folders = [os.path.relpath(path, self._folder) + "/" for path in self._listed]
        packages = _distributions(self._imported_names() | _referred_modules(options))
        return sorted(files) + sorted(folders) + [f"package:{name}" for name in packages]

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and not (flags or 0) & (os.O_WRONLY | os.O_RDWR):
                self._note(path, self._read)
        elif event in ("os.listdir", "os.scandir") and not _called_by_import():
            path = arguments[0] if arguments[0] is not None else "."
            if isinstance(path, str):
                self._note(path, self._listed)

    def _note(self, path: str, found: set[str]) -> None:
        real = os.path.realpath(path)
        if not real.startswith(self._project) or real.startswith(self._exclude):
            return
        if real in self._declared:
            return
        if f"{os.sep}__pycache__{os.sep}" in real or f"{os.sep}site-packages{os.sep}" in real:
            return
        if found is self._listed or os.path.isfile(real):  # noqa: PTH113 - runs at every open
            found.add(real)

    def _imported_names(self) -> set[str]:
        """Top-level names that the user's own modules import."""
        names: set[str] = set()
        for path in self._read:
            if path.endswith(".py"):
                for node in ast.walk(ast.parse(Path(path).read_bytes())):
                    if isinstance(node, ast.Import):
                        names |= {alias.name.partition(".")[0] for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                        names.add(node.module.partition(".")[0])
        return names


def _called_by_import() -> bool:
    """Whether the import system lists a folder to look for modules or distributions."""
    frame = sys._getframe(2)
    return frame.f_code.co_filename.startswith(IMPORT_SYSTEM)


def _referred_modules(options: JSONValue) -> set[str]:
    """Top-level names of "package.module:callable" references anywhere in the options."""
    if isinstance(options, str):
        match = MODULE_REFERENCE.match(options)
        return {match.group(1)} if match else set()
    if isinstance(options, dict):
        return set().union(*map(_referred_modules, options.values()))
    if isinstance(options, list):
        return set().union(*map(_referred_modules, options))
    return set()


def _distributions(names: set[str]) -> list[str]:
    """The installed distributions that provide modules of these names, sorted."""
    third_party = {n for n in names if n in sys.modules} - sys.stdlib_module_names
    found = {name: _of_the_same_name(name) for name in third_party}
    if None in found.values():
        from importlib.metadata import packages_distributions  # reads every distribution's files

        provided = packages_distributions()
        found = {name: own or provided.get(name, []) for name, own in found.items()}
    return sorted({d for own in found.values() for d in own or ()} - {"trtbuild"})


def _of_the_same_name(module: str) -> list[str] | None:
    """The distribution called like a module, where it says that it holds that module."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        own = distribution(module)
    except PackageNotFoundError:
        return None
    record = "\n" + (own.read_text("RECORD") or "")
    holds = f"\n{module}/__init__.py," in record or f"\n{module}.py," in record
    return [own.metadata["Name"]] if holds else None
