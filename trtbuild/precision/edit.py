"""Adds nodes and constants to a graph, with new names, in an order that stays topological."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import helper

from trtbuild.model.inputs import Array
from trtbuild.precision.graph import element_types


class Edit:
    """The main graph of a model while it is changed; `finish` writes the nodes back."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.types = element_types(model)
        self._graph = model.graph
        self.made = _computed(model.graph)
        self._taken = set(_names(model.graph))
        self._after: dict[str, list[onnx.NodeProto]] = {}
        self._first: list[onnx.NodeProto] = []

    def name(self, wish: str) -> str:
        """A name that nothing else in the graph has."""
        name = wish
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def store(self, values: Array, wish: str) -> str:
        """Add a constant of any type, also of those that numpy has through ml_dtypes only."""
        name = self.name(wish)
        self._graph.initializer.append(tensor_of(values, name))
        return name

    def follow(self, tensor: str, *nodes: onnx.NodeProto) -> None:
        """Add nodes that read a tensor: they come right behind what makes it."""
        self._after.setdefault(tensor, []).extend(nodes)

    def begin(self, node: onnx.NodeProto) -> None:
        """Add a node that reads constants alone."""
        self._first.append(node)

    def finish(self) -> None:
        """Put the new nodes in, and drop constants that nobody reads any more."""
        nodes = list(self._graph.node)
        del self._graph.node[:]
        self._graph.node.extend(self._first)
        for value in self._graph.input:
            self._graph.node.extend(self._after.pop(value.name, ()))
        for node in nodes:
            self._graph.node.append(node)
            for name in node.output:
                self._graph.node.extend(self._after.pop(name, ()))
        drop_unused(self._graph)


def tensor_of(values: Array, name: str) -> onnx.TensorProto:
    """A TensorProto with an array's values; int4 and the like come as ml_dtypes' types."""
    element = helper.np_dtype_to_tensor_dtype(values.dtype)
    if values.dtype.itemsize == 1 and values.dtype.name in ("int4", "uint4"):
        return onnx.numpy_helper.from_array(values, name)  # two values a byte
    return helper.make_tensor(name, element, values.shape, values.tobytes(), raw=True)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove initializers, and casts, that nothing reads, in place."""
    while True:
        read = {name for node in graph.node for name in _read_by(node)}
        read.update(value.name for value in graph.output)
        idle = [n for n in graph.node if n.op_type == "Cast" and n.output[0] not in read]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _read_by(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, and what its subgraphs do."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from _read_by(inner)


def _computed(graph: onnx.GraphProto) -> frozenset[str]:
    """What is no constant: inputs and outputs of nodes."""
    stored = {tensor.name for tensor in graph.initializer}
    given = (value.name for value in graph.input if value.name not in stored)
    return frozenset((*given, *(name for node in graph.node for name in node.output)))


def _names(graph: onnx.GraphProto) -> Iterable[str]:
    for value in (*graph.input, *graph.output, *graph.initializer):
        yield value.name
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
