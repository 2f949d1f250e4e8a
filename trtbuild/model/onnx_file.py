"""Loads, saves, checks and canonicalises ONNX files, with external data of any size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import (  # type: ignore[import-untyped]  # protobuf has no types
    DecodeError,
    EncodeError,
)

from trtbuild.errors import StageError
from trtbuild.model import external, walk

INLINE_LIMIT = 1_900_000_000
"""Bytes of tensors above which weights leave the .onnx file; a protobuf ends at 2 GiB."""

_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}  # where the name is not ONNX's in lower case

_FOREIGN = (  # what a file that is no ONNX begins with, and what that means
    (b"PK\x03\x04", "a zip archive: a PyTorch or numpy file, not an ONNX model"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` to get the model itself"),
    (b"\x89HDF", "an HDF5 file: export the Keras model to ONNX first"),
    (b"<", "a text document: the download gave a web page or an XML file"),
)


@dataclass(frozen=True, slots=True)
class TensorType:
    """What a graph says of one of its inputs or outputs.

    `dtype` is numpy's name ("float32", "int64", "bfloat16", "bool", ...), or "sequence", "map",
    "optional", "sparse_tensor" for what is no tensor. `dims` is None where no shape is declared;
    a dimension is its size, its symbol, or None.
    """

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None


def load_model(path: Path) -> onnx.ModelProto:
    """The model in a file, with its external data read into it.

    Raises StageError, with the file's name, where the file or one that it refers to is missing,
    empty, cut off or no ONNX.
    """
    model = load_structure(path)
    for tensor in walk.tensors(model):
        if external.is_external(tensor):
            external.read_into(tensor, path)
    return model


def load_structure(path: Path) -> onnx.ModelProto:
    """The model in a file as it stands: tensors in other files stay there.

    Raises StageError as load_model does, but for those other files.
    """
    content = _content(path)
    if not content:
        raise StageError("the ONNX file is empty", where=str(path), hint="get or export it again")
    for start, meaning in _FOREIGN:
        if content.startswith(start):
            raise StageError(f"this is {meaning}", where=str(path))
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise _damaged(path, len(content)) from error
    # A file that ends between two fields parses; the opsets come after the graph.
    if not (model.ir_version and model.HasField("graph") and model.opset_import):
        raise _damaged(path, len(content))
    return model


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model so that the bytes depend on the model only.

    Above INLINE_LIMIT the weights go to `<name>.data` beside it, each aligned to a page, and the
    large tensors of `model` itself refer to that file afterwards (a second copy of them would
    double the memory): load the file to go on working.
    """
    try:
        if sum(external.nbytes(tensor) for tensor in walk.tensors(model)) > INLINE_LIMIT:
            external.move_weights(model, path.with_name(path.name + ".data"))
        path.write_bytes(model.SerializeToString(deterministic=True))
    except OSError as error:
        raise StageError(
            f"the model cannot be written: {error.strerror}",
            where=str(path),
            hint="free space, or choose another cache folder",
        ) from error
    except EncodeError as error:
        raise StageError(
            "the model is larger than the 2 GiB of a protobuf even without its weights",
            where=str(path),
        ) from error


def external_files(path: Path) -> tuple[str, ...]:
    """Where the external data of a model lies, relative to it, in order of first use."""
    places: dict[str, None] = {}
    for tensor in walk.tensors(load_structure(path)):
        if external.is_external(tensor):
            places[external.location(tensor, path)] = None
    return tuple(places)


def canonicalise(model: onnx.ModelProto) -> None:
    """Take out, in place, what tells of the export instead of the model.

    Gone are doc strings, the producer's name and version, and metadata under an exporter's keys
    ("namespace", "pkg.torch...": they hold stack traces with absolute paths) on the model, its
    graphs, nodes, values, tensors and functions. Other metadata stays, since programs read it:
    an OCR model keeps its list of characters there.
    """
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    _strip(model)
    for function in model.functions:
        _strip(function)
        for value in function.value_info:
            _strip(value)
    for graph in walk.graphs(model):
        _strip(graph)
        for value in (*graph.input, *graph.output, *graph.value_info):
            _strip(value)
    for node in walk.nodes(model):
        _strip(node)
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
    for tensor in walk.tensors(model):
        _strip(tensor)


def check_model(model: Path | onnx.ModelProto) -> None:
    """Ask onnx.checker; give the path of a model that may be larger than 2 GB.

    Shapes are not inferred: published models declare output shapes that are wrong, and run.
    """
    place = str(model) if isinstance(model, Path) else "the model"
    try:
        onnx.checker.check_model(str(model) if isinstance(model, Path) else model)
    except onnx.checker.ValidationError as error:
        raise StageError(
            f"onnx.checker refuses the model: {' '.join(str(error).split())}",
            where=place,
            hint="the model is not valid ONNX: export it again, or mend it by surgery",
        ) from error


def input_types(model: onnx.ModelProto) -> tuple[TensorType, ...]:
    """The inputs that a caller must give, in order; initializers listed as inputs are left out."""
    stored = {tensor.name for tensor in model.graph.initializer}
    stored.update(sparse.values.name for sparse in model.graph.sparse_initializer)
    return tuple(_type(value) for value in model.graph.input if value.name not in stored)


def output_types(model: onnx.ModelProto) -> tuple[TensorType, ...]:
    """The outputs, in order."""
    return tuple(_type(value) for value in model.graph.output)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses."""
    return max(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        default=1,
    )


def dtype_name(element: int) -> str:
    """numpy's name of an ONNX element type (TensorProto.DataType)."""
    name = str(onnx.TensorProto.DataType.Name(element))
    return _NAMES.get(name, name.lower())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StageError(
            f"the ONNX file cannot be read: {error.strerror}",
            where=str(path),
            hint="check that the file is there and that you may read it",
        ) from error


def _damaged(path: Path, size: int) -> StageError:
    return StageError(
        f"the ONNX file is cut off or no ONNX at all ({size} bytes)",
        where=str(path),
        hint="get or export it again; weights above 2 GiB must lie in external data files",
    )


def _strip(part: onnx.ModelProto) -> None:
    """Take doc string and exporter's metadata off one part of a model."""
    part.ClearField("doc_string")
    kept = [(entry.key, entry.value) for entry in part.metadata_props if not _exporters(entry.key)]
    if len(kept) < len(part.metadata_props):
        part.ClearField("metadata_props")
        for key, value in kept:
            part.metadata_props.add(key=key, value=value)


def _exporters(key: str) -> bool:
    """torch.onnx, onnxscript and onnx-ir write under "pkg.", and the scope as "namespace"."""
    return key == "namespace" or key.startswith("pkg.")


def _type(value: onnx.ValueInfoProto) -> TensorType:
    kind = value.type.WhichOneof("value") or "undefined"
    if kind != "tensor_type":
        return TensorType(value.name, kind.removesuffix("_type"), None)
    tensor = value.type.tensor_type
    dims = tuple(_dim(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else None
    return TensorType(value.name, dtype_name(tensor.elem_type), dims)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    kind = dim.WhichOneof("value")
    size: int | str | None = getattr(dim, kind) if kind else None
    return size if size != "" else None
