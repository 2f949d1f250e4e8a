"""Brings a graph into the form that calibration and quantization both work on.

Both must see the same tensors under the same names: a table made for one form fits no other.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from trtbuild.precision.constants import lift_constants
from trtbuild.precision.graph import attributes
from trtbuild.precision.names import name_nodes


def prepare(model: onnx.ModelProto) -> None:
    """Name every node, make constants initializers, and transpose weights once for all, in place.

    TorchScript writes a linear layer as a product with Transpose(weight): as the output of a node
    the weight would be taken for an activation, with one scale for all of its channels.
    """
    name_nodes(model)
    lift_constants(model)
    _transpose_weights(model)


def _transpose_weights(model: onnx.ModelProto) -> None:
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        source = stored.get(node.input[0]) if node.input else None
        if node.op_type == "Transpose" and source is not None:
            values = numpy_helper.to_array(source)
            order = attributes(node).get("perm") or range(values.ndim)[::-1]
            turned = np.ascontiguousarray(values.transpose(order))
            tensor = numpy_helper.from_array(turned, node.output[0])
            model.graph.initializer.append(tensor)
            stored[tensor.name] = tensor
        else:
            model.graph.node.append(node)
    read = {name for node in model.graph.node for name in node.input}
    read.update(value.name for value in model.graph.output)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    if len(kept) < len(model.graph.initializer):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
