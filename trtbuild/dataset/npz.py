"""Batches from a .npz file, read as a stream: of each array only one batch is in memory."""

from __future__ import annotations

import math
import zipfile
import zlib
from contextlib import ExitStack
from tokenize import TokenError
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtbuild.model.inputs import Array, Arrays


def batches(demand: Demand) -> Iterator[Batch]:
    """Batches of the samples in the order of the file; the last one may be smaller.

    What does not fill the smallest batch is left out, and said. Raises StageError.
    """
    assert demand.path is not None  # noqa: S101 - the plan gives the file
    place = str(demand.path)
    try:
        with zipfile.ZipFile(demand.path) as archive, ExitStack() as stack:
            members = {
                name.removesuffix(".npy"): _Member(stack.enter_context(archive.open(name)), name)
                for name in archive.namelist()
            }
            require_names(members, demand.inputs, place)
            yield from _batches(members, demand, place)
    except OSError as error:
        raise StageError(
            f"the dataset cannot be read: {error.strerror or error}",
            where=place,
            hint="check that the file is there and that you may read it",
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise StageError(
            f"the dataset is cut off or no .npz file: {error}",
            where=place,
            hint="write it again with numpy.savez",
        ) from error


class _Member:
    """One array of the archive, read from its first sample to its last.

    One in Fortran order is read whole, since its samples lie among each other.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            self.shape, self._fortran, self._dtype = read(file)
        except (SyntaxError, TokenError) as error:  # numpy parses headers as Python
            raise ValueError(f"the header of '{name}' is damaged") from error
        self._file = file
        self._rest: Array | None = None  # of an array in Fortran order
        self._name = name.removesuffix(".npy")
        if self._dtype.hasobject:
            raise ValueError(f"'{self._name}' holds Python objects, which are not loaded")

    def whole(self, place: str) -> Array:
        """All of it."""
        return as_array(self._all(), self._name, place)

    def rows(self, count: int, place: str) -> Array:
        """The next so many samples."""
        if not self._fortran:
            return as_array(self._read((count, *self.shape[1:])), self._name, place)
        rest = self._all() if self._rest is None else self._rest
        self._rest = rest[count:]
        return as_array(np.ascontiguousarray(rest[:count]), self._name, place)

    def _all(self) -> Array:
        if not self._fortran:
            return self._read(self.shape)
        return self._read(self.shape[::-1]).T  # the last axis is the slowest

    def _read(self, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape) * self._dtype.itemsize
        content = self._file.read(size)
        if len(content) < size:
            raise EOFError(f"'{self._name}' ends early")
        return np.frombuffer(content, self._dtype).reshape(shape)


def _batches(members: dict[str, _Member], demand: Demand, place: str) -> Iterator[Batch]:
    inputs = {item.name: item for item in demand.inputs}
    whole = {name for name, item in inputs.items() if is_whole(item, members[name].shape)}
    batched = set(inputs) - whole
    count = _count(members, batched, place)
    smallest = demand.smallest(batched)
    constant: Arrays = {}
    for name, member in members.items():
        if name in whole or (name not in inputs and member.shape[:1] != (count,)):
            constant[name] = member.whole(place)
    limit = min(count, demand.samples or count)
    for start in range(0, limit, demand.batch):
        rows = min(demand.batch, limit - start)
        if rows < smallest:
            if start == 0:
                raise too_few(rows, smallest, place)
            text = f"the last {rows} samples of the dataset do not fill a batch: left out"
            demand.leave_out(rows, text)
            return
        arrays = {
            name: constant[name] if name in constant else member.rows(rows, place)
            for name, member in members.items()
        }
        where = f"{place}, samples {start} to {start + rows - 1}"
        yield Batch(
            {name: checked(arrays[name], item, where) for name, item in inputs.items()},
            {name: values for name, values in arrays.items() if name not in inputs},
        )


def _count(members: dict[str, _Member], names: set[str], place: str) -> int:
    """How many samples there are: axis 0, which the inputs must agree on; 1 without such inputs."""
    counts = {name: members[name].shape[0] if members[name].shape else 0 for name in sorted(names)}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise StageError(
            f"the inputs have different numbers of samples: {listed}",
            where=place,
            hint="axis 0 of each array counts the samples",
        )
    count = next(iter(counts.values()), 1)
    if count == 0:
        raise empty(place)
    return count
