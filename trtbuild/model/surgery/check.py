"""Asks onnx whether a graph is valid, and what it infers about its tensors."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.surgery.convert import outline
from trtbuild.model.symbols import Dim, get_dim


@dataclass(frozen=True, slots=True)
class Inferred:
    """What onnx infers of a tensor: its element type (TensorProto.DataType) and its dimensions."""

    element: int
    dims: tuple[Dim, ...] | None


def infer(model: onnx.ModelProto) -> dict[str, Inferred]:
    """Types of the main graph's inputs, outputs and intermediate tensors, as far as they follow.

    Give an outline: inference fails on models above 2 GB. Raises StageError where the graph
    contradicts itself.
    """
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise _refused("onnx cannot infer the shapes", error) from error
    found = {}
    for value in (*graph.value_info, *graph.output, *graph.input):
        kind = value.type.tensor_type
        dims = tuple(map(get_dim, kind.shape.dim)) if kind.HasField("shape") else None
        found[value.name] = Inferred(kind.elem_type, dims)
    return found


def infers_strictly(model: onnx.ModelProto) -> bool:
    """Whether each node's shapes follow from its inputs' and agree with what is declared.

    Published models declare wrong output shapes, and run; rewritten they are no worse.
    """
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return False
    return True


def check(graph: gs.Graph, *, strict: bool) -> None:
    """Raise StageError where onnx.checker, or with `strict` shape inference, refuses the graph."""
    model = outline(graph)
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, strict_mode=strict, data_prop=True)
    except onnx.checker.ValidationError as error:
        raise _refused("onnx.checker refuses the graph that this step leaves", error) from error
    except onnx.shape_inference.InferenceError as error:
        raise _refused("the shapes in the graph that this step leaves disagree", error) from error


def complete(graph: gs.Graph, tensors: list[gs.Tensor]) -> None:
    """Infer the type and shape of tensors that lack them, since graph inputs and outputs need both.

    Raises StageError for a tensor whose type does not follow from the model.
    """
    if all(t.dtype is not None and t.shape is not None for t in tensors):
        return
    inferred = infer(outline(graph))
    unknown = []
    for tensor in tensors:
        found = inferred.get(tensor.name)
        if tensor.dtype is None and found and found.element:
            tensor.dtype = _dtype(found.element)
        if tensor.shape is None and found and found.dims is not None:
            tensor.shape = list(found.dims)
        if tensor.dtype is None:
            unknown.append(tensor.name)
    if unknown:
        raise StageError(
            f"the type of {', '.join(map(repr, unknown))} does not follow from the model",
            hint="onnx does not know the operator that makes it: set the dtype in a Python hook",
        )


def _dtype(element: int) -> object:
    """As graphsurgeon holds it: numpy's type, or ONNX's number where numpy has none."""
    from onnx_graphsurgeon.importers.onnx_importer import get_numpy_type

    return get_numpy_type(element) or element


def _refused(what: str, error: Exception) -> StageError:
    return StageError(f"{what}: {' '.join(str(error).split())[:800]}")
