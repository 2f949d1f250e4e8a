"""Batches from a Python generator of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trtbuild.dataset.base import (
    Batch,
    Demand,
    as_array,
    checked,
    empty,
    is_whole,
    require_names,
    too_few,
)
from trtbuild.errors import StageError
from trtbuild.model.inputs import Array, Arrays
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
    stacker = _Stacker(demand, reference)
    taken = 0
    for number, item in enumerate(iterate_user(made, reference)):
        place = f"{reference}, item {number}"
        arrays = _arrays(item, place)
        require_names(arrays, demand.inputs, place)
        if _is_sample(arrays, demand):
            taken += 1
            yield from stacker.add(arrays, place)
        else:
            batch = _split(arrays, demand, place)
            taken += _size(batch, demand)
            yield batch
        if demand.samples and taken >= demand.samples:
            break
    if not taken:
        raise empty(reference)
    yield from stacker.flush()
    stacker.report()


@dataclass(slots=True)
class _Stacker:
    """Collects samples of the same shapes until they fill a batch."""

    demand: Demand
    reference: str
    pending: list[Arrays] = field(default_factory=list)
    dropped: int = 0
    given: int = 0
    smallest: int = 1

    def add(self, sample: Arrays, place: str) -> Iterator[Batch]:
        """Take one sample; gives a batch where that fills one, or begins another shape."""
        if self.pending and _shapes(sample) != _shapes(self.pending[0]):
            if set(sample) != set(self.pending[0]):
                raise StageError(
                    f"the sample has {', '.join(sorted(sample))}, "
                    f"the one before it {', '.join(sorted(self.pending[0]))}",
                    where=place,
                    hint="yield the same names in every item",
                )
            yield from self.flush()
        self.pending.append(sample)
        if len(self.pending) == self.demand.batch:
            yield from self.flush()

    def flush(self) -> Iterator[Batch]:
        """The batch of what is pending, where it is large enough for the model."""
        samples, self.pending = self.pending, []
        if not samples:
            return
        batched = (i.name for i in self.demand.inputs if not is_whole(i, samples[0][i.name].shape))
        self.smallest = self.demand.smallest(batched)
        if len(samples) < self.smallest:
            self.dropped += len(samples)
            return
        self.given += len(samples)
        place = f"{self.reference}, a batch of {len(samples)} samples"
        yield _split(_stacked(samples, self.demand), self.demand, place)

    def report(self) -> None:
        """Tell of samples that were left out."""
        if not self.dropped:
            return
        if not self.given:
            raise too_few(self.dropped, self.smallest, self.reference)
        self.demand.warn(
            f"{self.dropped} samples of the dataset do not fill a batch with others of their "
            "shape: left out"
        )


def _arrays(item: object, place: str) -> Arrays:
    if not isinstance(item, Mapping):
        raise StageError(
            f"the generator yielded a {type(item).__name__}, not a dict of arrays",
            where=place,
            hint="yield dicts: names of inputs (and labels) to arrays",
        )
    return {str(name): as_array(values, str(name), place) for name, values in item.items()}


def _is_sample(arrays: Arrays, demand: Demand) -> bool:
    """Whether an input lacks the axis of samples that the recipe's shape has."""
    return any(arrays[item.name].ndim == len(item.min) - 1 for item in demand.batched)


def _stacked(samples: list[Arrays], demand: Demand) -> Arrays:
    inputs = {item.name: item for item in demand.inputs}
    first = samples[0]

    def stacked(name: str) -> Array:
        if name in inputs and is_whole(inputs[name], first[name].shape):
            return first[name]
        return np.stack([sample[name] for sample in samples])

    return {name: stacked(name) for name in first}


def _split(arrays: Arrays, demand: Demand, place: str) -> Batch:
    names = {item.name for item in demand.inputs}
    return Batch(
        {item.name: checked(arrays[item.name], item, place) for item in demand.inputs},
        {name: values for name, values in arrays.items() if name not in names},
    )


def _size(batch: Batch, demand: Demand) -> int:
    """How many samples a batch holds: axis 0 of the first input that is dynamic there."""
    dynamic = [item for item in demand.batched if item.min[0] != item.max[0]]
    return next((len(batch.inputs[i.name]) for i in (*dynamic, *demand.batched)), 1)


def _shapes(sample: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in sample.items()}
