"""Second moments of activations, summed over a dataset: all that a weight search needs to know.

The error that weights W + D make in a product is |X D|^2 = tr(D' X'X D): with X'X summed as batches
come, no activation is kept, and memory does not grow with the number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from trtbuild.errors import StageError
from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.watch import watch_tensors

BUDGET = 1024 * 1024 * 1024
"""Bytes of moments that are held at once; beyond it the data is run again for the next tensors."""

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Moments:
    """Of the last axis of an activation, K channels: X'X, K by K, and the sum of |x|, K."""

    gram: Floats
    magnitude: Floats
    rows: int = 0

    def add(self, values: Array) -> None:
        """Take in a batch; every axis but the last counts rows."""
        flat = values.reshape(-1, values.shape[-1]).astype(np.float32, copy=False)
        self.gram += flat.T @ flat
        self.magnitude += np.abs(flat).sum(axis=0)
        self.rows += len(flat)


def measure_moments(
    model: onnx.ModelProto,
    channels: Mapping[str, int],
    batches: Callable[[], Iterable[Arrays]],
) -> Iterator[tuple[str, Moments]]:
    """The moments of each tensor, given how many channels it has; one group in memory at a time.

    Raises StageError where a tensor takes NaN or infinity, or the model does not run.
    """
    for group in _groups(channels):
        found = {
            name: Moments(np.zeros((channels[name],) * 2), np.zeros(channels[name]))
            for name in group
        }

        def add(name: str, values: Array, found: dict[str, Moments] = found) -> None:
            found[name].add(values)

        watch_tensors(model, group, batches(), add)
        for name, moments in found.items():
            if not np.isfinite(moments.magnitude).all():
                raise StageError(
                    f"tensor '{name}' takes NaN or infinity while calibrating",
                    where=name,
                    hint="the float32 model itself gives that on this data: look at the data",
                )
            yield name, moments


def _groups(channels: Mapping[str, int]) -> Iterator[Sequence[str]]:
    group: list[str] = []
    held = 0
    for name, count in channels.items():
        size = count * count * 8
        if group and held + size > BUDGET:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group
