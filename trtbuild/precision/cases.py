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
    """The inputs of each run, name -> array; iterating reads one at a time, any number of times.

    Without a reader they are seeded values for the declared inputs. `indices` are the reader's
    cases that have values for all of them.
    """

    reader: CaseReader | None
    inputs: tuple[Input, ...] = ()
    indices: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[Arrays]:
        """The cases, in the order of the artifact, or at min, opt and max."""
        if self.reader is None:
            return _seeded(self.inputs)
        reader = self.reader
        return (_read(reader, index) for index in self.indices)

    def __len__(self) -> int:
        """How many cases there are."""
        return len(SIZES) if self.reader is None else len(self.indices)

    def typical(self, most: int) -> list[Arrays]:
        """Up to so many cases: of the data, or at the opt shapes where there is none."""
        if self.reader is None:
            return list(self)[1:2]
        reader = self.reader
        kinds = {index: reader.kind(index) for index in self.indices}
        wanted = next((k for k in ("data", "opt") if k in kinds.values()), "")
        chosen = [index for index, kind in kinds.items() if not wanted or kind == wanted]
        return [_read(reader, index) for index in chosen[:most]]


@contextmanager
def open_cases(
    reference: Path | None, inputs: Sequence[Input], renames: Mapping[str, str] | None = None
) -> Iterator[Cases]:
    """The cases of a reference artifact (its reference.json) that have values for the inputs;
    where there are none, seeded values in the declared ranges, the same in every run.

    `renames` says what surgery calls the artifact's tensors. Raises StageError where the artifact
    cannot be read.
    """
    if reference is None:
        yield Cases(None, tuple(inputs))
        return
    needed = {item.name for item in inputs}
    with closing(CaseReader(reference, renames)) as reader:
        fitting = tuple(n for n in range(len(reader)) if needed <= reader.names(n))
        yield Cases(reader if fitting else None, tuple(inputs), fitting)


def _read(reader: CaseReader, index: int) -> Arrays:
    """An input that surgery made is among the extras of the dataset."""
    return {**reader.extras(index), **reader.inputs(index)}


def _seeded(inputs: Sequence[Input]) -> Iterator[Arrays]:
    generator = np.random.default_rng(SEED)
    for size in SIZES:
        yield {item.name: random_values(item, shape_of(item, size), generator) for item in inputs}
