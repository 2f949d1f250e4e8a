"""The reference artifact: the cases a model was run on, and what its source made of them.

reference.npz holds the arrays; reference.json says which is which. Both have the same bytes
whenever their content is the same.
"""

from __future__ import annotations

import json
import weakref
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import ml_dtypes
import numpy as np
from numpy.lib import format as npy

from trtbuild.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import DTypeLike

    from trtbuild.model.inputs import Array, Arrays

    Keys: TypeAlias = dict[str, str]  # name of a tensor -> name of its array in the .npz

FORMAT = 1

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold


@dataclass(frozen=True, slots=True)
class Case:
    """One run: inputs, outputs of the source model, and extras (labels) of the same samples."""

    inputs: Arrays
    outputs: Arrays
    extras: Arrays = field(default_factory=dict)


class CaseWriter:
    """Writes cases one by one, so that only one is in memory; the end of the `with` completes it.

    Raises StageError where the files cannot be written.
    """

    def __init__(self, path: Path) -> None:
        """`path` is that of reference.json; the arrays go beside it."""
        self._path = path
        self._cases: list[dict[str, Any]] = []
        self._count = 0

    def __enter__(self) -> CaseWriter:
        self._zip = zipfile.ZipFile(self._path.with_suffix(".npz"), "w")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def add(self, kind: str, case: Case) -> None:
        """Append one case of kind "min", "opt", "max" or "data"."""
        self._cases.append(
            {
                "kind": kind,
                "inputs": self._write(case.inputs),
                "outputs": self._write(case.outputs),
                "extras": self._write(case.extras),
            }
        )

    def finish(
        self, source: str, inputs_from: Mapping[str, Any], varying: Sequence[str] = ()
    ) -> None:
        """Write reference.json; `varying` are the outputs that differ from run to run."""
        document = {
            "format": FORMAT,
            "source": source,
            "inputs_from": dict(inputs_from),
            "cases": self._cases,
            **({"varying": list(varying)} if varying else {}),
        }
        self._path.write_text(json.dumps(document, indent=1) + "\n")

    def _write(self, arrays: Arrays) -> Keys:
        return {name: self._write_array(values) for name, values in arrays.items()}

    def _write_array(self, values: Array) -> str:
        key = f"a{self._count}"
        self._count += 1
        entry = zipfile.ZipInfo(f"{key}.npy", _EPOCH)
        entry.create_system = 3  # Unix, on every system
        entry.external_attr = 0o644 << 16
        plain = np.asarray(values, order="C")
        if plain.dtype == ml_dtypes.bfloat16:
            plain = plain.view("V2")  # the only form that .npy has for it
        with self._zip.open(entry, "w", force_zip64=True) as file:
            npy.write_array(file, plain, version=(1, 0), allow_pickle=False)
        return key


class CaseReader:
    """The cases of a reference artifact, each read when it is asked for. `varying` are the outputs
    that the source model makes differently each time.
    """

    def __init__(self, path: Path, renames: Mapping[str, str] | None = None) -> None:
        """`path` is that of reference.json; `renames` says what surgery calls its tensors.

        Raises StageError where it cannot be read.
        """
        with ExitStack() as stack:
            try:
                document = json.loads(path.read_bytes())
                self._cases: list[dict[str, Any]] = [
                    _renamed(case, renames or {}) for case in document["cases"]
                ]
                self.varying = tuple(
                    (renames or {}).get(name, name) for name in document.get("varying", ())
                )
                file = stack.enter_context(path.with_suffix(".npz").open("rb"))
                self._arrays = stack.enter_context(np.load(file, allow_pickle=False))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise StageError(
                    f"the reference artifact cannot be read: {error}",
                    where=str(path),
                    hint="run the reference stage again: trtbuild run --rebuild reference",
                ) from error
            self._finalizer = weakref.finalize(self, stack.pop_all().close)

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Case:
        return Case(self.inputs(index), self.outputs(index), self.extras(index))

    def __iter__(self) -> Iterator[Case]:
        return (self[index] for index in range(len(self)))

    def kind(self, index: int) -> str:
        """ "min", "opt", "max" or "data"."""
        return str(self._cases[index]["kind"])

    def inputs(self, index: int) -> Arrays:
        """The inputs of one case."""
        return self._read(index, "inputs")

    def outputs(self, index: int) -> Arrays:
        """What the source model made of them."""
        return self._read(index, "outputs")

    def extras(self, index: int) -> Arrays:
        """The arrays of the dataset that are no inputs."""
        return self._read(index, "extras")

    def output_names(self) -> tuple[str, ...]:
        """The outputs of the source model."""
        return tuple(self._cases[0]["outputs"])

    def names(self, index: int) -> frozenset[str]:
        """The inputs and extras that a case has."""
        case = self._cases[index]
        return frozenset((*case["inputs"], *case["extras"]))

    def counted(self) -> tuple[int, ...]:
        """The cases that scores count: those of the data, where there are any."""
        data = [index for index, case in enumerate(self._cases) if case["kind"] == "data"]
        return tuple(data or range(len(self)))

    def close(self) -> None:
        """Close the file of the arrays; it is closed with the last use of the reader anyway."""
        self._finalizer()

    def _read(self, index: int, part: str) -> Arrays:
        keys: Keys = self._cases[index][part]
        return {name: restored(self._arrays[key]) for name, key in keys.items()}


def restored(values: Array, dtype: DTypeLike = ml_dtypes.bfloat16) -> Array:
    """Values of a type that .npy has no name for are of this one, where their size is its own."""
    return values.view(dtype) if values.dtype == f"V{np.dtype(dtype).itemsize}" else values


def _renamed(case: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A case whose inputs and outputs have other names."""
    renamed = {
        part: {names.get(name, name): key for name, key in case[part].items()}
        for part in ("inputs", "outputs")
    }
    return {**case, **renamed}
