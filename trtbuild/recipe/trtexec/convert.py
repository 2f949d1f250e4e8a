"""Turns the options of a trtexec call into the values of a recipe, and into notes about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec.read import Call, Given
from trtbuild.recipe.trtexec.shapes import Asked, Port, inputs_of
from trtbuild.recipe.trtexec.table import BY_NAME, Row

_POOLS = {
    "workspace": "workspace",
    "tacticSharedMem": "memory_pools.tactic_shared_memory",
    "tacticDRAM": "memory_pools.tactic_dram",
    "dlaSRAM": "memory_pools.dla_managed_sram",
    "dlaLocalDRAM": "memory_pools.dla_local_dram",
    "dlaGlobalDRAM": "memory_pools.dla_global_dram",
}
_UNITS = {"": "MiB", "B": "B", "K": "KiB", "M": "MiB", "G": "GiB"}
_VERBOSITIES = {"default": "layer_names_only", "verbose": "detailed"}
_HARDWARE = {"ampere+": "ampere_plus", "samecomputecapability": "same_compute_capability"}
_EXPORTS = {
    "--exportTimes": "times",
    "--exportOutput": "outputs",
    "--dumpOutput": "outputs",
    "--dumpRawBindingsToFile": "outputs",
    "--exportLayerInfo": "layers",
    "--dumpLayerInfo": "layers",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """The inputs and outputs of the model, where it was there to be read."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(slots=True)
class Made:
    """A recipe in the making: dotted keys with values, and notes, each about one option."""

    backend: str
    ports: Ports | None
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    precisions: dict[str, None] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    measured: bool = True

    def put(self, key: str, value: Any) -> None:
        """Set a dotted key; lists of the same key grow."""
        old = self.values.get(key)
        self.values[key] = [*old, *value] if isinstance(old, list) else value


def convert(call: Call, ports: Ports | None) -> Made:
    """The values and notes of one call. Raises UsageError for values that trtexec refuses."""
    made = Made(call.backend, ports)
    for option in call.options:
        row = BY_NAME[option.name]
        try:
            _WAYS[row.way](made, option, row)
        except (ValueError, KeyError, IndexError):
            raise UsageError(
                f"{option}: trtexec does not take this value", hint=f"it becomes {row.key}"
            ) from None
        if row.note and (row.obsolete or not row.key):
            made.notes.append(f"{option}: {'obsolete: ' if row.obsolete else ''}{row.note}")
    inputs, profiles, notes = inputs_of(made.asked, ports.inputs if ports else None)
    made.notes += notes
    made.inputs = inputs
    if profiles:
        made.put("build.profiles", profiles)
    if made.asked.inference and any(made.asked.profiles):
        made.put("benchmark.shapes", made.asked.inference)
    return made


def size(text: str) -> str:
    """trtexec's size as a recipe's: mebibytes where it has no unit. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([BKMG]?)", text)
    if found is None:
        raise ValueError(text)
    return f"{found[1].removesuffix('.0')}{_UNITS[found[2]]}"


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _note(_: Made, __: Given, ___: Row) -> None:
    """Nothing but the note."""


def _skip(made: Made, _: Given, __: Row) -> None:
    made.measured = False


def _model(made: Made, option: Given, _: Row) -> None:
    made.values["model.onnx"] = option.value or ""


def _foreign(made: Made, option: Given, _: Row) -> None:
    made.values.setdefault(
        "model.onnx", str(PurePath(option.value or "model").with_suffix(".onnx"))
    )


def _shapes(made: Made, option: Given, _: Row) -> None:
    made.asked.take(option)


def _precision(made: Made, option: Given, _: Row) -> None:
    names = ("fp16", "int8") if option.name == "--best" else (option.name.removeprefix("--"),)
    made.precisions.update(dict.fromkeys(names))


def _setter(read: Callable[[str], Any]) -> Callable[[Made, Given, Row], None]:
    def way(made: Made, option: Given, row: Row) -> None:
        made.put(row.key, read(option.value or ""))

    return way


def _both(first: Any, second: Any) -> Callable[[Made, Given, Row], None]:
    def way(made: Made, _: Given, row: Row) -> None:
        for key, value in zip(row.key.split(), (first, second), strict=True):
            made.put(key, value)

    return way


def _limit(made: Made, option: Given, row: Row) -> None:
    if int(option.value or 0) >= 0:  # -1 leaves it to TensorRT
        made.put(row.key, int(option.value or 0))


def _pools(made: Made, option: Given, _: Row) -> None:
    for part in (option.value or "").split(","):
        name, __, amount = part.partition(":")
        made.put(f"build.{_POOLS[name]}", size(amount))


def _switches(made: Made, option: Given, row: Row) -> None:
    for part in (option.value or "").split(","):
        name = part.lstrip("+-").lower()
        made.put(f"{row.key}.{_renamed(name)}", not part.startswith("-"))


def _renamed(name: str) -> str:
    """trtexec calls a preview feature profileSharing0806, the API PROFILE_SHARING_0806."""
    known = {
        "profilesharing0806": "profile_sharing_0806",
        "aliasedpluginio1003": "aliased_plugin_io_10_03",
        "runtimeactivationresize1010": "runtime_activation_resize_10_10",
        "multideviceruntime1016": "multidevice_runtime_10_16",
    }
    return known.get(name, name)


def _formats(made: Made, option: Given, row: Row) -> None:
    if made.ports is None:
        made.notes.append(f"{option}: name the tensors in build.io_formats (there is no model)")
        return
    ports = made.ports.inputs if option.name == "--inputIOFormats" else made.ports.outputs
    written = (option.value or "").split(",")
    if len(written) == 1:
        written *= len(ports)
    formats = made.values.setdefault(row.key, {})
    for port, text in zip(ports, written, strict=False):
        kind, colon, names = text.rpartition(":")
        found = ["linear" if name == "chw" else name for name in names.split("+")]
        if found != ["linear"]:
            formats[port.name] = found
        if colon and kind not in _short(port.dtype):
            made.notes.append(
                f"{option}: '{port.name}' is {port.dtype} in the graph; types of inputs and "
                "outputs follow it (precisions.NAME.keep_io_types: false)"
            )
    if not formats:
        del made.values[row.key]


def _short(dtype: str) -> tuple[str, str]:
    return dtype, re.sub(r"^float", "fp", dtype)


def _layers(made: Made, option: Given, row: Row) -> None:
    pairs = (part.rpartition(":") for part in (option.value or "").split(","))
    made.put(row.key, {name: device.lower() for name, _, device in pairs})


def _kept(made: Made, option: Given, row: Row) -> None:
    made.put(row.key, True)
    made.notes.append(f"{option}: the cache keeps it, beside what it was made for")


def _timing(made: Made, option: Given, row: Row) -> None:
    made.notes.append(
        f"{option}: the cache folder keeps timings for all builds; {row.key}: {option.value} takes "
        "those of a file that you commit, and does not write it"
    )


def _engine(made: Made, option: Given, row: Row) -> None:
    """Only the note: where engines go does not depend on the recipe."""


def _graph(made: Made, option: Given, row: Row) -> None:
    chosen = {"disable": False, "wholegraph": "runtime"}
    made.put(row.key, chosen[(option.value or "").lower()])


def _budget(made: Made, option: Given, row: Row) -> None:
    text = option.value or "-2"
    if text == "-2":  # switched off
        return
    made.put(row.key, "auto" if text == "-1" else text if text.endswith("%") else size(text))


def _capabilities(text: str) -> list[Any]:
    return [int(part) if part.isdigit() else part.lower() for part in text.split(",")]


def _files(text: str) -> Mapping[str, str]:
    pairs = (part.rpartition(":") for part in text.split(","))
    return {name.strip("'\""): file for name, _, file in pairs}


def _export(made: Made, option: Given, row: Row) -> None:
    kind = _EXPORTS[option.name]
    if kind not in made.values.get(row.key, []):
        made.put(row.key, [kind])


def _on(made: Made, option: Given, row: Row) -> None:
    made.put(row.key, ["current"] if option.name == "--useGpu" else True)


_WAYS: dict[str, Callable[[Made, Given, Row], None]] = {
    "note": _note,
    "skip": _skip,
    "engine": _engine,
    "model": _model,
    "foreign": _foreign,
    "shapes": _shapes,
    "profile": _shapes,
    "precision": _precision,
    "outputs": _setter(lambda text: text.split(",")),
    "names": _setter(lambda text: text.split(",")),
    "paths": _setter(lambda text: text.split(",")),
    "on": _on,
    "off": _setter(lambda _: False),
    "all": _setter(lambda _: "all"),
    "int": _setter(int),
    "number": _setter(float),
    "text": _setter(str),
    "limit": _limit,
    "mebibytes": _setter(size),
    "pools": _pools,
    "sparsity": _setter(lambda text: {"disable": False, "enable": True, "force": True}[text]),
    "tiling": _setter(lambda text: ("none", "fast", "moderate", "full")[int(text)]),
    "verbosity": _setter(lambda text: _VERBOSITIES.get(text, text)),
    "hardware": _setter(lambda text: _HARDWARE.get(text.lower(), text)),
    "platform": _setter(
        lambda text: {"sameasbuild": "same_as_build", "windowsamd64": "windows_amd64"}[text.lower()]
    ),
    "switches": _switches,
    "formats": _formats,
    "strip_all": _both(True, "all"),
    "dla": _both("dla_standalone", True),
    "layers": _layers,
    "capabilities": _setter(_capabilities),
    "milliseconds": _setter(lambda text: f"{float(text):g}ms"),
    "seconds": _setter(lambda text: f"{float(text):g}s"),
    "percentiles": _setter(lambda text: [_number(part) for part in text.split(",")]),
    "graph": _graph,
    "budget": _budget,
    "files": _setter(_files),
    "export": _export,
    "kept": _kept,
    "timing": _timing,
}
"""By a row's `way`: how an option's value becomes the recipe's."""
