"""Files that begin as TensorRT's plans do."""

from __future__ import annotations

from pathlib import Path


def plan_file(path: Path, fill: int = 0) -> Path:
    """A file that begins as TensorRT-RTX's plans do."""
    head = bytearray(b"vtrt") + bytes(28)
    head[16:24] = (64).to_bytes(8, "little")
    head[24:28] = bytes((1, 6, 1, 120))
    path.write_bytes(bytes(head) + bytes([fill] * 32))
    return path
