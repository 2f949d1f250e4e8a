"""ONNX models as onnx-graphsurgeon graphs and back, without what graphsurgeon loses on the way."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues

from trtbuild.errors import StageError
from trtbuild.model import walk

LARGE = 64 * 1024
"""Bytes from which an initializer is left out of an outline; shapes and axes are never as large."""

_SELF_CONTAINED_IR = 4  # from this IR version on, initializers need not be graph inputs
_SKIPPED = {  # attribute types that graphsurgeon leaves out with no more than a line on stdout
    onnx.AttributeProto.TENSORS,
    onnx.AttributeProto.GRAPHS,
    onnx.AttributeProto.SPARSE_TENSOR,
    onnx.AttributeProto.SPARSE_TENSORS,
    onnx.AttributeProto.TYPE_PROTO,
    onnx.AttributeProto.TYPE_PROTOS,
}
_SCALARS = {  # attributes of Constant and the tensors that they stand for (ONNX, op Constant)
    "value_float": ("f", np.float32),
    "value_floats": ("floats", np.float32),
    "value_int": ("i", np.int64),
    "value_ints": ("ints", np.int64),
}


def to_graph(model: onnx.ModelProto) -> gs.Graph:
    """The model as a graph, which shares the weights with it.

    Raises StageError where the model holds what graphsurgeon cannot carry.
    """
    _refuse_what_would_be_lost(model)
    for node in walk.nodes(model):
        if node.op_type == "Constant":
            _plain_constant(node)
    return gs.import_onnx(model)


def to_model(graph: gs.Graph, source: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as a model, with the metadata of the model that it came from.

    Raises what graphsurgeon and onnx raise where a hook left something in it that is no graph.
    """
    large = _large_constants(graph)
    model = _export(graph, large)
    for tensor in model.graph.initializer:
        if tensor.name in large:
            tensor.CopyFrom(_tensor(large[tensor.name]))
    model.domain, model.model_version = source.domain, source.model_version
    model.metadata_props.extend(source.metadata_props)
    return model


def outline(graph: gs.Graph) -> onnx.ModelProto:
    """The graph as a model whose large weights are inputs without values.

    It is small whatever the size of the weights, and tells onnx.checker and shape inference, which
    both fail above 2 GB, the same as the whole.
    """
    large = _large_constants(graph)
    model = _export(graph, large)
    small = [tensor for tensor in model.graph.initializer if tensor.name not in large]
    del model.graph.initializer[:]
    model.graph.initializer.extend(small)
    for name, tensor in large.items():
        value = onnx.helper.make_tensor_value_info(name, element_type(tensor), tensor.shape)
        model.graph.input.append(value)
    return model


def element_type(tensor: gs.Tensor) -> int:
    """TensorProto.DataType of a tensor; 0 where it is not known."""
    if isinstance(tensor, gs.Constant) and isinstance(tensor._values, LazyValues):
        proto = tensor._values.tensor
        return int((proto.values if isinstance(tensor._values, SparseValues) else proto).data_type)
    if tensor.dtype is None:
        return 0
    if isinstance(tensor.dtype, int):
        return tensor.dtype
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)))


def all_graphs(graph: gs.Graph) -> Iterator[gs.Graph]:
    """The graph itself, then the graphs inside its control flow."""
    yield graph
    yield from graph.subgraphs(recursive=True)


def _refuse_what_would_be_lost(model: onnx.ModelProto) -> None:
    for node in walk.nodes(model):
        for attribute in node.attribute:
            kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
            if attribute.type in _SKIPPED:
                raise _cannot_carry(f"the {kind} attribute '{attribute.name}'", node)
            if any(not _is_text(value) for value in (attribute.s, *attribute.strings)):
                raise _cannot_carry(f"bytes that are no text in '{attribute.name}'", node)
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise StageError(
                f"'{value.name}' is a {str(kind).removesuffix('_type')}, not a tensor: surgery "
                "cannot rewrite such a model",
                where=value.name,
                hint="export the model so that its inputs and outputs are tensors "
                "(for scikit-learn: the option zipmap=False)",
            )


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cannot_carry(what: str, node: onnx.NodeProto) -> StageError:
    return StageError(
        f"surgery cannot carry {what}",
        where=f"node '{node.name}' ({node.op_type})",
        hint="export the model without this operator, or leave surgery out",
    )


def _plain_constant(node: onnx.NodeProto) -> None:
    """Write a Constant's numbers as a tensor: graphsurgeon would fold them as float64."""
    for attribute in node.attribute:
        if attribute.name in _SCALARS and not attribute.ref_attr_name:
            field, dtype = _SCALARS[attribute.name]
            values = np.array(getattr(attribute, field), dtype=dtype)
            attribute.CopyFrom(
                onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(values))
            )


def _export(graph: gs.Graph, large: Mapping[str, gs.Constant]) -> onnx.ModelProto:
    """The graph as a model; instead of each large constant a tensor without values."""
    for constant in _constants(graph):
        _pack(constant)
    with _hidden(large), _empty_lists_hidden(graph) as lists:
        model = gs.export_onnx(graph)
    for node, proto in _pairs(graph, model):
        proto.attribute.extend(lists.get(id(node), ()))
    _store_once(model, _shared_constants(graph))
    model.ir_version = max(model.ir_version, _SELF_CONTAINED_IR)
    return model


def _large_constants(graph: gs.Graph) -> dict[str, gs.Constant]:
    return {
        name: tensor
        for name, tensor in graph.tensors(check_duplicates=True).items()
        if isinstance(tensor, gs.Constant) and _nbytes(tensor) >= LARGE
    }


@contextmanager
def _hidden(constants: Mapping[str, gs.Constant]) -> Iterator[None]:
    """Take the values out for this block: graphsurgeon copies them twice when it writes a model."""
    kept = {name: constant._values for name, constant in constants.items()}  # .values reads them
    for name, constant in constants.items():
        kind = element_type(constant)
        constant.values = LazyValues(onnx.TensorProto(name=name, data_type=kind))
    try:
        yield
    finally:
        for name, constant in constants.items():
            constant.values = kept[name]


def _tensor(constant: gs.Constant) -> onnx.TensorProto:
    values = constant._values
    if not isinstance(values, LazyValues):
        return onnx.numpy_helper.from_array(values, constant.name)
    values.tensor.name = constant.name
    return values.tensor


def _constants(graph: gs.Graph) -> Iterator[gs.Constant]:
    for part in (*all_graphs(graph), *graph.functions):
        yield from (t for t in part.tensors().values() if isinstance(t, gs.Constant))
        for node in part.nodes:
            yield from (a for a in node.attrs.values() if isinstance(a, gs.Constant))


def _pack(constant: gs.Constant) -> None:
    """Let onnx write types that numpy does not have: graphsurgeon does not pack four bits.

    A hook that only reads the values of an int4 weight makes it an array of one byte a value.
    """
    values = constant._values
    if isinstance(values, np.ndarray) and values.dtype.type in vars(ml_dtypes).values():
        constant.values = LazyValues(onnx.numpy_helper.from_array(values, constant.name))


def _nbytes(constant: gs.Constant) -> int:
    values = constant._values
    return 0 if isinstance(values, SparseValues) else int(values.nbytes)


@contextmanager
def _empty_lists_hidden(graph: gs.Graph) -> Iterator[dict[int, list[onnx.AttributeProto]]]:
    """Take attributes that are empty lists out: onnx.helper cannot tell what type they are of.

    Yields id(node) -> the attributes as they must stand in the model.
    """
    taken: list[tuple[dict[str, Any], dict[str, Any]]] = []
    hidden: dict[int, list[onnx.AttributeProto]] = {}
    for part in (*all_graphs(graph), *graph.functions):
        for node in part.nodes:
            empty = [name for name, value in node.attrs.items() if _is_empty_list(value)]
            if not empty:
                continue
            hidden[id(node)] = [
                onnx.AttributeProto(name=name, type=_list_type(graph, node, name)) for name in empty
            ]
            taken.append((node.attrs, dict(node.attrs)))
            for name in empty:
                del node.attrs[name]
    try:
        yield hidden
    finally:
        for attributes, whole in taken:
            attributes.clear()
            attributes.update(whole)


def _is_empty_list(value: object) -> bool:
    return isinstance(value, list | tuple) and not value


def _list_type(graph: gs.Graph, node: gs.Node, attribute: str) -> int:
    try:
        schema = onnx.defs.get_schema(node.op, graph.opset, node.domain or "")
        return int(schema.attributes[attribute].type.value)
    except (onnx.defs.SchemaError, KeyError):  # an operator that onnx does not know
        return int(onnx.AttributeProto.INTS)


def _pairs(graph: gs.Graph, model: onnx.ModelProto) -> Iterator[tuple[gs.Node, onnx.NodeProto]]:
    """Each node with what it was exported as."""
    yield from _pairs_below(graph.nodes, model.graph.node)
    for function, proto in zip(graph.functions, model.functions, strict=True):
        # Constants of a function are written as nodes before its own.
        yield from _pairs_below(function.nodes, proto.node[len(proto.node) - len(function.nodes) :])


def _pairs_below(nodes: Any, protos: Any) -> Iterator[tuple[gs.Node, onnx.NodeProto]]:
    for node, proto in zip(nodes, protos, strict=True):
        yield node, proto
        written = {attribute.name: attribute for attribute in proto.attribute}
        for name, value in node.attrs.items():
            if isinstance(value, gs.Graph):
                yield from _pairs_below(value.nodes, written[name].g.node)


def _shared_constants(graph: gs.Graph) -> set[str]:
    """Names of the constants that nodes of more than one graph read."""
    readers = [
        {id(t): t.name for t in part.tensors().values() if isinstance(t, gs.Constant)}
        for part in all_graphs(graph)
    ]
    counts = Counter(key for names in readers for key in names)
    return {name for names in readers for key, name in names.items() if counts[key] > 1}


def _store_once(model: onnx.ModelProto, shared: set[str]) -> None:
    """Move shared weights to the main graph: graphsurgeon writes them into each that reads them."""
    stored = {tensor.name for tensor in model.graph.initializer}
    for graph in itertools.islice(walk.graphs(model), 1, None):
        kept = [tensor for tensor in graph.initializer if tensor.name not in shared]
        if len(kept) == len(graph.initializer):
            continue
        for tensor in graph.initializer:
            if tensor.name in shared - stored:
                model.graph.initializer.append(tensor)
                stored.add(tensor.name)
        del graph.initializer[:]
        graph.initializer.extend(kept)
