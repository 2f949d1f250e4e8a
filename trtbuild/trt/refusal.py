"""What can be said against an engine file by its header, before TensorRT sees it."""

from __future__ import annotations

from trtbuild.errors import StageError
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.header import PlanHeader

_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}


def check_header(header: PlanHeader, flavour: Flavour, where: str) -> None:
    """Raises StageError where this flavour cannot load an engine with this header.

    An RTX engine runs with the version that built it only. Engines of TensorRT proper may be
    version compatible, which the header does not say: TensorRT itself judges them.
    """
    built_by = f"{_TITLES[header.kind]} {header.version}"
    if header.kind != flavour.backend:
        raise StageError(
            f"this engine was built by {built_by}, and {flavour.title} is to load it",
            where=where,
            hint=f"use the backend {header.kind}",
        )
    if header.kind == "tensorrt_rtx" and _release(header.version) != _release(flavour.version):
        raise StageError(
            f"this engine was built by {built_by}, and {flavour.title} is to load it: an engine "
            "of TensorRT-RTX runs with the version that built it only",
            where=where,
            hint=f"install tensorrt-rtx=={header.version}, or build the engine again",
        )


def _release(version: str) -> tuple[str, ...]:
    """The parts of a version that decide: builds of one release load each other's engines."""
    return tuple(version.split(".")[:3])
