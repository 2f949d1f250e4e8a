"""Hands out the values of a graph's inner tensors, case by case, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.session import Run, open_session

BUDGET = 1024 * 1024 * 1024
"""Bytes of inner tensors that are held at once; a model's own run comes on top."""

_SIZE = "trtbuild:size:"  # prefix of the outputs that count elements

Visit = Callable[[str, Array], None]


def watch_tensors(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    cases: Iterable[Arrays],
    visit: Visit,
    *,
    optimise: bool = True,
    budget: int = BUDGET,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Run the model on every case and call `visit(tensor, values)` for every tensor named.

    Values are valid during the call only. Tensors whose values together go beyond the budget are
    fetched by several runs of the case. `done` is called after each case with the number of cases
    done. `optimise` is open_session's.

    Raises StageError where onnxruntime refuses the model or the inputs.
    """
    given = {value.name for value in model.graph.input}
    made = [name for name in tensors if name not in given]
    sizes: dict[tuple[Any, ...], list[int]] = {}  # how many elements, per shapes of the inputs
    with open_session(_with_outputs(model, made), optimise=optimise) as run:
        for count, case in enumerate(cases, start=1):
            for name in tensors:
                if name in given:
                    visit(name, case[name])
            shapes = tuple(sorted((name, array.shape) for name, array in case.items()))
            if shapes not in sizes:
                sizes[shapes] = _sizes(run, made, case)
            for group in _groups(made, sizes[shapes], budget):
                for name, values in zip(group, run(group, case), strict=True):
                    visit(name, values)
            done(count)


def _with_outputs(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model whose outputs are the tensors, and the number of elements of each."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for name in tensors:
        copy.graph.output.append(onnx.ValueInfoProto(name=name))  # onnxruntime infers the type
        copy.graph.node.append(helper.make_node("Size", [name], [_SIZE + name], _SIZE + name))
        copy.graph.output.append(
            helper.make_tensor_value_info(_SIZE + name, onnx.TensorProto.INT64, [])
        )
    return copy


def _sizes(run: Run, tensors: Sequence[str], inputs: Arrays) -> list[int]:
    if not tensors:
        return []
    return [int(size) for size in run([_SIZE + name for name in tensors], inputs)]


def _groups(tensors: Sequence[str], sizes: Sequence[int], budget: int) -> Iterator[list[str]]:
    """The tensors in order, split so that each group is within the budget where it can be."""
    group: list[str] = []
    held = 0
    width = np.dtype(np.float32).itemsize
    for name, size in zip(tensors, sizes, strict=True):
        if group and held + size * width > budget:
            yield group
            group, held = [], 0
        group.append(name)
        held += size * width
    if group:
        yield group
