"""Turns the `build` of a recipe into options of the action: no defaults, exact numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from trtbuild.recipe.build_options import Option
from trtbuild.recipe.build_table import present
from trtbuild.recipe.model import Build, Options
from trtbuild.recipe.raw import RawBuild
from trtbuild.recipe.units import bytes_of, whole

BACKEND = "tensorrt_rtx"

PLUGINS = ("static", "dynamic", "serialize")
TIMING_CACHE = "timing_cache"
"""The role of a timing cache that the recipe names."""
PRECISION = "{precision}"
"""In the path of a timing cache it stands for the variant: each has kernels of its own."""

_UNORDERED = frozenset({"debug_tensors", "refit_weights"})


def build_section(build: RawBuild) -> Build:
    """The values of a checked `build` section.

    Options that only say what TensorRT does anyway are left out, so that writing them down
    builds nothing again. Files are inputs, by content: of their paths no more than the name of a
    plugin is an option.
    """
    options: Options = {
        "workspace": None,
        "optimization_level": None,
        "compute_capabilities": [],
        "tf32": True,
        # TensorRT's own default gives names only, and then nobody can say what was obtained.
        "profiling_verbosity": "detailed",
    }
    for row, value in present(build):
        if row.key in ("device", "timing_cache.file"):
            continue
        exact = _exact(row, value)
        if exact != row.default or row.key in options:
            _put(options, row.path, exact)
    device = build.get("device")
    return Build(
        build.get("backend", BACKEND),
        options,
        tuple(_files(build)),
        None if device is None else int(device),
    )


def files_of(build: Build, variant: str) -> tuple[tuple[str, str], ...]:
    """Roles and paths of the files that a variant is built with."""
    return tuple((role, timing_file(path, variant)) for role, path in build.files)


def timing_file(path: str, variant: str) -> str:
    """The path of a variant's timing cache."""
    return path.replace(PRECISION, variant)


def size_of(value: Any) -> int | None:
    """The bytes of a size as recipes write it; None for what is no size."""
    if isinstance(value, str):
        return bytes_of(value)
    return int(value)


def is_size(row: Option) -> bool:
    """Whether an option is a number of bytes."""
    return row.rules.get("type") == ["string", "integer"]


def _exact(row: Option, value: Any) -> Any:
    if is_size(row):
        return size_of(value)
    if row.key == "compute_capabilities":
        # 86, "86" and, as JSON Schema sees it, 86.0 are the same.
        return sorted(sorted({str(target).removesuffix(".0") for target in value}), key=len)
    if row.path[0] == "plugins":
        return [PurePath(path).name for path in value]
    if row.key in _UNORDERED:
        return sorted(value)
    return whole(value)


def _put(options: Options, path: tuple[str, ...], value: Any) -> None:
    place: Any = options
    for part in path[:-1]:
        place = place.setdefault(part, {})
    place[path[-1]] = value


def _files(build: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    plugins = build.get("plugins", {})
    for kind in PLUGINS:
        for index, path in enumerate(plugins.get(kind, ())):
            yield f"plugins/{kind}/{index}", path
    file = build.get("timing_cache", {}).get("file")
    if file is not None:
        yield TIMING_CACHE, file
