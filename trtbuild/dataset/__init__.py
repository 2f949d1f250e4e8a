"""Datasets: batches of named arrays, from one explicit dict of kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtbuild.dataset import audio, images, npy, npz, python, random
from trtbuild.dataset.base import Batch, Demand, default_batch
from trtbuild.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from trtbuild.recipe.model import Input, Options

KINDS: dict[str, Callable[[Demand], Iterator[Batch]]] = {
    "audio": audio.batches,
    "images": images.batches,
    "npy": npy.batches,
    "npz": npz.batches,
    "python": python.batches,
    "random": random.batches,
}


def demand_of(
    options: Options,
    inputs: Sequence[Input],
    folder: Path,
    path: Path | None,
    *,
    samples: int | None = None,
    batch: int | None = None,
    warn: Callable[[str], None] = lambda _: None,
    files: tuple[Path, ...] = (),
    key: str = "verify",
) -> Demand:
    """What is asked of a dataset; without a batch it is that of the opt shapes. `key` is the
    recipe's section that asks.

    Raises StageError for a batch outside of the profile.
    """
    size = batch or default_batch(inputs)
    demand = Demand(options, tuple(inputs), folder, path, samples, size, warn, files)
    for item in demand.batched:
        low, high = item.min[0], item.max[0]
        if low < high and not low <= size <= high:
            raise StageError(
                f"the batch {size} is outside of what input '{item.name}' takes: {low} to {high}",
                where=f"{key}.batch",
                hint="choose a batch in between, or other min and max shapes",
            )
    return demand


def open_dataset(demand: Demand) -> Iterator[Batch]:
    """The batches of a dataset, each read when it is asked for; its kind says from where."""
    return KINDS[str(demand.options["kind"])](demand)
