"""Makes batches of single samples: those of the same shapes are stacked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from trtbuild.dataset.base import Batch, Demand, checked, is_whole, too_few
from trtbuild.errors import StageError
from trtbuild.model.inputs import Array, Arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


Place: TypeAlias = "str | Mapping[str, str]"
"""Where a sample lies: in one place, or each of its arrays in one of its own."""


@dataclass(slots=True)
class Stacker:
    """Collects samples of the same shapes until they fill a batch."""

    demand: Demand
    place: str
    pending: list[tuple[Place, Arrays]] = field(default_factory=list)
    dropped: int = 0
    given: int = 0
    smallest: int = 1

    def add(self, sample: Arrays, place: Place) -> Iterator[Batch]:
        """Take one sample; gives a batch where that fills one, or begins another shape."""
        first = self.pending[0][1] if self.pending else sample
        if _shapes(sample) != _shapes(first):
            if set(sample) != set(first):
                raise StageError(
                    f"the sample has {', '.join(sorted(sample))}, "
                    f"the one before it {', '.join(sorted(first))}",
                    where=one_place(place),
                    hint="yield the same names in every item",
                )
            yield from self.flush()
        self.pending.append((place, sample))
        if len(self.pending) == self.demand.batch:
            yield from self.flush()

    def flush(self) -> Iterator[Batch]:
        """The batch of what is pending, where it is large enough for the model."""
        pending, self.pending = self.pending, []
        if not pending:
            return
        samples = [sample for _, sample in pending]
        batched = (i.name for i in self.demand.inputs if not is_whole(i, samples[0][i.name].shape))
        self.smallest = self.demand.smallest(batched)
        if len(samples) < self.smallest:
            self.dropped += len(samples)
            return
        self.given += len(samples)
        yield self._split(pending)

    def _split(self, pending: list[tuple[Place, Arrays]]) -> Batch:
        """The batch of the samples; where it does not fit the model, the sample that does not is
        told, each looked at in a batch of its own.
        """
        place = f"{self.place}, a batch of {len(pending)} samples"
        try:
            return split(
                _stacked([sample for _, sample in pending], self.demand), self.demand, place
            )
        except StageError:
            for where, sample in pending if self.smallest == 1 else ():
                split(_stacked([sample], self.demand), self.demand, where)
            raise

    def report(self) -> None:
        """Tell of samples that were left out."""
        if not self.dropped:
            return
        if not self.given:
            raise too_few(self.dropped, self.smallest, self.place)
        self.demand.leave_out(
            self.dropped,
            f"{self.dropped} samples of the dataset do not fill a batch with others of their "
            "shape: left out",
        )


def _stacked(samples: list[Arrays], demand: Demand) -> Arrays:
    inputs = {item.name: item for item in demand.inputs}
    first = samples[0]

    def stacked(name: str) -> Array:
        if name in inputs and is_whole(inputs[name], first[name].shape):
            return first[name]
        return np.stack([sample[name] for sample in samples])

    return {name: stacked(name) for name in first}


def split(arrays: Arrays, demand: Demand, place: Place) -> Batch:
    """Inputs, checked to fit the model, and extras. Raises StageError with the place."""
    names = {item.name for item in demand.inputs}
    return Batch(
        {i.name: checked(arrays[i.name], i, one_place(place, i.name)) for i in demand.inputs},
        {name: values for name, values in arrays.items() if name not in names},
    )


def one_place(place: Place, name: str = "") -> str:
    """The place of an array; that of the first one where nothing is known of it."""
    return place if isinstance(place, str) else place.get(name, next(iter(place.values())))


def _shapes(sample: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in sample.items()}
