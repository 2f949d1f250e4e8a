"""Batches from a folder of .npy files, one sample each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtbuild.dataset.base import as_array
from trtbuild.dataset.files import batched, listed, ordered, target
from trtbuild.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtbuild.dataset.base import Batch, Demand
    from trtbuild.model.inputs import Array, Arrays


def batches(demand: Demand) -> Iterator[Batch]:
    """Samples in the order of the files' names.

    For one input the files lie in the folder itself. For several there is a folder for each, named
    as the input, and the files of a sample have the same name in all of them; folders of other
    names hold extras (labels). A sample may have an axis of samples of size 1. Raises StageError
    with the file.
    """
    root = demand.folder / str(demand.options["npy"])
    files = listed(demand, "npy")
    if all(path.parent in (root, root.parent) for path in files):
        groups = [{target(demand).name: path} for path in files]
    else:
        groups = _by_name(root, files)
    samples = ((_places(group), _load(group, demand)) for group in ordered(groups, demand))
    return batched(samples, demand, str(root))


def _by_name(root: Path, files: list[Path]) -> list[dict[str, Path]]:
    """The files of each sample by their folder; each folder must have all of them."""
    folders: dict[str, dict[str, Path]] = {}
    for path in files:
        name = path.relative_to(root).parts[0] if path.parent != root else ""
        folders.setdefault(name, {})[path.relative_to(root / name).as_posix()] = path
    if "" in folders:
        raise StageError(
            f"'{next(iter(folders['']))}' lies beside folders of inputs",
            where=str(root),
            hint="put every file into the folder of its input",
        )
    names = {name for files_of in folders.values() for name in files_of}
    for folder, files_of in folders.items():
        missing = sorted(names - set(files_of))
        if missing:
            raise StageError(
                f"sample '{missing[0]}' is not in the folder '{folder}'",
                where=str(root / folder),
                hint="the files of a sample have the same name in the folder of each input",
            )
    return [{folder: folders[folder][name] for folder in folders} for name in sorted(names)]


def _load(group: dict[str, Path], demand: Demand) -> Arrays:
    ranks = {item.name: len(item.min) for item in demand.inputs}
    return {name: _sample(path, name, ranks.get(name)) for name, path in group.items()}


def _sample(path: Path, name: str, rank: int | None) -> Array:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise StageError(
            f"the sample cannot be read: {error}",
            where=str(path),
            hint="write it again with numpy.save, so that its header says the size that it has; "
            "arrays of objects are not loaded",
        ) from error
    values = as_array(loaded, name, str(path))
    return values[0] if values.ndim == rank and len(values) == 1 else values


def _places(group: dict[str, Path]) -> dict[str, str]:
    return {name: str(path) for name, path in group.items()}
