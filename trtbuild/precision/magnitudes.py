"""The largest magnitude that each tensor of a graph takes, measured in float32.

The reductions stand in the graph, so that no tensor leaves onnxruntime. A float16 graph would not
do: onnxruntime's CPU provider runs float16 operators that it has no kernel for in float32, which
hides every overflow.

onnxruntime's maxima pass over most NaN, its sums over none: where a sum is not finite, the values
themselves are looked at. Maps of convolutions are squared and pooled instead of reduced, since
those operators run in the blocked layout that the convolutions run in; a reduction would have each
map copied into the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import onnx
from onnx import helper

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.graph import float_tensors, with_readers
from trtbuild.precision.session import open_session
from trtbuild.precision.watch import Watch, open_watch

_MAPS, _OTHERS = ("square", "squares"), ("high", "low", "sum")
"""What is read of a map of a convolution: the largest square, and the sum of its channels' mean
squares; and of any other tensor.
"""

_CONVOLUTIONS = frozenset(("Conv", "ConvTranspose"))
_ARITHMETIC = ("Add", "Concat", "Div", "Mul", "Sub", "Sum")
_ACTIVATIONS = ("Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid")
_POOLS = ("AveragePool", "BatchNormalization", "GlobalAveragePool", "MaxPool")
_LIKE = frozenset((*_ARITHMETIC, *_ACTIVATIONS, *_POOLS))
"""Operators that give maps where they take one."""

_TINY = float(np.finfo(np.float32).tiny)  # squares below it lose digits


def measure_magnitudes(
    model: onnx.ModelProto,
    cases: Iterable[Arrays],
    done: Callable[[int], None] = lambda _: None,
    only: frozenset[str] | None = None,
) -> dict[str, float]:
    """The largest |value| of every float32 input and node output of the main graph, over all cases.

    Infinite or NaN where the model gives that. Constants are left out: their values are in the
    graph. So are tensors that never have elements. `only` names the tensors that are wanted, where
    not all of them are. `done` is called after each case with the number of cases done.

    Raises StageError where onnxruntime cannot run the model.
    """
    given = {value.name for value in model.graph.input}
    ranks = float_tensors(model)
    maps = _maps(model, ranks)
    tensors = [name for name in ranks if only is None or name in only]
    made = {name: _MAPS if name in maps else _OTHERS for name in tensors if name not in given}
    outputs = [_output(part, name) for name, parts in made.items() for part in parts]
    found: dict[str, float] = {}

    def widen(name: str, magnitude: float | None) -> None:
        if magnitude is not None:  # else the tensor has no elements
            found[name] = float(np.maximum(found.get(name, 0.0), magnitude))  # NaN wins

    with ExitStack() as stack:
        run = stack.enter_context(open_session(_with_reductions(model, made), optimise=True))
        watch: Watch | None = None  # opened when it is first needed
        for count, case in enumerate(cases, start=1):
            results = map(float, run(outputs, case))
            unsure = set()
            for name, parts in made.items():
                magnitude = _magnitude([next(results) for _ in parts])
                if math.isfinite(magnitude):
                    widen(name, magnitude)
                elif math.isfinite(found.get(name, 0.0)):
                    unsure.add(name)
            if unsure:
                watch = watch or stack.enter_context(open_watch(model, [*made], optimise=True))
                for name, values in _values(watch, unsure, case):
                    widen(name, _largest(values))
            for name, values in case.items():
                if name in tensors:
                    widen(name, _largest(values))
            done(count)
    return found


def _maps(model: onnx.ModelProto, ranks: Mapping[str, int | None]) -> frozenset[str]:
    """The tensors [n, channels, height, width] that convolutions make, and what is made of them.

    Not others of four axes: a cache of keys may be empty, which no pooling takes.
    """
    found: set[str] = set()
    for node in model.graph.node:
        if node.op_type in _CONVOLUTIONS or (
            node.op_type in _LIKE and found.intersection(node.input)
        ):
            found.update(name for name in node.output if ranks.get(name) == 4)
    return frozenset(found)


def _with_reductions(
    model: onnx.ModelProto, tensors: Mapping[str, tuple[str, ...]]
) -> onnx.ModelProto:
    """A copy of the model whose outputs are what is read of each tensor."""
    readers = {_MAPS: _of_maps, _OTHERS: _of_others}
    copy = with_readers(model, [*tensors], lambda name: readers[tensors[name]](name))
    for name, parts in tensors.items():
        copy.graph.output.extend(onnx.ValueInfoProto(name=_output(part, name)) for part in parts)
    return copy


def _of_maps(tensor: str) -> list[onnx.NodeProto]:
    square, most, means = (f"trtbuild:{part}:{tensor}" for part in ("times", "most", "means"))
    return [
        helper.make_node("Mul", [tensor, tensor], [square], square),
        helper.make_node("GlobalMaxPool", [square], [most], most),
        helper.make_node("GlobalAveragePool", [square], [means], means),
        _reduced("ReduceMax", most, _output("square", tensor)),
        _reduced("ReduceSum", means, _output("squares", tensor)),
    ]


def _of_others(tensor: str) -> list[onnx.NodeProto]:
    operators = ("ReduceMax", "ReduceMin", "ReduceSum")
    return [
        _reduced(operator, tensor, _output(part, tensor))
        for operator, part in zip(operators, _OTHERS, strict=True)
    ]


def _reduced(operator: str, tensor: str, output: str) -> onnx.NodeProto:
    return helper.make_node(operator, [tensor], [output], output, keepdims=0)


def _output(part: str, tensor: str) -> str:
    return f"trtbuild:{part}:{tensor}"


def _magnitude(parts: Sequence[float]) -> float:
    """The largest magnitude by what was read; NaN where that does not tell."""
    if not all(map(math.isfinite, parts)):
        return math.nan
    if len(parts) == len(_OTHERS):
        return max(abs(parts[0]), abs(parts[1]))
    square = parts[0]
    # The root of a rounded square, rounded to float32 in turn, is the value itself.
    return float(np.float32(math.sqrt(square))) if square == 0 or square >= _TINY else math.nan


def _values(watch: Watch, names: Collection[str], case: Arrays) -> Iterator[tuple[str, Array]]:
    """The values of some tensors, no more of them at once than the watch's budget."""
    for group in watch.groups(case):
        if wanted := [name for name in group if name in names]:
            yield from watch.values(wanted, case)


def _largest(values: Array) -> float | None:
    """The largest magnitude of an array, NaN where one is; None without elements."""
    if not values.size:
        return None
    return float(np.maximum(abs(values.min()), abs(values.max())))
