"""What a step made of the cases, on disk, and as what a metric is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

from trtbuild.model.cases import Case, CaseReader, restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from trtbuild.model.inputs import Arrays


class Results:
    """The outputs of one step, one file an array: of all cases they may be more than memory."""

    def __init__(self, name: str, indices: Iterable[int], folder: Path) -> None:
        """`indices` are the cases of the reference that the step runs on."""
        self.name = name
        self.indices = tuple(indices)
        self.names: tuple[str, ...] = ()
        self._folder = folder
        folder.mkdir()

    def write(self, index: int, outputs: Arrays) -> None:
        """Keep the outputs of one case."""
        self.names = tuple(outputs)
        for number, values in enumerate(outputs.values()):
            plain = values.view("V2") if values.dtype == ml_dtypes.bfloat16 else values
            np.save(self._folder / f"{index}-{number}.npy", plain, allow_pickle=False)

    def read(self, index: int) -> Arrays:
        """The outputs of one case."""
        return {
            name: restored(np.load(self._folder / f"{index}-{number}.npy"))
            for number, name in enumerate(self.names)
        }


class CaseView(Sequence[Case]):
    """Cases with the outputs of a step (or of the source model), each read when asked for."""

    def __init__(
        self, reader: CaseReader, indices: Sequence[int], outputs: Callable[[int], Arrays]
    ) -> None:
        self._reader = reader
        self._indices = tuple(indices)
        self._outputs = outputs

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> Case:  # type: ignore[override]  # hooks do not slice
        index = self._indices[position]
        return Case(self._reader.inputs(index), self._outputs(index), self._reader.extras(index))
