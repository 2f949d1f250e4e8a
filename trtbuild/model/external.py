"""External data of ONNX tensors: where it lies, reading it in, moving it out."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

import onnx

from trtbuild.errors import StageError
from trtbuild.model import walk

_PAGE = 4096  # the alignment that ONNX's ExternalData.md recommends, so that data can be mapped
_SMALL = 1024  # tensors below this stay in the .onnx file, as onnx's own writer does it

_BITS = {  # of types that share a byte in raw_data, though numpy gives each value a byte of its own
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.FLOAT4E2M1: 4,
    onnx.TensorProto.INT2: 2,
    onnx.TensorProto.UINT2: 2,
}


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the values lie in another file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def small_ones_outside(model: onnx.ModelProto) -> bool:
    """Whether tensors lie in other files that onnx's own writer would keep in the model's."""
    return any(is_external(tensor) and nbytes(tensor) < _SMALL for tensor in walk.tensors(model))


def location(tensor: onnx.TensorProto, path: Path) -> str:
    """Where a tensor's data lies, relative to the model; refused where it leaves the folder."""
    place = str(_entries(tensor).get("location", ""))
    parts = PurePosixPath(place).parts
    folder = path.parent.resolve()
    inside = (folder / place).resolve().is_relative_to(folder)
    if not parts or parts[0] == "/" or ".." in parts or not inside:
        raise StageError(
            f"tensor '{tensor.name}' has its data at '{place}', outside the model's folder",
            where=str(path),
            hint="put the data file beside the model and save the model again "
            "(onnx.save with save_as_external_data=True); a link to another folder must be a copy",
        )
    return PurePosixPath(place).as_posix()


def read_into(tensor: onnx.TensorProto, path: Path) -> None:
    """Read a tensor's data into it; bytes in the file are little-endian, as in raw_data."""
    place = location(tensor, path)
    needed = nbytes(tensor)
    offset, length = _extent(tensor, path, needed)
    try:
        with (path.parent / place).open("rb") as file:
            file.seek(offset)
            data = file.read(length)
    except OSError as error:
        raise StageError(
            f"external data file '{place}' cannot be read: {error.strerror}",
            where=str(path),
            hint="an ONNX file with external data needs its data files beside it: copy them too",
        ) from error
    if len(data) < needed or length != needed:
        raise StageError(
            f"external data file '{place}' does not hold tensor '{tensor.name}': "
            f"{needed} bytes are needed at {offset}, {len(data)} are there",
            where=str(path),
            hint="the data file is cut off or belongs to another model: copy both files again",
        )
    tensor.raw_data = data
    tensor.ClearField("data_location")
    tensor.ClearField("external_data")


def move_weights(model: onnx.ModelProto, data: Path) -> None:
    """Move the large tensors to a data file, in the order in which the model holds them."""
    with data.open("wb") as file:
        for tensor in walk.tensors(model):
            if nbytes(tensor) < _SMALL:
                continue
            raw = _raw(tensor)
            file.write(b"\0" * (-file.tell() % _PAGE))
            onnx.external_data_helper.set_external_data(
                tensor, data.name, offset=file.tell(), length=len(raw)
            )
            file.write(raw)
            tensor.ClearField("raw_data")


def nbytes(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor's values as raw_data; strings, which have none there, count as nothing."""
    if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        return 0
    whole = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize * 8
    bits: int = _BITS.get(tensor.data_type, whole)
    return -(-math.prod(int(size) for size in tensor.dims) * bits // 8)


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _extent(tensor: onnx.TensorProto, path: Path, needed: int) -> tuple[int, int]:
    """Offset and length in bytes; a length that is not written is what the shape needs."""
    entries = _entries(tensor)
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed))
    except ValueError:
        offset = length = -1
    if min(offset, length) < 0:
        raise StageError(
            f"tensor '{tensor.name}' has external data at an impossible place: {entries}",
            where=str(path),
            hint="the model is damaged: save it again with onnx.save",
        )
    return offset, length


def _raw(tensor: onnx.TensorProto) -> bytes:
    """A tensor's bytes; values kept in a typed field are moved to raw_data first."""
    if not tensor.HasField("raw_data"):
        plain = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor))
        for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)
        tensor.raw_data = plain.raw_data
    raw: bytes = tensor.raw_data
    return raw
