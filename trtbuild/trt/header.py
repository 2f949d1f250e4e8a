"""Reads the kind, version and size of an engine from its first bytes, without TensorRT."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtbuild.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
_LENGTH = 32  # bytes up to and with the version, in both kinds
_VERSION = slice(24, 28)  # a byte each; sampleEngines.cpp of NVIDIA/TensorRT reads them so
_RTX_SIZE = 16  # where TensorRT-RTX keeps the size of the whole plan, 64 bits

_METADATA_LIMIT = 1 << 20  # another tool's JSON is a few hundred bytes

_OTHERS = (  # what is given in place of an engine, by its first bytes
    (b"PK\x03\x04", "a zip archive, such as a PyTorch file"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` to get the file itself"),
    (b"<", "a text document"),
    (b"ptrt", "a timing cache of TensorRT, or an engine of a version before 8.6"),
    (b"TRT-", "a calibration cache of TensorRT"),
    (b"\x08", "an ONNX model, it seems, or another protobuf"),
)


@dataclass(frozen=True, slots=True)
class PlanHeader:
    """What a plan says of itself.

    `version` is that of the builder, such as "1.7.1.116". `size` is the length of the plan in
    bytes where it states one (TensorRT-RTX does). The plan begins at `offset`: not 0 where
    another tool has put its metadata in front, which is `wrapper` then, and which TensorRT's own
    runtime does not skip.
    """

    kind: str  # "tensorrt" or "tensorrt_rtx"
    version: str
    size: int | None
    offset: int = 0
    wrapper: str | None = None


def read_plan_header(path: Path) -> PlanHeader:
    """The header of an engine file.

    Raises StageError where the file cannot be read, holds no engine, or is shorter than the
    engine that it says it holds.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4 + _METADATA_LIMIT + _LENGTH)
            length = path.stat().st_size
    except OSError as error:
        raise StageError(f"the engine cannot be read: {error.strerror}", where=str(path)) from error
    return parse_plan_header(head, length, str(path))


def parse_plan_header(head: bytes, length: int, where: str) -> PlanHeader:
    """As `read_plan_header`, from the first bytes of a file that is `length` bytes long."""
    offset = 0
    wrapper = None
    if head[:4] not in _MAGIC:
        offset = _metadata_length(head)
        wrapper = "ultralytics" if offset else None
    plan = head[offset : offset + _LENGTH]
    if plan[:4] not in _MAGIC:
        raise _no_engine(head, where)
    if len(plan) < _LENGTH:
        raise _cut_off(where, f"it ends after {length} bytes, within its header")
    kind = _MAGIC[plan[:4]]
    size = struct.unpack_from("<Q", plan, _RTX_SIZE)[0] if kind == "tensorrt_rtx" else None
    if size is not None and length - offset < size:
        raise _cut_off(where, f"{length - offset} of {size} bytes are there")
    return PlanHeader(kind, ".".join(map(str, plan[_VERSION])), size, offset, wrapper)


def _metadata_length(head: bytes) -> int:
    """Bytes that ultralytics puts in front: a little-endian length and so much JSON; else 0."""
    if len(head) < 4:
        return 0
    length = int.from_bytes(head[:4], "little")
    metadata = head[4 : 4 + length]
    if not 2 <= length <= _METADATA_LIMIT or len(metadata) < length or metadata[:1] != b"{":
        return 0
    try:
        json.loads(metadata)
    except ValueError:
        return 0
    return 4 + length


def _no_engine(head: bytes, where: str) -> StageError:
    what = next((name for start, name in _OTHERS if head.startswith(start)), "another file")
    if not head:
        what = "an empty file"
    return StageError(
        f"this is no TensorRT engine but {what}",
        where=where,
        hint="an engine begins with 'ftrt' (TensorRT 8.6 or later) or 'vtrt' (TensorRT-RTX)",
    )


def _cut_off(where: str, why: str) -> StageError:
    return StageError(
        f"the engine is cut off: {why}", where=where, hint="build it or copy it again"
    )
