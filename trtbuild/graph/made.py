"""Which files of an output folder trtbuild makes: only those does it ever remove."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from trtbuild.discovery.folders import RECORDS
from trtbuild.graph.choose import ENGINE, FILE, FOLDER
from trtbuild.graph.workspace import IGNORE_ALL, LOCK, failed_name
from trtbuild.recipe.precision_section import DEFAULTS
from trtbuild.stages import STAGES
from trtbuild.store.files import store_errors

LEVELS = "rebuild.json"
"""What `trtbuild rebuild --check` leaves beside the tasks' folders."""

SENSITIVITY = "sensitivity.json"
"""What `trtbuild sensitivity` leaves in the folder of a variant."""

_FOLDERS = frozenset({"export", "surgery", "reference", "calibrate", FOLDER, *DEFAULTS})
_TURNS = re.compile(r"best/[a-z0-9]+-[a-z0-9]+")
_TEMPORARY = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.tmp")
"""Of a process that was killed while it wrote; see `temporary_beside`."""


def _names() -> frozenset[str]:
    outputs = {
        name for stage in STAGES.values() for output in stage.outputs for name in output.files
    }
    logs = {f"{stage}.failed.log" for stage in (*STAGES, "sensitivity")}
    return frozenset({*outputs, *map(failed_name, outputs), *logs, FILE, SENSITIVITY})


_NAMES = _names()


def is_ours(root: Path) -> bool:
    """Whether an output folder is trtbuild's: by its records, by its .gitignore, or because there
    is no file in it. Names alone say nothing: other tools write engine.plan and model.onnx too.
    """
    marked = (root / RECORDS).is_dir() or _is_our_ignore(root / ".gitignore")
    return marked or not any(_files(root))


def remove_made(root: Path) -> int:
    """Remove what trtbuild made in an output folder, and the folders that are then empty.

    Gives the number of files that are left. Raises StoreError.
    """
    left = 0
    with store_errors("cannot remove", root):
        for path, made in list(_files(root)):
            if made:
                path.unlink()
            else:
                left += 1
        for folder in _folders(root):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
    return left


def outdated_engines(root: Path, precisions: Collection[str]) -> list[Path]:
    """The engines in an output folder of precisions that the recipe does not have any more."""
    found = (root / name / ENGINE for name in sorted(DEFAULTS.keys() - set(precisions)))
    return [path for path in found if path.is_file()]


def _files(root: Path) -> Iterator[tuple[Path, bool]]:
    """Every file below a folder, and links to folders too, with whether trtbuild made it."""
    for place, folders, files in os.walk(root):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*files, *links):
            path = Path(place, name)
            yield path, name in files and _is_made(root, path)


def _is_made(root: Path, path: Path) -> bool:
    if temporary := _TEMPORARY.fullmatch(path.name):
        path = path.with_name(temporary[1])
    folder = path.parent.relative_to(root).as_posix()
    if folder == ".":
        return path.name == LEVELS or (path.name == ".gitignore" and _is_our_ignore(path))
    if folder == RECORDS:
        return path.suffix == ".json" or path.name == LOCK
    return path.name in _NAMES and (folder in _FOLDERS or _TURNS.fullmatch(folder) is not None)


def _is_our_ignore(path: Path) -> bool:
    try:
        return path.read_bytes() == IGNORE_ALL
    except OSError:
        return False


def _folders(root: Path) -> Iterator[Path]:
    """The folders that trtbuild makes, those inside others first."""
    best = root / FOLDER
    if best.is_dir():
        yield from (path for path in best.iterdir() if _TURNS.fullmatch(f"{FOLDER}/{path.name}"))
    yield from (root / name for name in (*sorted(_FOLDERS), RECORDS))
    yield root
