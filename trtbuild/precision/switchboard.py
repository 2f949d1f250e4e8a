"""A float32 graph in which the low precision of each node can be switched on by itself.

One graph serves every probe: in front of each input that is rounded in the low precision stands
Where(on[i], rounded, exact), and `on` is an input. A probe is then one run; no session is built
for it, and weights are loaded once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
from onnx import TensorProto, helper

from trtbuild.model.inputs import Arrays
from trtbuild.precision.autocast import Low
from trtbuild.precision.edit import Edit
from trtbuild.precision.graph import float_tensors
from trtbuild.precision.session import Run, open_session

_ON = "trtbuild:on"  # the input: one boolean for each node

_ELEMENTS = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


class Switchboard:
    """The nodes that can be switched, and runs of the model with some of them on."""

    def __init__(self, run: Run, nodes: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.nodes = nodes
        self._run, self._outputs = run, outputs

    def run(self, on: Collection[str], inputs: Arrays) -> Arrays:
        """The outputs with the named nodes in low precision and all others in float32."""
        flags = np.array([node in on for node in self.nodes], np.bool_)
        results = self._run(self._outputs, {**inputs, _ON: flags})
        return dict(zip(self._outputs, results, strict=True))


@contextmanager
def open_switchboard(exact: onnx.ModelProto, rounded: onnx.ModelProto) -> Iterator[Switchboard]:
    """A switchboard of two forms of a graph: nodes of the same name whose inputs differ.

    `rounded` is what `place`, `place_blocks` or `round_inputs` makes of a copy of `exact`; all
    of its values are float32. Raises StageError where onnxruntime refuses the graph.
    """
    model, nodes = _switched(exact, rounded)
    outputs = tuple(value.name for value in exact.graph.output)
    with open_session(model, optimise=False) as run:
        yield Switchboard(run, nodes, outputs)


def round_inputs(model: onnx.ModelProto, nodes: Collection[str], low: Low) -> None:
    """Round the float32 inputs of the nodes to float16 or bfloat16 and back, in place.

    What such a node makes is rounded where the next one reads it; a value that float16 cannot
    hold becomes infinite there, as it does on a GPU.
    """
    edit = Edit(model)
    floats = {*float_tensors(model), *_float_constants(model)}
    made: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in nodes:
            continue
        for index, name in enumerate(node.input):
            if name in floats:
                if name not in made:
                    made[name] = _rounded(edit, name, low, constant=name not in edit.made)
                node.input[index] = made[name]
    edit.finish()


def _rounded(edit: Edit, tensor: str, low: Low, *, constant: bool) -> str:
    down, up = edit.name(f"{tensor}_{low}"), edit.name(f"{tensor}_rounded")
    casts = (
        helper.make_node("Cast", [tensor], [down], down, to=_ELEMENTS[low]),
        helper.make_node("Cast", [down], [up], up, to=TensorProto.FLOAT),
    )
    if constant:
        for cast in casts:
            edit.begin(cast)
    else:
        edit.follow(tensor, *casts)
    return up


def _switched(
    exact: onnx.ModelProto, rounded: onnx.ModelProto
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The rounded graph with a Where in front of each input that differs, and the nodes' names."""
    model = onnx.ModelProto()
    model.CopyFrom(rounded)
    graph = model.graph
    originals = {node.name: node for node in exact.graph.node}
    names: list[str] = []
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for node in graph.node:
        original = originals.get(node.name)
        differs = [] if original is None else _different(original, node)
        if differs and original is not None:
            at = len(names)
            names.append(node.name)
            flag, index = f"{_ON}:{at}", f"{_ON}:index:{at}"
            constants.append(helper.make_tensor(index, TensorProto.INT64, [], [at]))
            nodes.append(helper.make_node("Gather", [_ON, index], [flag], flag))
            for place in differs:
                chosen = f"{_ON}:{at}:{place}"
                operands = [flag, node.input[place], original.input[place]]
                nodes.append(helper.make_node("Where", operands, [chosen], chosen))
                node.input[place] = chosen
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    stored = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(t for t in exact.graph.initializer if t.name not in stored)
    graph.initializer.extend(constants)
    graph.input.append(helper.make_tensor_value_info(_ON, TensorProto.BOOL, [len(names)]))
    return model, tuple(names)


def _different(original: onnx.NodeProto, node: onnx.NodeProto) -> Sequence[int]:
    pairs = enumerate(zip(original.input, node.input, strict=True))
    return [place for place, (before, after) in pairs if before != after]


def _float_constants(model: onnx.ModelProto) -> list[str]:
    return [t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]
