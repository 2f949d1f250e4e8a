"""Decides which constants beyond a 16-bit type's range may be saturated: those that only mask."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import onnx

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.constants import Constant, saturate
from trtbuild.precision.session import open_session

CASES = 2
"""How many cases are compared; a constant that matters changes every output."""

_TOLERANCE = 2.0**-10  # of the largest output: what float16 itself resolves
_ONE_BY_ONE = 16  # above so many constants, a set that fails together is left alone


def harmless(
    model: onnx.ModelProto,
    candidates: Sequence[Constant],
    limit: float,
    cases: Iterable[Arrays],
) -> frozenset[str]:
    """The candidates whose saturation leaves the model's float32 outputs as they are.

    An attention mask of -3.4e38 hides as well as one of -65504, while a batch normalisation with
    a variance of 1e8 becomes another one: telling them apart by looking at the graph would be a
    guess, so the model is run with the constants brought to `limit`. Raises StageError where
    onnxruntime cannot run the model.
    """
    if not candidates:
        return frozenset()
    few = list(itertools.islice(cases, CASES))
    names = [constant.tensor for constant in candidates]
    expected = _outputs(_saturated(model, (), limit), few)
    if _same(expected, _outputs(_saturated(model, names, limit), few)):
        return frozenset(names)
    if not 1 < len(names) <= _ONE_BY_ONE:
        return frozenset()
    return frozenset(
        name for name in names if _same(expected, _outputs(_saturated(model, [name], limit), few))
    )


def _saturated(model: onnx.ModelProto, names: Iterable[str], limit: float) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    saturate(copy, frozenset(names), limit)
    return copy


def _outputs(model: onnx.ModelProto, cases: Sequence[Arrays]) -> list[Arrays]:
    names = [value.name for value in model.graph.output]
    with open_session(model, optimise=True) as run:
        return [dict(zip(names, run(names, case), strict=True)) for case in cases]


def _same(expected: Sequence[Arrays], got: Sequence[Arrays]) -> bool:
    return all(
        _near(case[name], other[name])
        for case, other in zip(expected, got, strict=True)
        for name in case
    )


def _near(expected: Array, got: Array) -> bool:
    if expected.dtype.kind != "f":
        return bool(np.array_equal(expected, got))
    limit = _TOLERANCE * float(np.abs(expected).max(initial=0.0))
    return bool(np.allclose(got, expected, rtol=0.0, atol=limit, equal_nan=True))
