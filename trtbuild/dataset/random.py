"""Seeded random values, for models that have no dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtbuild.dataset.base import Batch, Demand
from trtbuild.model.inputs import at_size as sized
from trtbuild.model.inputs import random_values, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtbuild.model.inputs import Arrays


def batches(demand: Demand) -> Iterator[Batch]:
    """Batches of the opt shapes, as many as the samples asked for need; none by default.

    The last one is smaller where the model allows it, else there are more samples, which is said.
    """
    seed, asked = demand.options.get("seed", 0), demand.samples or 0
    dynamic = [item.name for item in demand.dynamic]
    smallest = demand.smallest(dynamic) if dynamic else demand.batch
    for index, start in enumerate(range(0, asked, demand.batch)):
        rows = min(demand.batch, max(asked - start, smallest))
        if start + rows > asked:
            demand.tell_more(start + rows)
        generator = np.random.default_rng([int(str(seed)), index])
        shapes = {item.name: item.opt for item in demand.inputs}
        shapes |= {item.name: (rows, *item.opt[1:]) for item in demand.dynamic}
        yield Batch(
            {i.name: random_values(i, shapes[i.name], generator) for i in demand.inputs}, {}
        )


def at_size(demand: Demand, size: str) -> Arrays:
    """Values at "min", "opt" or "max"."""
    seed = demand.options.get("seed", 0)
    generator = np.random.default_rng([int(str(seed)), *size.encode()])
    return {
        item.name: random_values(sized(item, size), shape_of(item, size), generator)
        for item in demand.inputs
    }
