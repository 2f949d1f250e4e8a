"""The one table of the options of a build: schema, checks, writers and documents follow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trtbuild.recipe.build_options import Group, Option, value_at
from trtbuild.recipe.build_table.content import NUMERICS, SHAPES, WEIGHTS
from trtbuild.recipe.build_table.features import FEATURES, LOOKING_IN, PLUGIN_OPTIONS, TIMING_CACHE
from trtbuild.recipe.build_table.search import MEMORY, SEARCH
from trtbuild.recipe.build_table.target import DLA_OPTIONS, TARGET

OPTIONS: tuple[Option, ...] = (
    *MEMORY[:1],
    *SEARCH[:1],
    *TARGET[:1],
    *NUMERICS[:1],
    *SHAPES,
    *MEMORY[1:],
    *SEARCH[1:],
    *TARGET[1:],
    *DLA_OPTIONS,
    *WEIGHTS,
    *NUMERICS[1:],
    *TIMING_CACHE,
    *FEATURES,
    *PLUGIN_OPTIONS,
    *LOOKING_IN,
)

"""Every option, in the order in which it is documented and set."""

GROUPS = (
    Group(
        "memory_pools",
        "Limits of the builder's other pools of memory: bytes, or a number with its unit.",
        {"tactic_shared_memory": "48KiB"},
    ),
    Group("dla", "What runs on a DLA core, on Jetson.", {"core": 0, "gpu_fallback": True}),
    Group(
        "timing_cache",
        "Timings of kernels that builds share; TensorRT keeps one per version, GPU and set of "
        "options below the cache folder.",
        {"tactics": "verified", "file": "timing/{precision}.cache"},
    ),
    Group("tactic_sources", "Where kernels come from, on or off.", {"jit_convolutions": False}),
    Group(
        "preview",
        "Features of TensorRT that are not final, on or off.",
        {"aliased_plugin_io_10_03": True},
    ),
    Group(
        "parser_flags",
        "How the ONNX parser reads a model, on or off.",
        {"native_instancenorm": False},
    ),
    Group(
        "plugins",
        "Shared libraries with operators of your own.",
        {"dynamic": ["plugins/libdecode.so"]},
    ),
)


_BY_KEY = {row.key: row for row in OPTIONS}
_PATHS = tuple((row, row.path) for row in OPTIONS)  # split once: a no-op asks of every task


def option(key: str) -> Option:
    """The option of a key; KeyError where there is none."""
    return _BY_KEY[key]


def present(build: Mapping[str, Any]) -> Iterator[tuple[Option, Any]]:
    """The options that a build section has, with their values, in the table's order."""
    for row, path in _PATHS:
        if path[0] in build and (value := value_at(build, path)) is not None:
            yield row, value
