"""Computes what in a graph depends on nothing but stored values and static shapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx_graphsurgeon as gs

from trtbuild.model.surgery.check import infer
from trtbuild.model.surgery.convert import all_graphs
from trtbuild.model.surgery.wiring import make_instead, read_instead, unused_name

_HIDDEN = "ShapePart"


def fold_constants(graph: gs.Graph) -> None:
    """Replace computed constants by stored ones, and each If of a known condition by its branch.

    The branches are put in here: graphsurgeon's own flattening skips every other output of an If,
    and outputs of a branch that no node of it makes.
    """
    while True:
        with _inferred_shapes(graph), _parts_of_shapes(graph):
            graph.toposort().fold_constants(partitioning="recursive", flatten_subgraphs=False)
        graph.cleanup()
        decided = [n for n in graph.nodes if n.op == "If" and isinstance(n.inputs[0], gs.Constant)]
        if not decided:
            return
        for node in decided:
            _put_in_branch(graph, node)


@contextmanager
def _inferred_shapes(graph: gs.Graph) -> Iterator[None]:
    """For this block, shapes are those that follow from the inputs: declared ones may be wrong."""
    given = {id(tensor) for tensor in graph.inputs}
    declared = [
        (tensor, tensor.shape)
        for part in all_graphs(graph)
        for tensor in part.tensors().values()
        if isinstance(tensor, gs.Variable) and id(tensor) not in given
    ]
    inferred, own = infer(graph), graph.tensors()
    for tensor, _ in declared:
        found = inferred.get(tensor.name) if own.get(tensor.name) is tensor else None
        tensor.shape = None if found is None or found.dims is None else list(found.dims)
    yield
    for tensor, shape in declared:
        if isinstance(tensor, gs.Variable):  # not folded
            tensor.shape = shape


@contextmanager
def _parts_of_shapes(graph: gs.Graph) -> Iterator[None]:
    """Take over the Shape nodes that give a part of a shape: graphsurgeon does not look at their
    start and end. Where the part is known they give a stored value; for this block the others have
    another name.
    """
    taken = {name for part in all_graphs(graph) for name in part.tensors()}
    for part in all_graphs(graph):
        for node in part.nodes:
            if node.op == "Shape" and (node.attrs.get("start") or "end" in node.attrs):
                _fold_shape(node, taken)
    yield
    for part in all_graphs(graph):
        for node in part.nodes:
            if node.op == _HIDDEN:
                node.op = "Shape"


def _fold_shape(node: gs.Node, taken: set[str]) -> None:
    shape = node.inputs[0].shape
    dims = None if shape is None else shape[node.attrs.get("start", 0) : node.attrs.get("end")]
    if dims is None or not all(isinstance(dim, int) for dim in dims):
        node.op = _HIDDEN
        return
    name = unused_name(f"{node.outputs[0].name}_value", taken)
    stored = gs.Constant(name, np.array(dims, np.int64))
    node.op, node.inputs = "Identity", [stored]
    node.attrs.clear()


def _put_in_branch(graph: gs.Graph, node: gs.Node) -> None:
    """Replace an If by the nodes of the branch that its condition chooses."""
    branch = node.attrs["then_branch" if bool(node.inputs[0].values) else "else_branch"]
    _rename_local(branch, set(graph.tensors()))
    around = graph.tensors()
    results = list(node.outputs)
    node.inputs.clear()
    node.outputs.clear()
    nodes = list(branch.nodes)
    for result, output in zip(results, branch.outputs, strict=True):
        if output.inputs:
            make_instead(result, output)
            read_instead(result, output)
            output.name = result.name  # where the branch gives it twice, the next one finds it
            around[result.name] = result
        else:  # a constant, a tensor of the outer graph, or what the branch has given before
            value = around.get(output.name, output)
            nodes.append(gs.Node("Identity", inputs=[value], outputs=[result]))
    place = next(n for n, item in enumerate(graph.nodes) if item is node)
    graph.nodes[place : place + 1] = nodes


def _rename_local(branch: gs.Graph, taken: set[str]) -> None:
    """Give tensors that a branch makes names that the outer graph does not have."""
    for node in branch.nodes:
        for tensor in node.outputs:
            if not tensor.is_empty():
                tensor.name = unused_name(tensor.name, taken)
