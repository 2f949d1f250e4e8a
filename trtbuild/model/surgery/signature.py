"""What surgery must leave as it is: the source model's inputs, which the recipe declares for the
dataset, the reference and the engine's profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.onnx_file import TensorType, dtype_name
from trtbuild.model.surgery.convert import element_type

_LOWERED = ("float16", "bfloat16")  # what a precision may make of float32 inputs

_SOURCE_HINT = (
    "keep the inputs, and do it in the source model itself or before the engine; an input that is "
    "only called otherwise is renamed by {op: rename}"
)


class Signature:
    """The inputs of the source model under the names that surgery has given them so far."""

    def __init__(self, inputs: Sequence[TensorType]) -> None:
        self._inputs = {item.name: item for item in inputs}

    def rename(self, tensors: Mapping[str, str]) -> None:
        """Follow a step that renames tensors."""
        self._inputs = {tensors.get(name, name): item for name, item in self._inputs.items()}

    def require_part(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Raise StageError where a part that is to be extracted begins behind an input."""
        lost = [repr(name) for name in self._inputs if name not in inputs]
        if lost:
            arguments = f"'model.onnx', 'part.onnx', {list(inputs)}, {list(outputs)}"
            raise StageError(
                f"the part begins behind the model's input {', '.join(lost)}, which the recipe and "
                "its dataset give",
                hint=f"make the part a model of its own, onnx.utils.extract_model({arguments}) in "
                "Python, and give that in a recipe: `model: {onnx: part.onnx}`",
            )

    def require_kept(self, graph: gs.Graph) -> None:
        """Raise StageError where a step took an input out, gave it another type or rank, or made
        one whose shapes nothing can tell.
        """
        there = {t.name: t for t in graph.inputs if not isinstance(t, gs.Constant)}
        problems = [
            f"'{name}' is no input any more" if name not in there else _changed(item, there[name])
            for name, item in self._inputs.items()
        ]
        problems += [
            f"the new input '{name}' has dimensions that vary, and the recipe cannot declare them"
            for name, tensor in there.items()
            if name not in self._inputs and not _is_static(tensor)
        ]
        if any(problems):
            raise StageError(
                "the graph does not take the model's inputs any more: "
                + "; ".join(filter(None, problems)),
                hint=_SOURCE_HINT,
            )


def _changed(source: TensorType, tensor: gs.Tensor) -> str:
    dtype = dtype_name(element_type(tensor))
    if dtype != source.dtype and not (source.dtype == "float32" and dtype in _LOWERED):
        return f"'{tensor.name}' is {dtype}, in the source model {source.dtype}"
    ranks = [None if dims is None else len(dims) for dims in (tensor.shape, source.dims)]
    if None not in ranks and ranks[0] != ranks[1]:
        return f"'{tensor.name}' has {ranks[0]} dimensions, in the source model {ranks[1]}"
    return ""


def _is_static(tensor: gs.Tensor) -> bool:
    return tensor.shape is not None and all(isinstance(dim, int) for dim in tensor.shape)
