"""Questions about an ONNX graph: the types of its tensors, and what is computed in which."""

from __future__ import annotations

import onnx

from trtbuild.errors import StageError


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """TensorProto.DataType of every tensor of the main graph whose type onnx can infer.

    Raises StageError where the graph contradicts itself.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(_light(model)).graph
    except onnx.shape_inference.InferenceError as error:
        raise StageError(
            f"onnx cannot infer the types of the graph: {' '.join(str(error).split())[:600]}",
            hint="the model is not valid ONNX: export it again, or mend it by surgery",
        ) from error
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    types.update((tensor.name, tensor.data_type) for tensor in model.graph.initializer)
    return types


def float_tensors(model: onnx.ModelProto) -> tuple[str, ...]:
    """The float32 inputs and node outputs of the main graph, without constants, in order."""
    types = element_types(model)
    stored = {tensor.name for tensor in model.graph.initializer}
    given = [value.name for value in model.graph.input if value.name not in stored]
    made = [name for node in model.graph.node if node.op_type != "Constant" for name in node.output]
    return tuple(
        name for name in (*given, *made) if name and types.get(name) == onnx.TensorProto.FLOAT
    )


_LARGE = 64 * 1024  # bytes; a shape or an axis list, which inference reads, is never as large


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large weights are inputs without values: inference fails above 2 GB."""
    light = onnx.ModelProto()
    graph = light.graph
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.ir_version = model.ir_version
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    listed = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if tensor.ByteSize() < _LARGE:
            graph.initializer.append(tensor)
        elif tensor.name not in listed:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return light
