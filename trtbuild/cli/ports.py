"""What the model of a trtexec command says of itself."""

from __future__ import annotations

from pathlib import Path

from trtbuild.recipe.trtexec.shapes import Port, Ports


def ports_of(path: Path) -> Ports | None:
    """The inputs and outputs of an ONNX file; None where it is not there."""
    if not path.is_file():
        return None
    from trtbuild.model import walk
    from trtbuild.model.onnx_file import input_types, load_structure, output_types

    model = load_structure(path)
    inputs, outputs = (
        tuple(Port(item.name, item.dtype, item.dims) for item in types(model))
        for types in (input_types, output_types)
    )
    quantized = any(node.op_type == "QuantizeLinear" for node in walk.nodes(model))
    return Ports(inputs, outputs, quantized)
