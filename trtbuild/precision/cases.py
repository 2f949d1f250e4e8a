"""The inputs that ranges are measured on: a reference artifact's cases, or seeded values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trtbuild.model.cases import CaseReader
from trtbuild.model.inputs import SIZES, Arrays, random_values, shape_of
from trtbuild.recipe.model import Input

SEED = 0


@dataclass(frozen=True, slots=True)
class Cases:
    """The inputs of each run, name -> array; iterating reads one at a time, any number of times."""

    reader: CaseReader | None
    inputs: tuple[Input, ...] = ()  # declarations, where there is no reference

    def __iter__(self) -> Iterator[Arrays]:
        """The cases, in the order of the artifact, or at min, opt and max."""
        if self.reader is None:
            return _seeded(self.inputs)
        reader = self.reader
        return (reader.inputs(index) for index in range(len(reader)))

    def __len__(self) -> int:
        """How many cases there are."""
        return len(SIZES) if self.reader is None else len(self.reader)


@contextmanager
def open_cases(
    reference: Path | None, inputs: Sequence[Input], renames: Mapping[str, str] | None = None
) -> Iterator[Cases]:
    """The cases of a reference artifact (its reference.json); without one, seeded values in the
    declared ranges, the same in every run. `renames` says what surgery calls the artifact's
    tensors. Raises StageError where the artifact cannot be read.
    """
    if reference is None:
        yield Cases(None, tuple(inputs))
        return
    with closing(CaseReader(reference, renames)) as reader:
        yield Cases(reader)


def _seeded(inputs: Sequence[Input]) -> Iterator[Arrays]:
    generator = np.random.default_rng(SEED)
    for size in SIZES:
        yield {item.name: random_values(item, shape_of(item, size), generator) for item in inputs}
