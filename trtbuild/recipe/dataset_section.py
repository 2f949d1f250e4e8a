"""The datasets of a recipe: their kinds, the options of each, and the files that they are made of.

The files are found as the recipe is read, so that each of them is an input of the tasks that use
it: one that comes, goes or changes makes them stale.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from trtbuild.recipe.check_files import check_path
from trtbuild.recipe.model import Dataset, Options
from trtbuild.recipe.problems import Key, Problem, did_you_mean
from trtbuild.recipe.raw import RawDataset
from trtbuild.recipe.units import whole

_FILES = ("order", "seed", "input", "fill")
_IMAGES = ("colour", "resize", "filter", "crop", "scale", "mean", "std", "layout")

KINDS: dict[str, tuple[str, ...]] = {
    "npz": (),
    "npy": _FILES,
    "images": (*_IMAGES, *_FILES),
    "audio": ("frame", "hop", "rate", *_FILES),
    "python": ("options",),
    "random": (),
}
"""The kinds of datasets, each with the options that it takes."""

SUFFIXES: dict[str, tuple[str, ...]] = {
    "npy": (".npy",),
    "images": (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"),
    "audio": (".wav",),
}
"""The kinds that are folders of files, and the files that count as samples there."""

LABELLED = ("npz", "npy", "python")
"""The kinds that can hold more than the model's inputs."""


def dataset_section(raw: RawDataset, folder: Path) -> Dataset:
    """A dataset with its files; `folder` is the recipe's."""
    if "npz" in raw:
        return Dataset("npz", {}, (raw["npz"],))
    if "python" in raw:
        reference = raw["python"]
        options: Options = {"python": reference, "options": raw.get("options", {})}
        return Dataset("python", options, (reference.rpartition(":")[0],))
    if "random" in raw:
        return Dataset("random", {"seed": int(raw["random"].get("seed", 0))}, ())
    kind = next(kind for kind in SUFFIXES if kind in raw)
    given = {name: whole(value) for name, value in raw.items() if name != kind}
    place = str(raw[kind])  # type: ignore[literal-required]
    return Dataset(kind, {kind: place, **given}, samples_in(folder, kind, place))


def samples_in(folder: Path, kind: str, place: str) -> tuple[str, ...]:
    """The files of a kind below `folder / place`, or that one file, sorted by name.

    The names begin with `place`. Hidden files are left out; where there is nothing, so is all.
    Links to folders are followed, but for those that lead to a folder that they lie below.
    """
    root = os.path.join(folder, place.rstrip("/") or "/")  # noqa: PTH118 - as all of this: thousands of files
    if os.path.isfile(root):  # noqa: PTH113
        return (place,)
    found: list[str] = []
    for at, folders, names in os.walk(root, followlinks=True):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _leads_up(root, at, os.path.join(at, name))  # noqa: PTH118
        ]
        below = os.path.relpath(at, root)
        for name in names:
            if name.lower().endswith(SUFFIXES[kind]) and not name.startswith("."):
                found.append(PurePosixPath(below, name).as_posix())
    return tuple(f"{place.rstrip('/')}/{name}" for name in sorted(found))


def _leads_up(root: str, at: str, path: str) -> bool:
    """Whether a path in the folder `at`, which was reached from `root`, is a link to a folder that
    one on the way there is or lies below: nothing new is behind it, and no end.
    """
    if not os.path.islink(path):  # noqa: PTH114
        return False
    target = os.path.realpath(path)
    way = [at]
    while len(way[-1]) > len(root):
        way.append(os.path.dirname(way[-1]))  # noqa: PTH120
    inside = os.path.join(target, "")  # noqa: PTH118
    return any(os.path.join(os.path.realpath(step), "").startswith(inside) for step in way)  # noqa: PTH118


def check_dataset(
    raw: RawDataset, key: Key, folder: Path, has: Callable[..., bool], inputs: Sequence[str]
) -> Iterator[Problem]:
    """Options that the dataset's kind does not take, inputs that there are not, and folders without
    samples. `inputs` are the names of the recipe's inputs; none where they are not known.
    """
    kinds = [kind for kind in KINDS if has(*key, kind)]
    if len(kinds) != 1:
        return
    (kind,) = kinds
    for option in raw:
        if option not in (kind, *KINDS[kind]):
            takers = [name for name, options in KINDS.items() if option in options]
            text = f"only a dataset of kind {' or '.join(takers)} takes '{option}'"
            yield Problem((*key, option), text)
    if kind == "audio" and not has(*key, "frame"):
        text = "a dataset of audio needs `frame`, the samples that the model takes at once"
        yield Problem((*key, kind), text)
    if "seed" in raw and raw.get("order") != "shuffle":
        yield Problem((*key, "seed"), "only `order: shuffle` takes a seed")
    if "input" in KINDS[kind] and inputs:
        yield from _check_inputs(raw, key, inputs)
    if kind in SUFFIXES and kind in raw:
        yield from _check_samples(str(raw[kind]), kind, (*key, kind), folder)  # type: ignore[literal-required]


def _check_inputs(raw: RawDataset, key: Key, inputs: Sequence[str]) -> Iterator[Problem]:
    known = f"the inputs are {', '.join(inputs)}"
    named, filled = raw.get("input"), raw.get("fill", {})
    if named is not None and named not in inputs:
        text = f"there is no input '{named}'{did_you_mean(named, inputs)}"
        yield Problem((*key, "input"), text, known)
    elif named in filled:
        yield Problem((*key, "input"), f"`fill` gives '{named}' a number already")
    for name in filled:
        if name not in inputs:
            text = f"there is no input '{name}'{did_you_mean(name, inputs)}"
            yield Problem((*key, "fill", name), text, known)
    if filled and set(inputs) <= set(filled):
        text = "every input has a number, so that none is left for the files"
        yield Problem((*key, "fill"), text, "leave out the input that the files are for")


def _check_samples(place: str, kind: str, key: Key, folder: Path) -> Iterator[Problem]:
    if (folder / place).is_dir():
        if not os.access(folder / place, os.R_OK | os.X_OK):
            yield Problem(key, f"'{place}' cannot be read: permission denied")
        elif not samples_in(folder, kind, place):
            wanted = " or ".join(SUFFIXES[kind])
            yield Problem(key, f"the folder '{place}' holds no {wanted} file")
    elif finding := check_path(folder, place):
        yield Problem(key, finding.text.replace("no such file", "no such folder"), finding.hint)
