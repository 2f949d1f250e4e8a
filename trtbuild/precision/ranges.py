"""The smallest and largest value that each tensor of a graph takes, measured in float32.

The reductions stand in the graph, so that no tensor leaves onnxruntime. A float16 graph would not
do: onnxruntime's CPU provider runs float16 operators that it has no kernel for in float32, which
hides every overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from trtbuild.model.inputs import Arrays
from trtbuild.precision.graph import float_tensors, with_readers
from trtbuild.precision.session import open_session

_REDUCTIONS = (("ReduceMin", "trtbuild:low:"), ("ReduceMax", "trtbuild:high:"))
"""What stands behind each tensor, and the prefix of its output."""


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and the largest value of one tensor over all cases."""

    low: float
    high: float

    @property
    def largest(self) -> float:
        """The largest magnitude; infinite or NaN where the model itself gives that."""
        return float(np.maximum(abs(self.low), abs(self.high)))  # NaN wins, unlike in max()


def measure_ranges(
    model: onnx.ModelProto,
    cases: Iterable[Arrays],
    done: Callable[[int], None] = lambda _: None,
    only: frozenset[str] | None = None,
) -> dict[str, Range]:
    """The range of every float32 input and node output of the main graph, over all cases.

    Constants are left out: their values are in the graph. Tensors without elements have no range.
    `only` names the tensors that are wanted, where not all of them are.
    `done` is called after each case with the number of cases done.

    Raises StageError where onnxruntime cannot run the model.
    """
    given = {value.name for value in model.graph.input}
    tensors = [name for name in float_tensors(model) if only is None or name in only]
    made = [name for name in tensors if name not in given]
    outputs = [prefix + name for name in made for _, prefix in _REDUCTIONS]
    found: dict[str, Range] = {}
    with open_session(_with_reductions(model, made), optimise=True) as run:
        for count, case in enumerate(cases, start=1):
            results = [float(value) for value in run(outputs, case)]
            for name, low, high in zip(made, results[::2], results[1::2], strict=True):
                _widen(found, name, low, high)
            for name, values in case.items():
                if name in tensors and values.size:
                    _widen(found, name, float(values.min()), float(values.max()))
            done(count)
    return found


def _with_reductions(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model whose outputs are the smallest and largest value of each tensor."""
    copy = with_readers(model, tensors, _reductions)
    for name in tensors:
        outputs = (onnx.ValueInfoProto(name=prefix + name) for _, prefix in _REDUCTIONS)
        copy.graph.output.extend(outputs)
    return copy


def _reductions(tensor: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node(operator, [tensor], [prefix + tensor], prefix + tensor, keepdims=0)
        for operator, prefix in _REDUCTIONS
    ]


def _widen(found: dict[str, Range], name: str, low: float, high: float) -> None:
    if low > high:  # what a reduction over no elements gives: +infinity and -infinity
        return
    old = found.get(name, Range(low, high))
    found[name] = Range(float(np.minimum(old.low, low)), float(np.maximum(old.high, high)))
