"""What the names of discovered things mean, and which folder they can be shared within.

"path" is a file and "path/" a folder that was listed, relative to the recipe's folder within the
checkout and absolute outside of it; the rest begin with what they are.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

PACKAGE = "package:"
"""An installed distribution that the user's code imports; its state is the version."""

VARIABLE = "env:"
"""An environment variable that the user's code reads; its state is a digest of its value."""

MODULE = "module:"
"""A module that the interpreter's own search finds, or does not; its state is where."""

LINK = "link:"
"""A symbolic link whose target the user's code reads; its state is the target."""

NO_PATHS = (PACKAGE, VARIABLE, MODULE, LINK)

INSTALLED_FOLDERS = ("/site-packages/", "/dist-packages/")
"""Parts of the paths of what pip has installed."""

MISSING = "missing"
INSTALLED = "installed"
FOLDER = "folder"
UNSET = "unset"


def project_of(folder: Path) -> Path:
    """The nearest folder at or above this one that looks like a project's root, else this one."""
    return _marked(folder, (".git", "pyproject.toml")) or folder


def checkout_of(folder: Path) -> Path:
    """The nearest repository at or above a folder, else its project: one copy of what belongs
    together, in which files keep their places relative to each other."""
    return _marked(folder, (".git",)) or project_of(folder)


def _marked(folder: Path, marks: tuple[str, ...]) -> Path | None:
    for candidate in (folder, *folder.parents):
        if any((candidate / mark).exists() for mark in marks):
            return candidate
    return None


def variable_state(name: str) -> str:
    """The state of an environment variable. Its value may be a secret and is never shown: the
    digest is of name and value, so that two variables with one value do not look alike."""
    value = os.environ.get(name)
    if value is None:
        return UNSET
    return f"sha256:{hashlib.sha256(os.fsencode(f'{name}={value}')).hexdigest()}"


def module_state(name: str, folder: Path) -> str:
    """Where this interpreter finds a module, besides the folder that a user stands in."""
    from importlib.machinery import PathFinder  # few tasks have such a module

    path = sys.path if sys.flags.safe_path else sys.path[1:]
    found_by = (f.find_spec(name, path if f is PathFinder else None) for f in sys.meta_path)
    spec = next((spec for spec in found_by if spec is not None), None)
    if spec is None:
        return MISSING
    places = [spec.origin] if spec.has_location else [*(spec.submodule_search_locations or ())]
    found = [place for place in places if place is not None]
    if any(part in place for part in INSTALLED_FOLDERS for place in found):
        return INSTALLED
    return os.pathsep.join(shown(place, folder) for place in found) or MISSING


def link_state(path: str | os.PathLike[str], folder: Path) -> str:
    """Where a symbolic link leads; MISSING where there is none."""
    try:
        return shown(os.readlink(path), folder)  # noqa: PTH115 - text
    except OSError:
        return MISSING


def shown(path: str, folder: Path) -> str:
    """A path relative to the recipe's folder where it lies in the same checkout, else absolute."""
    root = os.path.join(checkout_of(folder), "")  # noqa: PTH118 - with a separator at the end
    return os.path.relpath(path, folder) if path.startswith(root) else path
