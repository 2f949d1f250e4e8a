"""Digests of outputs: what two runs on the same inputs are held against each other by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from trtbuild.verify.result import Golden

if TYPE_CHECKING:
    from trtbuild.model.cases import CaseReader
    from trtbuild.model.inputs import Array, Arrays
    from trtbuild.verify.results import Results


def digest_of_array(values: Array) -> str:
    """SHA-256 of dtype, shape and the bytes in C order, so that no two tensors share one."""
    plain = np.ascontiguousarray(values)
    head = f"{plain.dtype} {values.shape}\n".encode()
    return hashlib.sha256(head + plain.tobytes()).hexdigest()


def digests_of(outputs: Arrays) -> dict[str, str]:
    """The digest of each output, by name."""
    return {name: digest_of_array(values) for name, values in outputs.items()}


def golden_digests(reader: CaseReader) -> list[Golden]:
    """Of what the source model made of each case, in the order of the cases."""
    return [
        Golden(reader.kind(index), digests_of(reader.outputs(index)))
        for index in range(len(reader))
    ]


def add_engine(golden: list[Golden], results: Results) -> None:
    """Add the digests of what the engine made of the cases that it ran on."""
    for index in results.indices:
        golden[index].engine = digests_of(results.read(index))
