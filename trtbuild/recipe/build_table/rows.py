"""What the rows of the table are made with: kinds of values, and where things exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtbuild.recipe.build_options import EVERYWHERE, Kind, Option, Where

BOOLEAN: Mapping[str, Any] = {"type": "boolean"}


SIZE: Mapping[str, Any] = {
    "type": ["string", "integer"],
    "x-expected": "a size such as 1GiB or 512 MiB, or a number of bytes",
    "minimum": 1,
    "maximum": 9223372036854775807,
}


NAMES: Mapping[str, Any] = {
    "type": "array",
    "x-expected": "a list of tensor names",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"$ref": "#/$defs/tensor"},
}


PATHS: Mapping[str, Any] = {
    "type": "array",
    "x-expected": "a list of paths",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"$ref": "#/$defs/path"},
}


DLA = Where(
    (("10.0", "10.8"), ("11.4", None)), None, "has no DLA", "build for a Jetson with TensorRT"
)


TIMING = Where(rtx=None, why="times no kernels when it builds and keeps no timing cache")


PLUGINS = Where(
    rtx=None, why="has no plugins", instead="replace the operators, or use the backend tensorrt"
)


ANY_GPU = Where(
    rtx=None,
    why="builds for compute capabilities instead",
    instead="name the GPUs in build.compute_capabilities, or leave both out for all from 80 on",
)


LEAN = Where(
    rtx=None,
    why="has no version-compatible engines",
    instead="build again for each version: the cache keeps every engine",
)


BEFORE_11 = Where((("10.0", "11.0"),), None)


def since(version: str, rtx: str | None = "1.4", until: str | None = None) -> Where:
    """Where something exists that came with a version of TensorRT, and maybe went."""
    return Where(((version, until),), rtx)


def integer(low: int, high: int = 2**31 - 1) -> Mapping[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


def switch(
    key: str, kind: Kind, member: str, meaning: str, where: Where = EVERYWHERE, **more: Any
) -> Option:
    """An option that is on or off, and off where it is left out."""
    more = {"default": False, **more}
    return Option(key, meaning, BOOLEAN, (not more["default"],), kind, member, where=where, **more)


def pool(key: str, member: str, meaning: str, example: str, where: Where = EVERYWHERE) -> Option:
    return Option(key, meaning, SIZE, (example,), "pool", member, where=where)


def switches(group: str, kind: Kind, rows: tuple[tuple[str, str, Where], ...]) -> list[Option]:
    """Options without a default of ours: the backend's own holds where they are left out."""
    return [
        switch(f"{group}.{member.lower()}", kind, member, meaning, where, default=None)
        for member, meaning, where in rows
    ]
