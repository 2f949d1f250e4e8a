"""Questions about an ONNX graph: the types of its tensors, and what is computed in which."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx

from trtbuild.errors import StageError
from trtbuild.model.external import nbytes


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """TensorProto.DataType of every tensor of the main graph whose type onnx can infer.

    Raises StageError where the graph contradicts itself.
    """
    types = {name: found.elem_type for name, found in _inferred(model).items()}
    types.update((tensor.name, tensor.data_type) for tensor in model.graph.initializer)
    return types


def float_tensors(model: onnx.ModelProto) -> dict[str, int | None]:
    """The float32 inputs and node outputs of the main graph, without constants, in order, and how
    many axes each has where onnx can infer it.

    Raises StageError where the graph contradicts itself.
    """
    types = _inferred(model)
    stored = {tensor.name for tensor in model.graph.initializer}
    given = [value.name for value in model.graph.input if value.name not in stored]
    made = [name for node in model.graph.node if node.op_type != "Constant" for name in node.output]
    return {
        name: len(found.shape.dim) if found.HasField("shape") else None
        for name in (*given, *made)
        if (found := types.get(name)) is not None and found.elem_type == onnx.TensorProto.FLOAT
    }


def _inferred(model: onnx.ModelProto) -> dict[str, Any]:
    """What onnx infers of each tensor of the main graph: a TypeProto.Tensor."""
    try:
        graph = onnx.shape_inference.infer_shapes(without_weights(model)[0]).graph
    except onnx.shape_inference.InferenceError as error:
        raise StageError(
            f"onnx cannot infer the types of the graph: {' '.join(str(error).split())[:600]}",
            hint="the model is not valid ONNX: export it again, or mend it by surgery",
        ) from error
    return {
        value.name: value.type.tensor_type
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def count_elements(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """How many elements each tensor of the main graph has, given the shapes of the inputs: those
    whose shape onnx can infer.
    """
    light, _ = without_weights(model)
    del light.graph.value_info[:]  # shapes that were declared for other inputs, or wrongly
    for value in light.graph.input:
        if value.name in shapes:
            element = value.type.tensor_type.elem_type
            value.CopyFrom(
                onnx.helper.make_tensor_value_info(value.name, element, shapes[value.name])
            )
    for value in light.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError):
        return {}
    found = {}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            found[value.name] = math.prod(d.dim_value for d in tensor.shape.dim)
    return found


def without_weights(
    model: onnx.ModelProto,
) -> tuple[onnx.ModelProto, dict[str, onnx.TensorProto]]:
    """A copy whose large weights are inputs without values, and those weights by name.

    onnx hands a model to its C++ code as one protobuf, which fails above 2 GB.
    """
    light = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _copy(light, field, value)
    heavy: dict[str, onnx.TensorProto] = {}
    for field, value in model.graph.ListFields():
        if field.name != "initializer":
            _copy(light.graph, field, value)
    listed = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if nbytes(tensor) < _LARGE or tensor.name in listed:
            light.graph.initializer.append(tensor)
            continue
        heavy[tensor.name] = tensor
        light.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    return light, heavy


def with_readers(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    readers: Callable[[str], Sequence[onnx.NodeProto]],
) -> onnx.ModelProto:
    """A copy without outputs, in which what reads a tensor stands right behind its producer.

    open_session runs nodes in the order of the graph, so that a tensor is freed as in an ordinary
    run.
    """
    wanted = set(tensors)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.output[:], graph.node[:]
    for node in model.graph.node:
        graph.node.append(node)
        for name in node.output:
            if name in wanted:
                graph.node.extend(readers(name))
    return copy


def _copy(message: Any, field: Any, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


_LARGE = 64 * 1024  # bytes; a shape or an axis list, which onnx reads, is never as large


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values; those that are left out are not there."""
    return {
        attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute
    }
