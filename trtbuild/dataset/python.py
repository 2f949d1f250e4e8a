"""Batches from a Python generator of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from trtbuild.dataset.base import (
    Batch,
    Demand,
    as_array,
    empty,
    require_names,
)
from trtbuild.dataset.stack import Stacker, split
from trtbuild.errors import StageError
from trtbuild.model.inputs import Arrays
from trtbuild.model.references import call_user, iterate_user, load_callable

if TYPE_CHECKING:
    from collections.abc import Iterator


def batches(demand: Demand) -> Iterator[Batch]:
    """What `f(**options)` yields: dicts of a batch, taken as they are, or of a sample, stacked.

    An item is a sample where an input in it lacks the axis of samples. Samples of different
    shapes do not go into one batch. Raises StageError with the number of the item.
    """
    reference, options = demand.options["python"], demand.options.get("options", {})
    assert isinstance(reference, str)  # noqa: S101 - the plan wrote it
    assert isinstance(options, dict)  # noqa: S101
    function = load_callable(reference, demand.folder)
    made = call_user(function, reference, **options)
    if not isinstance(made, Iterable) or isinstance(made, Mapping):
        raise StageError(
            f"{reference} returned a {type(made).__name__}, not a series of dicts",
            where=reference,
            hint="write it as a generator: `yield {'image': array, 'label': array}`",
        )
    stacker = Stacker(demand, reference)
    taken = 0
    for number, item in enumerate(iterate_user(made, reference)):
        place = f"{reference}, item {number}"
        arrays = _arrays(item, place)
        require_names(arrays, demand.inputs, place)
        if _is_sample(arrays, demand):
            taken += 1
            yield from stacker.add(arrays, place)
        else:
            batch = split(arrays, demand, place)
            if demand.samples:
                batch = _first(batch, demand.samples - taken, demand)
            taken += demand.count(batch.inputs)
            if demand.samples and taken > demand.samples:
                demand.tell_more(taken)
            yield batch
        if demand.samples and taken >= demand.samples:
            break
    if not taken:
        raise empty(reference)
    yield from stacker.flush()
    stacker.report()


def _first(batch: Batch, most: int, demand: Demand) -> Batch:
    """The first samples of a batch that has more, where all its dynamic inputs can be cut."""
    count = demand.count(batch.inputs)
    names = {item.name for item in demand.dynamic}
    if count <= most or not names or most < demand.smallest(names):
        return batch
    if any(len(batch.inputs[name]) != count for name in names):
        return batch  # axis 0 counts something else there
    return Batch(
        {name: v[:most] if name in names else v for name, v in batch.inputs.items()},
        {name: v[:most] if v.shape[:1] == (count,) else v for name, v in batch.extras.items()},
    )


def _arrays(item: object, place: str) -> Arrays:
    if not isinstance(item, Mapping):
        raise StageError(
            f"the generator yielded a {type(item).__name__}, not a dict of arrays",
            where=place,
            hint="yield dicts: names of inputs (and labels) to arrays",
        )
    # Copies: a generator may fill the same arrays again for its next item.
    return {str(name): as_array(values, str(name), place).copy() for name, values in item.items()}


def _is_sample(arrays: Arrays, demand: Demand) -> bool:
    """Whether an input lacks the axis of samples that the recipe's shape has."""
    return any(arrays[item.name].ndim == len(item.min) - 1 for item in demand.batched)
