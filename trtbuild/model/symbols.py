"""Dimensions of ONNX values: sizes, symbols, and expressions of symbols."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import onnx

from trtbuild.model import walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Dim: TypeAlias = int | str | None

UNKNOWN = "?"
"""A symbol that exporters give to every dimension they know nothing of: equal ones mean nothing."""

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?![\w.])")


def substitute(dim: Dim, sizes: Mapping[str, int | str]) -> Dim:
    """A dimension after symbols were given sizes or other names; in expressions too ("2*s77 + 1").

    None where the size of an expression would have to be computed.
    """
    if not isinstance(dim, str):
        return dim
    if dim in sizes:
        return sizes[dim]
    if any(isinstance(sizes.get(name), int) for name in _NAME.findall(dim)):
        return None
    return _NAME.sub(lambda match: str(sizes.get(match[0], match[0])), dim)


def substitute_all(model: onnx.ModelProto, sizes: Mapping[str, int | str]) -> None:
    """Substitute symbols, in place, in every shape that the model declares."""
    for value in _values(model):
        for dim in value.type.tensor_type.shape.dim:
            set_dim(dim, substitute(get_dim(dim), sizes))


def get_dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    """The size or symbol of a dimension; None where neither is given."""
    kind = dim.WhichOneof("value")
    size: Dim = getattr(dim, kind) if kind else None
    return size if size != "" else None


def set_dim(dim: onnx.TensorShapeProto.Dimension, size: Dim) -> None:
    """Write a size or symbol, or nothing, into a dimension."""
    if isinstance(size, int):
        dim.dim_value = size
    elif size is not None:
        dim.dim_param = size
    else:
        dim.ClearField("value")  # the oneof


def _values(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    for graph in walk.graphs(model):
        yield from (*graph.input, *graph.output, *graph.value_info)
    for function in model.functions:
        yield from function.value_info
