"""Finds the nodes that a recipe means by a name, a glob pattern or an operator type."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

import onnx

from trtbuild.errors import OptionError
from trtbuild.model.names import nearest


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every unnamed node of the main graph a name, in place: its operator type and place."""
    taken = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        if node.name:
            continue
        name = f"{node.op_type}_{index}"
        while name in taken:
            name += "_"
        taken.add(name)
        node.name = name


def select_nodes(model: onnx.ModelProto, patterns: Sequence[str], *, key: str) -> frozenset[str]:
    """The names of the main graph's nodes that any of the patterns means.

    A pattern is a node's name, an operator type, or a glob over names ("/encoder/*", where "*"
    also goes over slashes). `key` is what the recipe calls the list, for messages.

    Raises OptionError where patterns match nothing, with the names that are near.
    """
    nodes = model.graph.node
    found: set[str] = set()
    lost: list[str] = []
    for pattern in patterns:
        matches = {node.name for node in nodes if _means(pattern, node)}
        if not matches:
            lost.append(pattern)
        found |= matches
    if lost:
        raise _nothing_matches(lost, nodes, key)
    return frozenset(found)


def _means(pattern: str, node: onnx.NodeProto) -> bool:
    # The exact name goes first: names may hold "[" or "*", which a glob reads otherwise.
    return pattern in (node.name, node.op_type) or fnmatch.fnmatchcase(node.name, pattern)


def _nothing_matches(lost: Sequence[str], nodes: Iterable[onnx.NodeProto], key: str) -> OptionError:
    candidates = {text for node in nodes for text in (node.name, node.op_type)}
    lines = []
    for pattern in lost:
        lines.append(f"'{pattern}' matches no node{nearest(pattern, candidates)}")
    return OptionError(
        "; ".join(lines),
        where=key,
        hint="give node names, patterns of them with *, or operator types such as Softmax; "
        f"the graph's operators are {', '.join(sorted({node.op_type for node in nodes}))}",
    )
