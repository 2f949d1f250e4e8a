"""Hands out the values of a graph's inner tensors, case by case, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import helper

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.session import Run, open_session

BUDGET = 1024 * 1024 * 1024
"""Bytes of inner tensors that are held at once; a model's own run comes on top."""

_SIZE = "trtbuild:size:"  # prefix of the outputs that count elements


class Watch:
    """A model whose inner tensors can be read. Tensors whose values together go beyond the budget
    are read in groups, by a run each.
    """

    def __init__(self, run: Run, tensors: Sequence[str], given: set[str], budget: int) -> None:
        self._run, self._given, self._budget = run, given, budget
        self._tensors = list(tensors)
        self._known: dict[tuple[Any, ...], list[list[str]]] = {}

    def groups(self, inputs: Arrays) -> list[list[str]]:
        """The tensors, split so that each group is within the budget where it can be."""
        shapes = tuple(sorted((name, array.shape) for name, array in inputs.items()))
        if shapes not in self._known:
            made = [name for name in self._tensors if name not in self._given]
            sizes = self._run([_SIZE + name for name in made], inputs) if made else []
            self._known[shapes] = list(_groups(made, [int(size) for size in sizes], self._budget))
            asked = [name for name in self._tensors if name in self._given]
            if asked:
                self._known[shapes].insert(0, asked)
        return self._known[shapes]

    def values(self, group: Sequence[str], inputs: Arrays) -> Iterator[tuple[str, Array]]:
        """Each tensor of a group with its values, which are the caller's to keep or to let go."""
        made = [name for name in group if name not in self._given]
        results = iter(self._run(made, inputs)) if made else iter(())
        for name in group:
            yield name, inputs[name] if name in self._given else next(results)


@contextmanager
def open_watch(
    model: onnx.ModelProto, tensors: Sequence[str], *, optimise: bool, budget: int = BUDGET
) -> Iterator[Watch]:
    """A Watch of the model's inputs and inner tensors; `optimise` is open_session's.

    Raises StageError where onnxruntime refuses the model.
    """
    given = {value.name for value in model.graph.input}
    made = [name for name in tensors if name not in given]
    with open_session(_with_outputs(model, made), optimise=optimise) as run:
        yield Watch(run, tensors, given, budget)


def watch_tensors(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    cases: Iterable[Arrays],
    visit: Callable[[str, Array], None],
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Run a float32 model on every case and call `visit(tensor, values)` for every tensor named.

    `done` is called after each case with the number of cases done. Raises StageError where
    onnxruntime refuses the model or the inputs.
    """
    with open_watch(model, tensors, optimise=True) as watch:
        for count, case in enumerate(cases, start=1):
            for group in watch.groups(case):
                for name, values in watch.values(group, case):
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


def _groups(tensors: Sequence[str], sizes: Sequence[int], budget: int) -> Iterator[list[str]]:
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
