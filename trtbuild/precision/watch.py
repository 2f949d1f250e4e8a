"""Hands out the values of a graph's inner tensors, case by case, in bounded memory.

A tensor that is an output of the graph lives until the run is over, whether it is fetched or not.
That costs nothing where all of them are wanted and fit. Else each stands behind an If of its own:
switched off, its node's other readers let it go at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.graph import count_elements, element_types, with_readers
from trtbuild.precision.session import Run, open_session, require_values

BUDGET = 512 * 1024 * 1024
"""Bytes of inner tensors that are taken from one run; onnxruntime holds them a second time, and
what a model's own run needs comes on top."""

_ON = "trtbuild:on:"  # prefix of the inputs that switch a tensor on
_VALUE = "trtbuild:value:"  # prefix of the outputs that hold values
_SIZE = "trtbuild:size:"  # and of those that count elements

_WIDTH = np.dtype(np.float32).itemsize


class Watch:
    """A model whose inner tensors can be read. Tensors whose values together go beyond the budget
    are read in groups, by a run each.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        tensors: Sequence[str],
        budget: int,
        open_run: Callable[[onnx.ModelProto], Run],
    ) -> None:
        """`open_run` opens a session of a model, which is opened when it is first needed."""
        given = {value.name for value in model.graph.input}
        self._model, self._budget, self._open = model, budget, open_run
        self._whole: Run | None = None  # of the model whose outputs are the tensors
        self._switched: Run | None = None  # of that in which each stands behind a switch
        self._given = [name for name in tensors if name in given]
        self._made = [name for name in tensors if name not in given]
        self._known: dict[tuple[tuple[str, tuple[int, ...]], ...], list[list[str]]] = {}
        self._fits: dict[str, int] = {}  # input -> elements, of a case that fits in one run
        self._most = 0  # bytes of inner tensors in that case

    def groups(self, inputs: Arrays) -> list[list[str]]:
        """The tensors, split so that each group is within the budget where it can be."""
        require_values(self._given, inputs)
        shapes = {name: array.shape for name, array in sorted(inputs.items())}
        key = tuple(shapes.items())
        if key not in self._known:
            groups = self._split(inputs, shapes) if self._made else []
            self._known[key] = [self._given, *groups] if self._given else groups
        return self._known[key]

    def values(self, group: Sequence[str], inputs: Arrays) -> Iterator[tuple[str, Array]]:
        """Each tensor of a group with its values, which are the caller's to keep or to let go."""
        made = [name for name in group if name in self._made]
        results = iter(self._values(made, inputs) if made else ())
        for name in group:
            yield name, inputs[name] if name in self._given else next(results)

    def _values(self, made: Sequence[str], inputs: Arrays) -> list[Array]:
        if len(made) < len(self._made):
            return self._taken([_VALUE + name for name in made], made, inputs)
        if self._whole is None:
            self._whole = self._open(_with_outputs(self._model, self._made))
        return self._whole(made, inputs)

    def _taken(self, outputs: Sequence[str], on: Sequence[str], inputs: Arrays) -> list[Array]:
        if self._switched is None:
            self._switched = self._open(_with_switches(self._model, self._made))
        flags = {_ON + name: np.array(name in on) for name in self._made}
        return self._switched(outputs, {**inputs, **flags})

    def _split(self, inputs: Arrays, shapes: Mapping[str, Sequence[int]]) -> list[list[str]]:
        """The tensors that a graph makes in groups; one where a case was seen that needs more."""
        elements = {name: array.size for name, array in inputs.items()}
        growth = [size / max(self._fits.get(name, 0), 1) for name, size in elements.items()]
        # No tensor of a model grows faster than the square of an input (the scores of attention).
        if self._fits and self._most * max(1.0, *growth) ** 2 <= self._budget:
            return [self._made]
        sizes = count_elements(self._model, shapes)
        if not sizes.keys() >= set(self._made):
            counted = self._taken([_SIZE + name for name in self._made], (), inputs)
            sizes = dict(zip(self._made, map(int, counted), strict=True))
        groups = list(_groups(self._made, sizes, self._budget))
        if len(groups) == 1:
            self._fits, self._most = elements, _WIDTH * sum(sizes[n] for n in self._made)
        return groups


@contextmanager
def open_watch(
    model: onnx.ModelProto, tensors: Sequence[str], *, optimise: bool, budget: int = BUDGET
) -> Iterator[Watch]:
    """A Watch of the model's inputs and inner tensors of a floating type; `optimise` is
    open_session's.

    Raises StageError where onnxruntime refuses the model.
    """
    with ExitStack() as stack:
        yield Watch(
            model,
            tensors,
            budget,
            lambda copy: stack.enter_context(open_session(copy, optimise=optimise)),
        )


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
    """A copy of the model whose outputs are the tensors."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for name in tensors:
        copy.graph.output.append(onnx.ValueInfoProto(name=name))  # onnxruntime infers the type
    return copy


def _with_switches(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model whose outputs are the tensors that are switched on (the others come
    empty), and the number of elements of each.
    """
    types = element_types(model)
    copy = with_readers(
        model, tensors, lambda name: _switch(name, types.get(name, TensorProto.FLOAT))
    )
    graph = copy.graph
    for name in tensors:
        graph.input.append(helper.make_tensor_value_info(_ON + name, TensorProto.BOOL, []))
        graph.output.append(onnx.ValueInfoProto(name=_VALUE + name))  # onnxruntime infers the type
        graph.output.append(helper.make_tensor_value_info(_SIZE + name, TensorProto.INT64, []))
    return copy


def _switch(tensor: str, element: int) -> list[onnx.NodeProto]:
    """Gives the tensor where its flag is set, else no elements; and counts its elements."""
    copied, empty, value = f"trtbuild:copy:{tensor}", f"trtbuild:empty:{tensor}", _VALUE + tensor
    then = helper.make_graph(
        [helper.make_node("Identity", [tensor], [copied])],
        "then",
        [],
        [helper.make_tensor_value_info(copied, element, None)],
    )
    nothing = helper.make_tensor("nothing", element, [0], [])
    otherwise = helper.make_graph(
        [helper.make_node("Constant", [], [empty], value=nothing)],
        "else",
        [],
        [helper.make_tensor_value_info(empty, element, [0])],
    )
    return [
        helper.make_node(
            "If", [_ON + tensor], [value], value, then_branch=then, else_branch=otherwise
        ),
        helper.make_node("Size", [tensor], [_SIZE + tensor], _SIZE + tensor),
    ]


def _groups(tensors: Sequence[str], sizes: Mapping[str, int], budget: int) -> Iterator[list[str]]:
    group: list[str] = []
    held = 0
    for name in tensors:
        if group and held + sizes[name] * _WIDTH > budget:
            yield group
            group, held = [], 0
        group.append(name)
        held += sizes[name] * _WIDTH
    if group:
        yield group
