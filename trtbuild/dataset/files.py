"""What datasets made of files share: which files, in which order, and batches of their samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from trtbuild.dataset.base import empty, require_names
from trtbuild.dataset.stack import Stacker, one_place
from trtbuild.errors import StageError
from trtbuild.model.inputs import numpy_dtype
from trtbuild.model.names import nearest
from trtbuild.recipe.dataset_section import SUFFIXES, samples_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from trtbuild.dataset.base import Batch, Demand
    from trtbuild.dataset.stack import Place
    from trtbuild.model.inputs import Arrays
    from trtbuild.recipe.model import Input

T = TypeVar("T")


def listed(demand: Demand, kind: str) -> list[Path]:
    """The files of a kind below the dataset's folder, or the one file that it names, by name.

    Hidden files are left out. Raises StageError where there are none.
    """
    if demand.files:  # those that the task declares
        return list(demand.files)
    place = str(demand.options[kind])
    if not (demand.folder / place).exists():
        raise StageError(
            "there is no such folder",
            where=str(demand.folder / place),
            hint="the path is relative to the recipe's folder",
        )
    found = samples_in(demand.folder, kind, place)
    if not found:
        raise StageError(
            f"the folder holds no {' or '.join(SUFFIXES[kind])} file",
            where=str(demand.folder / place),
            hint="give it at least one sample",
        )
    return [demand.folder / name for name in found]


def ordered(items: Sequence[T], demand: Demand) -> list[T]:
    """The items as they are, or shuffled by the seed where `order` says so."""
    if demand.options.get("order", "name") == "name":
        return list(items)
    generator = np.random.default_rng(int(str(demand.options.get("seed", 0))))
    return [items[index] for index in generator.permutation(len(items))]


def target(demand: Demand) -> Input:
    """The input that the files hold: the one named, else the only one that nothing fills."""
    filled = _filled(demand)
    free = {item.name: item for item in demand.inputs if item.name not in filled}
    named = demand.options.get("input")
    if not free:
        raise StageError(
            "`fill` gives every input a number, so that none is left for the files",
            where="dataset.fill",
            hint="leave the input that the files are for out of `fill`",
        )
    if named is None and len(free) == 1:
        return next(iter(free.values()))
    if named is None or str(named) not in free:
        if named is None:
            what = "the dataset is for one of several inputs, and does not say which"
        elif named in filled:
            what = f"the dataset is for input '{named}', which `fill` gives a number"
        else:
            what = f"the dataset is for '{named}', which is no input{nearest(str(named), free)}"
        raise StageError(
            what,
            where="dataset.input",
            hint=f"write `input:` with one of {', '.join(free)}, and `fill:` for the others",
        )
    return free[str(named)]


def batched(samples: Iterable[tuple[Place, Arrays]], demand: Demand, place: str) -> Iterator[Batch]:
    """Batches of (place, sample) pairs; a sample lacks the axis of samples. Inputs that `fill`
    names get its number throughout, in their one shape.
    """
    constant = _constants(demand)
    stacker = Stacker(demand, place)
    taken = 0
    for where, sample in samples:
        arrays = {**constant, **sample}
        require_names(arrays, demand.inputs, one_place(where))
        taken += 1
        yield from stacker.add(arrays, where)
        if demand.samples and taken >= demand.samples:
            break
    if not taken:
        raise empty(place)
    yield from stacker.flush()
    stacker.report()


def _filled(demand: Demand) -> dict[str, float]:
    fill = demand.options.get("fill") or {}
    assert isinstance(fill, dict)  # noqa: S101 - the recipe was validated
    return {name: float(str(value)) for name, value in fill.items()}


def _constants(demand: Demand) -> Arrays:
    inputs = {item.name: item for item in demand.inputs}
    found: Arrays = {}
    for name, value in _filled(demand).items():
        item = inputs.get(name)
        if item is None or item.min != item.max:
            what = f"is no input{nearest(name, inputs)}" if item is None else "has no one shape"
            raise StageError(
                f"'{name}' {what}",
                where="dataset.fill",
                hint="`fill` gives one number to inputs whose shape is the same in every run",
            )
        found[name] = np.full(item.opt, value, numpy_dtype(item.dtype))
    return found
