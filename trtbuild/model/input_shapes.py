"""Compares the inputs that a recipe declares with those of an ONNX model, and writes them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtbuild.errors import StageError
from trtbuild.model.names import nearest
from trtbuild.model.onnx_file import input_types
from trtbuild.model.symbols import UNKNOWN, get_dim, set_dim, substitute_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx

    from trtbuild.model.onnx_file import TensorType
    from trtbuild.recipe.model import Input


def is_dynamic(item: Input, axis: int) -> bool:
    """Whether the recipe lets an axis have more than one size."""
    return item.min[axis] != item.max[axis]


def dim_name(item: Input, axis: int) -> str:
    """The recipe's name of a dimension, or one made of the input's."""
    return (item.dims[axis] if item.dims else None) or f"{item.name}_dim{axis}"


def range_text(item: Input, axis: int) -> str:
    """What the recipe says of an axis: "8", or "1 to 64"."""
    low, high = item.min[axis], item.max[axis]
    return str(low) if low == high else f"{low} to {high}"


def require_inputs(model: onnx.ModelProto, inputs: Sequence[Input], where: str) -> None:
    """Raise StageError that lists everywhere that the recipe's inputs do not fit the model's."""
    there = {declared.name: declared for declared in input_types(model)}
    given = {item.name: item for item in inputs}
    problems = [
        f"inputs.{name}: the model has no such input{nearest(name, there)}"
        for name in given
        if name not in there
    ]
    problems += [
        f"inputs: the model's input '{name}' ({_shown(declared)}) is missing"
        for name, declared in there.items()
        if name not in given
    ]
    for name in there.keys() & given.keys():
        problems += _contradictions(there[name], given[name])
    problems += _split_symbols([(there[n], given[n]) for n in there if n in given])
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in sorted(problems))
        raise StageError(
            f"the recipe's inputs do not fit the model:{listed}",
            where=where,
            hint="the model takes "
            + "; ".join(f"{name}: {_shown(declared)}" for name, declared in there.items()),
        )


def write_inputs(model: onnx.ModelProto, inputs: Sequence[Input], *, name_all: bool) -> list[str]:
    """Write the recipe's sizes of static axes, and its names of dynamic ones, into the model.

    Wherever a symbol stands that an input's axis has, it is replaced; with `name_all` by a name
    made of the input's, too, where the recipe has none. The inputs must fit the model. Returns
    what the user should know: names that the recipe tells apart and the model does not.
    """
    sizes: dict[str, int | str] = {}
    notes = []
    for explicit in (True, False):
        for item, axis, dim in _input_dims(model, inputs):
            old, new = get_dim(dim), _wanted(item, axis, explicit=explicit)
            if isinstance(old, int) or new is None or (not explicit and not name_all):
                continue
            if old is None or old == UNKNOWN:
                set_dim(dim, new)
            elif sizes.setdefault(old, new) != new and explicit:
                notes.append(
                    f"axis {axis} of '{item.name}' ({new}) always equals '{sizes[old]}' in the "
                    f"model: it gets that name"
                )
    substitute_all(model, sizes)
    return notes


def _input_dims(
    model: onnx.ModelProto, inputs: Sequence[Input]
) -> Iterator[tuple[Input, int, onnx.TensorShapeProto.Dimension]]:
    given = {item.name: item for item in inputs}
    for value in model.graph.input:
        if value.name in given:
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                yield given[value.name], axis, dim


def _wanted(item: Input, axis: int, *, explicit: bool) -> int | str | None:
    if not is_dynamic(item, axis):
        return item.min[axis]
    if explicit:
        return item.dims[axis] if item.dims else None
    return dim_name(item, axis)


def _contradictions(declared: TensorType, item: Input) -> Iterator[str]:
    if declared.dtype != item.dtype:
        yield f"inputs.{item.name}.dtype: {item.dtype}, in the model {declared.dtype}"
    if declared.dims is None:
        return
    if len(declared.dims) != len(item.min):
        yield (
            f"inputs.{item.name}: {len(item.min)} dimensions, in the model "
            f"{len(declared.dims)} {_dims(declared)}"
        )
        return
    for axis, size in enumerate(declared.dims):
        if isinstance(size, int) and (item.min[axis] != size or item.max[axis] != size):
            asked = range_text(item, axis)
            yield f"inputs.{item.name}: axis {axis} is {asked}, in the model {size}"


def _split_symbols(pairs: Sequence[tuple[TensorType, Input]]) -> Iterator[str]:
    """Axes that are one dimension in the model and have different sizes in the recipe."""
    first: dict[str, tuple[Input, int]] = {}
    for declared, item in pairs:
        if declared.dims is None or len(declared.dims) != len(item.min):
            continue
        for axis, size in enumerate(declared.dims):
            if not isinstance(size, str) or size == UNKNOWN:
                continue
            other, place = first.setdefault(size, (item, axis))
            if (other.min[place], other.max[place]) != (item.min[axis], item.max[axis]):
                yield (
                    f"inputs.{item.name}: axis {axis} is {range_text(item, axis)}, axis {place} of "
                    f"'{other.name}' {range_text(other, place)}; in the model both are '{size}'"
                )


def _shown(declared: TensorType) -> str:
    return f"{declared.dtype} {_dims(declared)}"


def _dims(declared: TensorType) -> str:
    if declared.dims is None:
        return "of any shape"
    return f"[{', '.join('?' if dim is None else str(dim) for dim in declared.dims)}]"
