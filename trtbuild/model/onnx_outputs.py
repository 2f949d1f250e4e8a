"""Keeps some of the outputs of an ONNX model, and what leads to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtbuild.errors import StageError
from trtbuild.model.names import nearest
from trtbuild.model.onnx_file import output_types
from trtbuild.model.operators import CLASSICAL_HINT, classical_operators

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


def select(model: onnx.ModelProto, outputs: Sequence[str], where: str) -> onnx.ModelProto:
    """The model with these outputs, in this order; all that it has where none are named.

    Raises StageError for a name that is no output, and for an output that is no tensor.
    """
    there = {value.name: value for value in model.graph.output}
    unknown = [f"'{name}'{nearest(name, there)}" for name in outputs if name not in there]
    if unknown:
        raise StageError(
            f"the model has no output {', '.join(unknown)}",
            where=where,
            hint=f"its outputs are {', '.join(there)}; other tensors become outputs by surgery "
            "(op: set_outputs)",
        )
    if outputs:
        kept = [there[name] for name in outputs]
        del model.graph.output[:]
        model.graph.output.extend(kept)
    _require_tensors(model, where)
    _refuse_inputs(model, where)
    chosen = _without_the_rest(model) if 0 < len(outputs) < len(there) else model
    if found := classical_operators(chosen):
        raise StageError(f"no TensorRT has the operators {found}", where=where, hint=CLASSICAL_HINT)
    return chosen


def _without_the_rest(model: onnx.ModelProto) -> onnx.ModelProto:
    from trtbuild.model.surgery.convert import to_graph, to_model

    return to_model(to_graph(model).cleanup(), model)


def _refuse_inputs(model: onnx.ModelProto, where: str) -> None:
    inputs = {value.name for value in model.graph.input}
    passed = [value.name for value in model.graph.output if value.name in inputs]
    if passed:
        others = [value.name for value in model.graph.output if value.name not in inputs]
        raise StageError(
            f"the output '{passed[0]}' is the input of that name, which TensorRT does not give "
            "back",
            where=where,
            hint=f"name the other outputs in the recipe: outputs: [{', '.join(others)}]",
        )


def _require_tensors(model: onnx.ModelProto, where: str) -> None:
    makers = {name: node for node in model.graph.node for name in node.output}
    for value in output_types(model):
        if value.dtype in ("sequence", "map", "optional", "sparse_tensor"):
            node = makers.get(value.name)
            maker = f", made by {node.op_type} (node '{node.name}')" if node else ""
            others = ", ".join(t.name for t in output_types(model) if t.dtype != value.dtype)
            classical = classical_operators(model)
            raise StageError(
                f"the output '{value.name}' is a {value.dtype}{maker}; TensorRT gives tensors only",
                where=where,
                hint=f"name the outputs that you need in the recipe: outputs: [{others}]"
                + (f"; but no TensorRT has {classical}: {CLASSICAL_HINT}" if classical else ""),
            )
