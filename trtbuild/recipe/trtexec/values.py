"""The values of trtexec's options, as a recipe writes them.

Each function raises ValueError, KeyError or IndexError for what trtexec refuses too; the grammar is
that of sampleOptions.cpp (NVIDIA/TensorRT).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from trtbuild.recipe.trtexec.shapes import Ports

_DRIVE = re.compile(r"(.*):([A-Za-z]:[\\/].*)")
_UNITS = {"B": "B", "K": "KiB", "M": "MiB", "G": "GiB"}
_SIZE = re.compile(r"(\d+(?:\.\d*)?)([BKMG]?)", re.IGNORECASE)

POOLS = {
    "workspace": "workspace",
    "tacticSharedMem": "memory_pools.tactic_shared_memory",
    "dlaSRAM": "memory_pools.dla_managed_sram",
    "dlaLocalDRAM": "memory_pools.dla_local_dram",
    "dlaGlobalDRAM": "memory_pools.dla_global_dram",
}

TACTIC_SOURCES: Mapping[str, str | None] = {
    "cublas": "cublas",
    "cublaslt": "cublas_lt",
    "cudnn": "cudnn",
    "edgemaskconvolutions": "edge_mask_convolutions",
    "jitconvolutions": "jit_convolutions",
}
PREVIEWS: Mapping[str, str | None] = {
    "profilesharing0806": "profile_sharing_0806",
    "aliasedpluginio1003": "aliased_plugin_io_10_03",
    "runtimeactivationresize": "runtime_activation_resize_10_10",
    "runtimeactivationresize1010": "runtime_activation_resize_10_10",
    "multideviceruntime": "multidevice_runtime_10_16",
    "multideviceruntime1016": "multidevice_runtime_10_16",
    # of 8.5 and 8.6, and always so since
    "fasterdynamicshapes0805": None,
    "disableexternaltacticsourcesforcore0805": None,
}
"""By trtexec's names without case and underscores: the recipe's, None where there is none now."""

_FORMATS = {
    "chw": "linear",
    **{
        name: name
        for name in (
            *("chw2", "chw4", "chw16", "chw32", "hwc", "hwc8", "hwc16", "dhwc", "dhwc8"),
            *("cdhw32", "dla_linear", "dla_hwc4"),
        )
    },
}

DTYPES = {
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "int8": "int8",
    "fp8": "float8_e4m3fn",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
    "uint8": "uint8",
    "int4": "int4",
}
"""numpy's and ml_dtypes' names of trtexec's types."""


def size(text: str, unit: str = "M") -> str | int:
    """A size with its unit, or bytes; `unit` is what trtexec takes it in where it has none."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    letter = (found[2] or unit).upper()
    if letter == "B":
        return int(float(found[1]))
    return f"{float(found[1]):.15g}{_UNITS[letter]}"


def pools(text: str) -> dict[str, str | int]:
    """`workspace:1G,dlaSRAM:1` by key below `build`."""
    pairs = (part.partition(":") for part in text.split(","))
    return {POOLS[name]: size(amount) for name, _, amount in pairs}


def budget(text: str) -> str | int | None:
    """A weight streaming budget; None where it is switched off."""
    if text.endswith("%"):
        if not 0 <= float(text[:-1]) <= 100:
            raise ValueError(text)
        return text
    if text in ("-1", "-2"):
        return "auto" if text == "-1" else None
    return size(text, "B")


def switches(text: str, known: Mapping[str, str | None]) -> tuple[dict[str, bool], list[str]]:
    """`+A,-B` as keys with true and false; and the names that there are no keys for any more."""
    found: dict[str, bool] = {}
    gone = []
    for part in text.split(","):
        if part[:1] not in ("+", "-"):
            raise ValueError(part)
        key = known[part[1:].lower().replace("_", "")]
        if key is None:
            gone.append(part)
        else:
            found[key] = part[0] == "+"
    return found, gone


def port_format(text: str) -> tuple[str | None, list[str]]:
    """`fp16:chw+hwc8`: the type, None where it has none (from 11.0 on), and the layouts."""
    dtype, colon, names = text.rpartition(":")
    return (DTYPES[dtype] if colon else None), [_FORMATS[name] for name in names.split("+")]


def io_formats(formats: Mapping[str, list[str]], ports: Ports, *, typed: bool) -> list[str]:
    """`--inputIOFormats=fp32:chw+hwc8,...` of all inputs, where any has formats; as for outputs."""
    types = {dtype: name for name, dtype in DTYPES.items()}
    layouts = {ours: theirs for theirs, ours in _FORMATS.items()}
    words = []
    for option, sides in (("inputIOFormats", ports.inputs), ("outputIOFormats", ports.outputs)):
        if not any(port.name in formats for port in sides):
            continue
        written = (
            (f"{types.get(port.dtype, port.dtype)}:" if typed else "")
            + "+".join(layouts[name] for name in formats.get(port.name, ["linear"]))
            for port in sides
        )
        words.append(f"--{option}={','.join(written)}")
    return words


def path(text: str) -> str:
    """A file as a recipe names it: / between folders, and the home folder for ~, as trtexec has."""
    return os.path.expanduser(text.replace("\\", "/"))  # noqa: PTH111 - Path refuses unknown users


def paths(text: str) -> list[str]:
    """Files that stand between commas."""
    return list(map(path, names(text)))


def devices(text: str) -> dict[str, str]:
    """`layer:GPU,layer:DLA` by layer."""
    known = {"GPU": "gpu", "DLA": "dla"}
    return {name: known[kind] for name, kind in _pairs(text)}


def types_of_layers(text: str) -> dict[str, str]:
    """`layer:fp32,layer:fp16` by layer."""
    found = dict(_pairs(text))
    for dtype in found.values():
        DTYPES[dtype]  # raises KeyError
    return found


def files(text: str) -> dict[str, str]:
    """`name:file` by name; a file with a colon follows a quoted name, or is a Windows path."""
    return {name: path(file) for name, file in _pairs(text)}


def _pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split(","):
        quoted = re.fullmatch(r"'([^']*)':(.*)", part) or _DRIVE.fullmatch(part)
        name, _, value = (quoted[1], ":", quoted[2]) if quoted else part.rpartition(":")
        if not name:
            raise ValueError(part)
        found.append((name, value))
    return found


def capabilities(text: str) -> list[int | str]:
    """`86,89` or `current`."""
    return [int(part) if part.isdigit() else part.lower() for part in text.split(",")]


def number(text: str) -> int | float:
    """A whole number where it is one."""
    value = float(text)
    return int(value) if value.is_integer() else value


def percentiles(text: str) -> list[int | float]:
    """Percentages, once each."""
    return list(dict.fromkeys(number(part) for part in text.split(",")))


def names(text: str) -> list[str]:
    """What stands between commas."""
    return text.split(",")


def choice(**known: Any) -> Callable[[str], Any]:
    """A reader of one of some words, whatever their case; `_plus` stands for a plus sign."""
    table = {name.replace("_plus", "+"): value for name, value in known.items()}
    return lambda text: table[text.lower()]
