"""What trtexec's options about types become: precisions of the graph, and how they are calibrated.

trtexec of TensorRT 10 lets the builder choose among the types that its options allow, in one
engine. Here a precision is in the graph, and each is an engine of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.precision_section import DEFAULTS, needs_data
from trtbuild.recipe.trtexec.shapes import Port
from trtbuild.recipe.trtexec.table import BY_NAME

_FLOATS = {"fp16": "float16", "bf16": "bfloat16"}
_QUANTIZED = ("int8", "fp8", "int4")
_CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "fp32": {},
    "fp16": {},
    "int8": {"base": "fp16"},  # what stays unquantized, as with --int8 --fp16
    "best": {},
}
"""What --best chooses among."""

_EXPLICIT = (
    "the model holds Q/DQ already, which says what is quantized: nothing more is quantized here"
)
_STRONG = (
    "--stronglyTyped switches {flags} off, and builds the graph in its own types: the variant fp32 "
    "is the graph as it is"
)
_NOISE = (
    "calibration on noise is good for measuring the speed, as trtexec's is: give calibration: "
    "{dataset: ...} before you use the results"
)


@dataclass(slots=True)
class Types:
    """What a command line says of types.

    `flags` are the options --fp16 and so on, in order and without dashes; `strong` is
    --stronglyTyped; `table` is a calibration cache; `asked` holds the types of inputs and outputs
    that were asked for, by name; `layers` those of layers, which hold where they are `constrained`.
    """

    strong: bool = False
    flags: dict[str, None] = field(default_factory=dict)
    table: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    constrained: bool = False

    @property
    def keep_fp32(self) -> list[str]:
        """The layers that stay in fp32; none where a recipe cannot say all of --layerPrecisions."""
        named = all(dtype == "fp32" and "*" not in name for name, dtype in self.layers.items())
        return list(self.layers) if named and self.constrained else []


def precisions_of(types: Types, *, quantized: bool, notes: list[str]) -> list[str] | dict[str, Any]:
    """The recipe's `precisions`; `quantized` where the model holds Q/DQ already."""
    precisions = _lowering(types, quantized=quantized, notes=notes)
    if kept := types.keep_fp32:
        options = precisions if isinstance(precisions, dict) else {name: {} for name in precisions}
        able = [name for name in options if "keep_fp32" in DEFAULTS.get(name, {})]
        if able:
            precisions = options | {name: {**options[name], "keep_fp32": kept} for name in able}
    return precisions


def _lowering(types: Types, *, quantized: bool, notes: list[str]) -> list[str] | dict[str, Any]:
    flags = list(types.flags)
    if types.strong:
        if "best" in flags:
            raise UsageError(
                "--best: trtexec refuses it beside --stronglyTyped", hint="leave one of them out"
            )
        if flags:
            notes.append(_STRONG.format(flags=" ".join(f"--{name}" for name in flags)))
        return ["fp32"]
    low = [name for name in flags if name in (*_QUANTIZED, "best")]
    if quantized and low:
        notes.append(f"{' '.join(f'--{name}' for name in low)}: {_EXPLICIT}")
        kept = ("fp16" if name == "best" else name for name in flags)  # --best allows fp16 too
        flags = list(dict.fromkeys(name for name in kept if name not in _QUANTIZED))
        if "best" in low:
            notes.append("--best: it allows fp16 too, for what is not quantized")
    given = [name for name in flags if name in types.flags]
    notes += [f"--{name}: obsolete: {BY_NAME[f'--{name}'].note}" for name in given]
    if "best" in flags:
        return {name: dict(options) for name, options in _CANDIDATES.items()}
    floats = [name for name in flags if name in _FLOATS]
    low = [name for name in flags if name in _QUANTIZED]
    if low:
        options = {"base": floats[0]} if floats else {}
        return {name: dict(options) for name in low} if options else low
    return floats or ["fp32"]


def with_io_types(
    precisions: list[str] | dict[str, Any],
    types: Types,
    ports: tuple[Port, ...],
    notes: list[str],
) -> list[str] | dict[str, Any]:
    """The precisions, with the types of inputs and outputs that were asked for, where they can be.

    A precision lowers all of float32's inputs and outputs, or none; the rest is said in notes.
    """
    wanted = {port.name: types.asked.get(port.name, port.dtype) for port in ports}
    other = {port.name for port in ports if wanted[port.name] != port.dtype}
    for name in list(precisions) if other else ():
        base = name if name in _FLOATS else _base(precisions, name)
        floats = [port.name for port in ports if port.dtype == "float32"]
        if base in _FLOATS and {wanted[port] for port in floats} == {_FLOATS[base]}:
            precisions = _changed(precisions, name)
            other -= set(floats)
    for port in ports:
        if port.name in other:
            notes.append(
                f"'{port.name}' is {port.dtype} in the graph, not {wanted[port.name]}: types of "
                f"inputs and outputs follow it; {_remedy(port, wanted[port.name], precisions)}"
            )
    return precisions


def _remedy(port: Port, dtype: str, precisions: list[str] | dict[str, Any]) -> str:
    """How a tensor gets another type: a Cast does always, a precision for all of its type."""
    names = [name for name in precisions if _FLOATS.get(_base(precisions, name) or name) == dtype]
    if port.dtype == "float32" and names:
        return (
            f"precisions.{names[0]}.keep_io_types: false gives it to all of float32, a Cast in a "
            "surgery hook to this one"
        )
    return "a Cast in a surgery hook gives it another"


def _base(precisions: list[str] | dict[str, Any], name: str) -> str:
    options = precisions.get(name, {}) if isinstance(precisions, dict) else {}
    return str(options.get("base", ""))


def _changed(precisions: list[str] | dict[str, Any], name: str) -> dict[str, Any]:
    options = precisions if isinstance(precisions, dict) else {item: {} for item in precisions}
    return {**options, name: {**options[name], "keep_io_types": False}}


def calibration_of(
    precisions: list[str] | dict[str, Any], types: Types, notes: list[str]
) -> Mapping[str, Any] | None:
    """What ranges are taken from: the cache that was given, else noise, as trtexec does."""
    options = precisions if isinstance(precisions, dict) else dict.fromkeys(precisions)
    if not any(needs_data(name, given) for name, given in options.items()):
        return None
    if types.table:
        return {"table": types.table}
    notes.append(_NOISE)
    return {"random": {"seed": 0}}
