"""Sets names and sizes of dimensions, everywhere that a dimension of that name stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.surgery import lookup
from trtbuild.model.surgery.check import complete
from trtbuild.model.surgery.convert import all_graphs
from trtbuild.model.symbols import UNKNOWN, Dim, substitute


def set_dims(graph: gs.Graph, tensors: Mapping[str, Sequence[Dim]]) -> None:
    """Give inputs and outputs the dimensions written; None leaves a dimension as it is.

    A symbol that gets a size or another name gets it in the whole graph. Where an input's size
    becomes another, what was declared of the tensors behind it is inferred anew.
    """
    own = {tensor.name: tensor for tensor in (*graph.inputs, *graph.outputs)}
    lookup.require(list(tensors), own, "input or output")
    _check_ranks(own, tensors)
    sizes = _symbols(own, tensors)
    resized = any(
        isinstance(old, int) and new not in (None, old)
        for tensor in graph.inputs
        for old, new in zip(tensor.shape or (), tensors.get(tensor.name, ()), strict=False)
    )
    for name, dims in tensors.items():
        old = own[name].shape or [None] * len(dims)
        own[name].shape = [o if n is None else n for o, n in zip(old, dims, strict=True)]
    for part in all_graphs(graph):
        for tensor in part.tensors().values():
            if isinstance(tensor, gs.Variable) and tensor.shape is not None:
                tensor.shape = [substitute(dim, sizes) for dim in tensor.shape]
    if resized:
        _forget_shapes(graph, keep=set(tensors))


def _check_ranks(own: Mapping[str, gs.Tensor], tensors: Mapping[str, Sequence[Dim]]) -> None:
    problems = [
        f"'{name}' has {len(own[name].shape)} dimensions {list(own[name].shape)}, "
        f"{len(dims)} are written"
        for name, dims in tensors.items()
        if own[name].shape is not None and len(own[name].shape) != len(dims)
    ]
    if problems:
        raise StageError("; ".join(problems), hint="write null for a dimension that stays")


def _symbols(
    own: Mapping[str, gs.Tensor], tensors: Mapping[str, Sequence[Dim]]
) -> dict[str, int | str]:
    """What each symbol becomes; refused where it would become two things."""
    sizes: dict[str, int | str] = {}
    for name, dims in tensors.items():
        for axis, (old, new) in enumerate(zip(own[name].shape or (), dims, strict=False)):
            if not isinstance(old, str) or old == UNKNOWN or new is None:
                continue
            if sizes.setdefault(old, new) != new:
                raise StageError(
                    f"dimension '{old}' would be {sizes[old]} and, at axis {axis} of '{name}', "
                    f"{new}: it is one dimension in the model",
                    hint="write the same name or size at every place where it stands",
                )
    return sizes


def _forget_shapes(graph: gs.Graph, keep: set[str]) -> None:
    """Take off what is declared of the tensors behind the inputs, and infer the outputs' shapes."""
    given = {id(tensor) for tensor in graph.inputs}
    for part in all_graphs(graph):
        for tensor in part.tensors().values():
            if isinstance(tensor, gs.Variable) and id(tensor) not in given:
                tensor.shape = tensor.shape if tensor.name in keep else None
    complete(graph, graph.outputs)
