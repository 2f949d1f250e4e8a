"""Takes nodes out of a graph and joins what is before and behind them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.names import nearest
from trtbuild.model.surgery.convert import all_graphs
from trtbuild.model.surgery.wiring import contains, make_instead, read_instead


def remove_nodes(graph: gs.Graph, nodes: Sequence[str], op_types: Sequence[str]) -> None:
    """Remove the nodes that a name, a glob over names, or an operator type means.

    Only where the node passes one data input on as one output, or nothing reads its outputs.
    Raises StageError for a pattern that means no node, and for a node that cannot be removed.
    """
    parts = list(all_graphs(graph))
    _require_matches(parts, nodes, op_types)
    for part in parts:
        for node in [n for n in part.nodes if _is_meant(n, nodes, op_types)]:
            _remove(part, node)
    graph.cleanup()


def _is_meant(node: gs.Node, nodes: Sequence[str], op_types: Sequence[str]) -> bool:
    return node.op in op_types or any(_matches(node.name, pattern) for pattern in nodes)


def _matches(name: str, pattern: str) -> bool:
    # The name itself goes first: names may hold "[", which a glob reads otherwise.
    return bool(name) and (name == pattern or fnmatch.fnmatchcase(name, pattern))


def _require_matches(
    parts: Sequence[gs.Graph], nodes: Sequence[str], op_types: Sequence[str]
) -> None:
    names = {node.name for part in parts for node in part.nodes if node.name}
    types = {node.op for part in parts for node in part.nodes}
    problems = [
        f"no node matches '{pattern}'{nearest(pattern, names)}"
        for pattern in nodes
        if not any(_matches(name, pattern) for name in names)
    ]
    problems += [
        f"there is no operator {op_type}{nearest(op_type, types)}"
        for op_type in op_types
        if op_type not in types
    ]
    if problems:
        raise StageError(
            "; ".join(problems), hint=f"the graph's operators are {', '.join(sorted(types))}"
        )


def _remove(graph: gs.Graph, node: gs.Node) -> None:
    used = [t for t in node.outputs if t.outputs or contains(graph.outputs, t)]
    if len(used) > 1:
        raise _cannot(node, f"{_readers(graph, used)} read {len(used)} of its outputs")
    if used:
        _bypass(graph, node, _data_input(graph, node, used[0]), used[0])
    node.inputs.clear()
    node.outputs.clear()
    graph.nodes = [other for other in graph.nodes if other is not node]


def _data_input(graph: gs.Graph, node: gs.Node, output: gs.Tensor) -> gs.Tensor:
    """What passes through a node: its only input that is not stored in the model."""
    given = [tensor for tensor in node.inputs if not tensor.is_empty()]
    data = [tensor for tensor in given if isinstance(tensor, gs.Variable)] or given
    if len(data) != 1:
        names = ", ".join(repr(tensor.name) for tensor in data) or "none"
        raise _cannot(
            node,
            f"{_readers(graph, [output])} reads '{output.name}', and it is not clear which of its "
            f"inputs should pass through: {names}",
        )
    return data[0]


def _bypass(graph: gs.Graph, node: gs.Node, data: gs.Tensor, output: gs.Tensor) -> None:
    if not contains(graph.outputs, output):
        read_instead(data, output)
        return
    if contains(graph.outputs, data) or not data.inputs:
        raise _cannot(
            node,
            f"the output '{output.name}' would be '{data.name}' itself, which is an input, a "
            "stored tensor or another output",
        )
    # An output keeps its name: the tensor before the node gives way to it.
    node.inputs.clear()
    node.outputs.clear()
    make_instead(output, data)
    read_instead(output, data)


def _readers(graph: gs.Graph, tensors: Sequence[gs.Tensor]) -> str:
    nodes = [f"node '{node.name}' ({node.op})" for t in tensors for node in t.outputs]
    outputs = [f"the output '{t.name}'" for t in tensors if contains(graph.outputs, t)]
    return " and ".join((nodes + outputs)[:3])


def _cannot(node: gs.Node, why: str) -> StageError:
    return StageError(
        f"node '{node.name}' ({node.op}) cannot be removed: {why}",
        hint="remove the nodes that read it too, or rewrite this place in a Python hook",
    )
