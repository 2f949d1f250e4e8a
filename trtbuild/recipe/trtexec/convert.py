"""Turns the options of a trtexec call into the values of a recipe, and into notes about them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec import values
from trtbuild.recipe.trtexec.made import Made
from trtbuild.recipe.trtexec.measuring import AVERAGES, defaults
from trtbuild.recipe.trtexec.read import Call, Given
from trtbuild.recipe.trtexec.shapes import Ports, inputs_of
from trtbuild.recipe.trtexec.table import BY_NAME, Row

_EXPORTS = {
    "--exportTimes": "times",
    "--exportOutput": "outputs",
    "--dumpOutput": "outputs",
    "--dumpRawBindingsToFile": "outputs",
    "--exportLayerInfo": "layers",
    "--dumpLayerInfo": "layers",
}


def convert(call: Call, ports: Ports | None) -> Made:
    """The values and notes of one call. Raises UsageError for values that trtexec refuses."""
    made = Made(call.backend, ports)
    for option in call.options:
        row = BY_NAME[option.name]
        try:
            _WAYS[row.way](made, option, row)
        except (ValueError, KeyError, IndexError):
            into = f"it becomes {row.key}" if row.key else ""
            raise UsageError(f"{option}: trtexec does not take this value", hint=into) from None
        # What becomes of a precision depends on the model, and on the other options.
        if row.note and (row.obsolete or not row.key) and row.way != "precision":
            made.notes.append(f"{option}: {'obsolete: ' if row.obsolete else ''}{row.note}")
    made.asked.chosen = int(made.values.get("benchmark.profile_index", 0))
    inputs, profiles, notes = inputs_of(made.asked, ports.inputs if ports else None)
    made.notes += notes
    made.inputs = inputs
    if profiles:
        made.put("build.profiles", profiles)
    if made.asked.inference and made.asked.given:
        made.put("benchmark.shapes", made.asked.inference)
    _add_defaults(made, call)
    return made


def _add_defaults(made: Made, call: Call) -> None:
    """What trtexec does where it is not told, and a recipe would do otherwise."""
    names = {option.name for option in call.options}
    if {"--noBuilderCache", "--errorOnTimingCacheMiss"} <= names:
        raise UsageError(
            "--errorOnTimingCacheMiss: with --noBuilderCache no timing is in a cache, and every "
            "build would fail",
            hint="leave one of them out",
        )
    if call.backend == "tensorrt":
        made.values.setdefault("build.avg_timing_iterations", AVERAGES)
    if made.values.get("build.engine_capability") == "dla_standalone":
        made.values.setdefault("build.dla.core", 0)
    if made.values.get("benchmark.time_refit") and "build.refit" not in made.values:
        del made.values["benchmark.time_refit"]
        made.notes.append("--timeRefit is left out: without --refit no weights can be exchanged")
    if made.measured:
        keys, note = defaults(call)
        for key, value in keys.items():
            made.values.setdefault(f"benchmark.{key}", value)
        made.notes.append(note)


def _note(_: Made, __: Given, ___: Row) -> None:
    """Nothing but the note."""


def _skip(made: Made, _: Given, __: Row) -> None:
    made.measured = False


def _platform(made: Made, option: Given, row: Row) -> None:
    platform = _PLATFORMS(option.value or "")
    made.put(row.key, platform)
    if platform != "same_as_build":  # trtexec does not run what this machine cannot
        made.measured = False


def _standalone(made: Made, _: Given, row: Row) -> None:
    for key, value in zip(row.key.split(), ("dla_standalone", True), strict=True):
        made.put(key, value)
    made.measured = False


def _model(made: Made, option: Given, _: Row) -> None:
    made.values["model.onnx"] = values.path(option.value or "")


def _foreign(made: Made, option: Given, _: Row) -> None:
    made.values.setdefault(
        "model.onnx", str(PurePath(values.path(option.value or "model")).with_suffix(".onnx"))
    )


def _shapes(made: Made, option: Given, _: Row) -> None:
    made.asked.take(option)


def _precision(made: Made, option: Given, _: Row) -> None:
    made.types.flags[option.name.removeprefix("--")] = None


def _layers(made: Made, option: Given, _: Row) -> None:
    made.types.layers |= values.types_of_layers(option.value or "")


def _constraints(made: Made, option: Given, _: Row) -> None:
    made.types.constrained = {"none": False, "prefer": True, "obey": True}[option.value or "none"]


def _strong(made: Made, _: Given, __: Row) -> None:
    made.types.strong = True


def _calibration(made: Made, option: Given, _: Row) -> None:
    made.types.table = values.path(option.value or "")


def _setter(read: Callable[[str], Any]) -> Callable[[Made, Given, Row], None]:
    def way(made: Made, option: Given, row: Row) -> None:
        made.put(row.key, read(option.value or ""))

    return way


def _sparsity(made: Made, option: Given, row: Row) -> None:
    text = (option.value or "").lower()
    made.put(row.key, {"disable": False, "enable": True, "force": True}[text])
    if text == "force":
        made.notes.append(
            f"{option}: weights are not rewritten here: kernels for sparse weights are tried, and "
            "take only what is 2 of 4 zeros already; prune the model first"
        )


def _strip_all(made: Made, _: Given, row: Row) -> None:
    for key, value in zip(row.key.split(), (True, "all"), strict=True):
        made.put(key, value)


def _limit(made: Made, option: Given, row: Row) -> None:
    if int(option.value or 0) >= 0:  # -1 leaves it to TensorRT, and is no DLA core
        made.put(row.key, int(option.value or 0))


def _iterations(made: Made, option: Given, row: Row) -> None:
    count = int(option.value or "")
    made.put(row.key, max(count, 1))
    if count < 1:
        made.notes.append(f"{option}: the duration alone decides, and one iteration is the least")


def _duration(made: Made, option: Given, row: Row) -> None:
    seconds = float(option.value or "")
    if seconds < 0:
        raise UsageError(
            f"{option}: trtexec runs until it is stopped, and reports nothing",
            hint="a recipe's benchmark ends: give its seconds, or leave the option out for 3",
        )
    made.put(row.key, f"{seconds:g}s")


def _workspace(made: Made, option: Given, row: Row) -> None:
    _limits(made, option, {row.key: values.size(option.value or "")})


def _pools(made: Made, option: Given, _: Row) -> None:
    pools = values.pools(option.value or "")
    _limits(made, option, {f"build.{key}": amount for key, amount in pools.items()})


def _limits(made: Made, option: Given, sizes: dict[str, str | int]) -> None:
    for key, amount in sizes.items():
        if not float(re.match(r"[\d.]*", str(amount))[0]):  # type: ignore[index] # it has digits
            raise UsageError(
                f"{option}: trtexec leaves this pool nothing, and the least that {key} takes is 1B",
                hint="write 1B; where all that there is was meant, leave it out",
            )
        made.put(key, amount)


def _switches(made: Made, option: Given, row: Row) -> None:
    known = values.PREVIEWS if option.name == "--preview" else values.TACTIC_SOURCES
    found, gone = values.switches(option.value or "", known)
    for name, on in found.items():
        made.put(f"{row.key}.{name}", on)
    made.notes += [
        f"{option}: {name[1:]} is gone since TensorRT 10.0: it is always on"
        + (", and cannot be switched off" if name[0] == "-" else "")
        for name in gone
    ]


def _formats(made: Made, option: Given, row: Row) -> None:
    if made.ports is None:
        made.notes.append(f"{option}: name the tensors in build.io_formats (there is no model)")
        return
    ports = made.ports.inputs if option.name == "--inputIOFormats" else made.ports.outputs
    found = [values.port_format(text) for text in (option.value or "").split(",")]
    if len(found) not in (1, len(ports)):
        raise UsageError(
            f"{option}: {len(found)} formats for {len(ports)} tensors",
            hint=f"give one for all, or one for each of {', '.join(port.name for port in ports)}",
        )
    formats = made.values.setdefault(row.key, {})
    for port, (dtype, layouts) in zip(ports, found * (len(ports) // len(found)), strict=True):
        if layouts != ["linear"]:
            formats[port.name] = layouts
        if dtype is not None:
            made.types.asked[port.name] = dtype
    if not formats:
        del made.values[row.key]


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


def _budget(made: Made, option: Given, row: Row) -> None:
    found = values.budget(option.value or "")
    if found is not None:
        made.put(row.key, found)


def _export(made: Made, option: Given, row: Row) -> None:
    kind = _EXPORTS[option.name]
    if kind not in made.values.get(row.key, []):
        made.put(row.key, [kind])
    file = "output.json" if kind == "outputs" else f"{kind}.json"
    where = f"{file} in build/{{name}}/PRECISION"
    if option.name == "--dumpRawBindingsToFile":
        made.notes.append(
            f"{option}: outputs are in {where}, as numbers, and inputs are not written; of an item "
            "of it, numpy.array(item['values'], DTYPE).tofile(FILE) makes the raw file"
        )
    elif option.value:
        made.notes.append(f"{option}: it is {where}")


def _profile_file(made: Made, option: Given, row: Row) -> None:
    made.put(row.key, True)
    made.notes.append(f"{option}: it is profile.json in build/{{name}}/PRECISION")


def _on(made: Made, option: Given, row: Row) -> None:
    made.put(row.key, ["current"] if option.name == "--useGpu" else True)


_PLATFORMS = values.choice(sameasbuild="same_as_build", windowsamd64="windows_amd64")

_WAYS: dict[str, Callable[[Made, Given, Row], None]] = {
    "note": _note,
    "skip": _skip,
    "engine": _engine,
    "model": _model,
    "foreign": _foreign,
    "shapes": _shapes,
    "profile": _shapes,
    "precision": _precision,
    "layer_types": _layers,
    "constraints": _constraints,
    "strong": _strong,
    "calibration": _calibration,
    "outputs": _setter(values.names),
    "names": _setter(values.names),
    "paths": _setter(values.paths),
    "on": _on,
    "off": _setter(lambda _: False),
    "all": _setter(lambda _: "all"),
    "int": _setter(int),
    "number": _setter(float),
    "text": _setter(str),
    "limit": _limit,
    "iterations": _iterations,
    "duration": _duration,
    "mebibytes": _workspace,
    "pools": _pools,
    "sparsity": _sparsity,
    "tiling": _setter(lambda text: ("none", "fast", "moderate", "full")[int(text)]),
    "verbosity": _setter(
        values.choice(
            default="layer_names_only",
            verbose="detailed",
            layer_names_only="layer_names_only",
            detailed="detailed",
            none="none",
        )
    ),
    "hardware": _setter(
        values.choice(
            none="none",
            ampere_plus="ampere_plus",
            samecomputecapability="same_compute_capability",
        )
    ),
    "platform": _platform,
    "switches": _switches,
    "formats": _formats,
    "strip_all": _strip_all,
    "dla": _standalone,
    "layers": _setter(values.devices),
    "capabilities": _setter(values.capabilities),
    "milliseconds": _setter(lambda text: f"{float(text):g}ms"),
    "percentiles": _setter(values.percentiles),
    "graph": _setter(values.choice(disable=False, wholegraph="runtime")),
    "allocation": _setter(values.choice(static="static", profile="profile", runtime="runtime")),
    "specialization": _setter(values.choice(lazy="lazy", eager="eager", none="none")),
    "budget": _budget,
    "files": _setter(values.files),
    "export": _export,
    "profile_file": _profile_file,
    "kept": _kept,
    "timing": _timing,
}
"""By a row's `way`: how an option's value becomes the recipe's."""
