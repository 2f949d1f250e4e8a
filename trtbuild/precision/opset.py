"""Raises the opset of a model, of any size."""

from __future__ import annotations

import onnx
from onnx import version_converter

from trtbuild.errors import StageError
from trtbuild.model.onnx_file import opset_of
from trtbuild.precision.graph import without_weights
from trtbuild.precision.names import name_nodes


def raise_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The model at the version, or as it is where it is there already.

    Raises StageError with the operator that onnx cannot convert.
    """
    if opset_of(model) >= version:
        return model
    light, heavy = without_weights(model)
    try:
        raised = version_converter.convert_version(light, version)
    except (RuntimeError, ValueError) as error:
        raise StageError(
            f"onnx cannot bring the model from opset {opset_of(model)} to {version}: "
            f"{' '.join(str(error).split())[:400]}",
            hint=f"export the model with opset {version}: Q/DQ of this type needs it",
        ) from error
    graph = raised.graph
    names = set(heavy)
    inputs = [value for value in graph.input if value.name not in names]
    del graph.input[:]
    graph.input.extend(inputs)
    graph.initializer.extend(heavy.values())
    name_nodes(raised)  # the converter leaves those that it adds without a name
    return raised
