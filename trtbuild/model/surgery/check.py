"""Asks onnx whether a graph is valid, and what it infers about its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.surgery.convert import all_graphs, element_type, outline
from trtbuild.model.symbols import Dim, get_dim

_MADE_UP = "unk__"  # how onnx's shape inference begins the symbols that it invents


@dataclass(frozen=True, slots=True)
class Inferred:
    """What onnx infers of a tensor: its element type (TensorProto.DataType) and its dimensions."""

    element: int
    dims: tuple[Dim, ...] | None


def infer(graph: gs.Graph) -> dict[str, Inferred]:
    """Types and shapes of the main graph's tensors, as far as they follow from the inputs alone.

    What the graph declares of other tensors is not believed: it may be wrong, in published models
    and after a rewrite. Raises StageError where the graph contradicts itself.
    """
    model = outline(graph)
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.ClearField("type")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise _refused("onnx cannot infer the shapes", error) from error
    given = {get_dim(d) for value in model.graph.input for d in value.type.tensor_type.shape.dim}
    found = {}
    for value in (*inferred.value_info, *inferred.output, *inferred.input):
        kind = value.type.tensor_type
        dims = [_known(get_dim(dim), given) for dim in kind.shape.dim]
        found[value.name] = Inferred(
            kind.elem_type, tuple(dims) if kind.HasField("shape") else None
        )
    return found


def is_consistent(graph: gs.Graph) -> bool:
    """Whether the types and shapes of all nodes follow from each other.

    Some published models run though they do not; then a rewrite cannot be held to it.
    """
    try:
        _infer_strictly(outline(graph))
    except onnx.shape_inference.InferenceError:
        return False
    return True


def check(graph: gs.Graph, *, consistent: bool) -> None:
    """Raise StageError where onnx.checker refuses the graph, or an output is an input.

    With `consistent` also where types and shapes of nodes do not fit together; what the graph
    declares of its tensors is brought up to date first.
    """
    _refuse_passed(graph)
    if consistent:
        _renew(graph)
    model = outline(graph)
    try:
        onnx.checker.check_model(model)
        if consistent:
            _infer_strictly(model)
    except onnx.checker.ValidationError as error:
        raise _refused("onnx.checker refuses the graph that this step leaves", error) from error
    except onnx.shape_inference.InferenceError as error:
        raise _refused(
            "types or shapes in the graph that this step leaves do not fit", error
        ) from error


def require_distinct(graph: gs.Graph) -> None:
    """Raise StageError where two tensors, or two nodes, of one graph have the same name."""
    for part in all_graphs(graph):
        tensors: dict[str, gs.Tensor] = {}
        nodes: dict[str, gs.Node] = {}
        made = [tensor for node in part.nodes for tensor in (*node.inputs, *node.outputs)]
        for tensor in (*part.inputs, *made, *part.outputs):
            other = tensors.setdefault(tensor.name, tensor)
            if other is not tensor and not tensor.is_empty():
                raise StageError(
                    f"two tensors are called '{tensor.name}', made by {_makers(other)} and by "
                    f"{_makers(tensor)}",
                    hint="give one of them another name",
                )
        for node in part.nodes:
            if node.name and nodes.setdefault(node.name, node) is not node:
                raise StageError(
                    f"two nodes are called '{node.name}', a {nodes[node.name].op} and a {node.op}",
                    hint="give one of them another name, or the name '' to both",
                )


def _makers(tensor: gs.Tensor) -> str:
    return " and ".join(f"node '{n.name}' ({n.op})" for n in tensor.inputs) or "no node"


def complete(graph: gs.Graph, tensors: Sequence[gs.Tensor]) -> None:
    """Infer the type and shape of tensors that lack them, since graph inputs and outputs need both.

    Raises StageError for a tensor whose type does not follow from the model.
    """
    if all(tensor.dtype is not None and tensor.shape is not None for tensor in tensors):
        return
    inferred = infer(graph)
    for tensor in tensors:
        found = inferred.get(tensor.name)
        if tensor.dtype is None and found is not None and found.element:
            tensor.dtype = _dtype(found.element)
        if tensor.shape is None and found is not None and found.dims is not None:
            tensor.shape = list(found.dims)
    unknown = [repr(tensor.name) for tensor in tensors if tensor.dtype is None]
    if unknown:
        raise StageError(
            f"the type of {', '.join(unknown)} does not follow from the model",
            hint="onnx does not know the operator that makes it: set the dtype in a Python hook",
        )


def _refuse_passed(graph: gs.Graph) -> None:
    inputs = {tensor.name for tensor in graph.inputs}
    passed = [tensor.name for tensor in graph.outputs if tensor.name in inputs]
    if passed:
        raise StageError(
            f"the output '{passed[0]}' would be the input of that name, which TensorRT does not "
            "give back",
            hint="leave it out of the outputs, or name a tensor behind it",
        )


def _renew(graph: gs.Graph) -> None:
    """Correct types and shapes that tensors were declared to have before the rewrite."""
    inferred = infer(graph)
    given = {id(tensor) for tensor in graph.inputs}
    outputs = {id(tensor) for tensor in graph.outputs}
    for name, tensor in graph.tensors().items():
        found = inferred.get(name)
        if found is None or isinstance(tensor, gs.Constant) or id(tensor) in given:
            continue
        if tensor.dtype is None and id(tensor) not in outputs:
            continue  # nothing is declared
        if found.element and found.element != element_type(tensor):
            tensor.dtype = _dtype(found.element)
        if found.dims is not None:
            tensor.shape = _merged(tensor.shape, found.dims)


def _merged(declared: Sequence[Dim] | None, found: Sequence[Dim]) -> list[Dim]:
    """What is inferred, and where that is less than what is declared, the latter."""
    if declared is None or len(declared) != len(found):
        return list(found)
    return [
        old if new is None or (isinstance(new, str) and isinstance(old, str)) else new
        for old, new in zip(declared, found, strict=True)
    ]


def _known(dim: Dim, given: set[Dim]) -> Dim:
    made_up = isinstance(dim, str) and dim.startswith(_MADE_UP) and dim not in given
    return None if made_up else dim


def _infer_strictly(model: onnx.ModelProto) -> None:
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def _dtype(element: int) -> object:
    """As graphsurgeon holds it: numpy's type, or ONNX's number where numpy has none."""
    from onnx_graphsurgeon.importers.onnx_importer import get_numpy_type

    return get_numpy_type(element) or element


def _refused(what: str, error: Exception) -> StageError:
    return StageError(f"{what}: {' '.join(str(error).split())[:800]}")
