"""The named operations of surgery: a dict from the name in a recipe to what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.surgery import cut, dims, fold, lookup, remove
from trtbuild.model.surgery.convert import all_graphs

Operation = Callable[[gs.Graph, Mapping[str, Any]], None]
"""(graph, the step's options) -> None; the graph is rewritten in place."""


def cleanup(graph: gs.Graph) -> None:
    """Take out nodes and stored tensors that lead to no output, and sort the rest; inputs stay."""
    graph.cleanup().toposort()


def rename(graph: gs.Graph, tensors: Mapping[str, str]) -> None:
    """Give tensors other names, inputs and outputs among them; names may be exchanged."""
    found = lookup.tensors(graph, list(tensors), "tensor")
    kept = {
        tensor.name
        for part in all_graphs(graph)
        for tensor in part.tensors().values()
        if not any(tensor is renamed for renamed in found)
    }
    news = list(tensors.values())
    taken = sorted({new for new in news if new in kept or news.count(new) > 1})
    if taken:
        raise StageError(
            f"{', '.join(map(repr, taken))} would be the name of two tensors",
            hint="choose a name that is not in the graph, or rename the other tensor too",
        )
    for tensor in found:
        tensor.name = tensors[tensor.name]


OPERATIONS: dict[str, Operation] = {
    "fold_constants": lambda graph, _: fold.fold_constants(graph),
    "cleanup": lambda graph, _: cleanup(graph),
    "rename": lambda graph, options: rename(graph, options["tensors"]),
    "extract": lambda graph, options: cut.extract(graph, options["inputs"], options["outputs"]),
    "set_outputs": lambda graph, options: cut.set_outputs(graph, options["outputs"]),
    "set_dims": lambda graph, options: dims.set_dims(graph, options["tensors"]),
    "remove_nodes": lambda graph, options: remove.remove_nodes(
        graph, options.get("nodes") or [], options.get("op_types") or []
    ),
}
