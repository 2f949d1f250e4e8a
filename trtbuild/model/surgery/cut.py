"""Cuts a graph: other outputs, or a part between tensors."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.surgery import lookup
from trtbuild.model.surgery.check import complete
from trtbuild.model.surgery.wiring import make_instead


def set_outputs(graph: gs.Graph, outputs: Sequence[str]) -> None:
    """Make these tensors the outputs, in this order; what leads to none of them goes."""
    found = lookup.tensors(graph, outputs, "tensor")
    complete(graph, found)
    graph.outputs = found
    graph.cleanup()


def extract(graph: gs.Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Keep the part of the graph between two sets of tensors.

    Types and shapes of new inputs are inferred. Raises StageError where the part needs another
    input as well, or an input leads to none of the outputs.
    """
    starts = lookup.tensors(graph, inputs, "tensor")
    ends = lookup.tensors(graph, outputs, "tensor")
    _refuse_constants(starts)
    complete(graph, starts + ends)
    _refuse_unranked(starts)
    former = list(graph.inputs)
    for tensor in starts:
        _detach(tensor)
    graph.inputs, graph.outputs = starts, ends
    graph.cleanup()
    _refuse_loose_ends(former, starts, ends)


def _refuse_constants(starts: Sequence[gs.Tensor]) -> None:
    stored = [repr(tensor.name) for tensor in starts if isinstance(tensor, gs.Constant)]
    if stored:
        raise StageError(
            f"{', '.join(stored)} is stored in the model: it cannot be an input",
            hint="name a tensor that a node makes",
        )


def _refuse_unranked(starts: Sequence[gs.Tensor]) -> None:
    unranked = [repr(tensor.name) for tensor in starts if tensor.shape is None]
    if unranked:
        raise StageError(
            f"the shape of {', '.join(unranked)} does not follow from the model",
            hint="an input needs one: cut nearer to the inputs, or set it in a Python hook",
        )


def _detach(tensor: gs.Tensor) -> None:
    """Part a tensor from the node that makes it.

    Another tensor takes its place among the node's outputs, which are told apart by position:
    graphsurgeon's own cleanup would move the outputs behind it up.
    """
    make_instead(gs.Variable(f"{tensor.name}_before_cut", tensor.dtype, tensor.shape), tensor)


def _refuse_loose_ends(
    former: Sequence[gs.Tensor], starts: Sequence[gs.Tensor], ends: Sequence[gs.Tensor]
) -> None:
    names = [tensor.name for tensor in starts]
    needed = [t.name for t in former if t.name not in names and (t.outputs or t in ends)]
    if needed:
        raise StageError(
            f"the outputs also need the model's input {', '.join(map(repr, needed))}, which is "
            "not among the inputs of the step",
            hint="add it, or a tensor between it and the outputs",
        )
    idle = [t.name for t in starts if not t.outputs and t not in ends]
    if idle:
        raise StageError(
            f"{', '.join(map(repr, idle))} leads to none of the outputs",
            hint="leave it out of the inputs of the step",
        )
