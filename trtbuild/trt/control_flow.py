"""Finds the control flow of an ONNX model and what decides it, to explain a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OPERATORS = frozenset({"If", "Loop", "Scan"})


@dataclass(frozen=True, slots=True)
class Branching:
    """One If, Loop or Scan.

    `shapes` are the model's inputs whose shape decides it, `values` those whose content does.
    Both are known for nodes of the main graph only: `depth` is 0 there.
    """

    operator: str
    node: str  # its name in quotes, or what it makes where it has none
    depth: int
    shapes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


def find_control_flow(path: Path) -> tuple[Branching, ...]:
    """Every If, Loop and Scan, each followed by the ones in its branches; weights stay unread."""
    model = onnx.load(str(path), load_external_data=False)
    return tuple(_found(model.graph, _Upstream(model.graph), 0))


def describe(found: tuple[Branching, ...]) -> str:
    """One line for each operator, with every node's name and what decides it."""
    lines = []
    for operator in dict.fromkeys(item.operator for item in found):
        nodes = [item for item in found if item.operator == operator]
        count = f"{len(nodes)} node" + ("s" if len(nodes) > 1 else "")
        inner = ", ".join(item.node for item in nodes if item.depth)
        told = ", ".join(_described(item) for item in nodes if not item.depth)
        parts = [part for part in (told, inner and f"within branches {inner}") if part]
        lines.append(f"{operator} ({count}): {'; '.join(parts)}")
    return "".join(f"\n  {line}" for line in lines)


def remedy(found: tuple[Branching, ...]) -> str:
    """How to get rid of it, for what decides these nodes."""
    shapes = _quoted(name for item in found for name in item.shapes)
    values = _quoted(name for item in found for name in item.values)
    ways = []
    if shapes:
        ways.append(f"make the shape of {shapes} static ({{op: set_dims}}) and fold_constants")
    if values:
        ways.append(
            f"export the model for one value of {values}, or make it a constant in a surgery hook, "
            "and fold_constants"
        )
    if not ways:
        ways.append("export the model for one fixed condition, and fold_constants")
    return (
        f"the branches must be decided before the build: {'; '.join(ways)}; or export only "
        "the branch that you need"
    )


def _found(graph: onnx.GraphProto, upstream: _Upstream, depth: int) -> Iterator[Branching]:
    for node in graph.node:
        if node.op_type in OPERATORS:
            shapes, values = upstream.deciding(node) if depth == 0 else ((), ())
            name = f"'{node.name}'" if node.name else f"the one that makes {_quoted(node.output)}"
            yield Branching(node.op_type, name, depth, shapes, values)
        for inner in _branches(node):
            yield from _found(inner, upstream, depth + 1)


def _described(item: Branching) -> str:
    ways = []
    if item.shapes:
        ways.append(f"the shape of {_quoted(item.shapes)}")
    if item.values:
        ways.append(f"the value of {_quoted(item.values)}")
    return item.node + (f" (decided by {' and '.join(ways)})" if ways else "")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in dict.fromkeys(names))


class _Upstream:
    """Which inputs of a main graph a tensor comes from."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = {name: node for node in graph.node for name in node.output}
        stored = {tensor.name for tensor in graph.initializer}
        self._inputs = {value.name for value in graph.input} - stored

    def deciding(self, node: onnx.NodeProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The inputs whose shape, and those whose value, decides a node's control flow.

        That is the condition of an If, trip count and condition of a Loop; the length of a
        Scan's sequences, which are its inputs.
        """
        shapes: dict[str, None] = {}
        values: dict[str, None] = {}
        start = node.input[: {"If": 1, "Loop": 2}.get(node.op_type, len(node.input))]
        ahead = [(name, node.op_type == "Scan") for name in start]
        seen: set[tuple[str, bool]] = set()
        while ahead:
            name, by_shape = ahead.pop()
            if (name, by_shape) in seen:
                continue
            seen.add((name, by_shape))
            if name in self._inputs:
                (shapes if by_shape else values)[name] = None
            elif name in self._makers:
                maker = self._makers[name]
                by_shape = by_shape or maker.op_type in ("Shape", "Size")
                ahead += [(source, by_shape) for source in _sources(maker)]
        return tuple(shapes), tuple(values)


def _sources(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads: its inputs, and what its branches take from the graph around them."""
    yield from node.input
    for graph in _branches(node):
        for inner in graph.node:
            yield from _sources(inner)


def _branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
