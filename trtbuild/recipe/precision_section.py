"""The parts of a recipe about precision: options of each, and calibration."""

from __future__ import annotations

import json
from typing import Any

from trtbuild.recipe.model import Calibration, Dataset, Options
from trtbuild.recipe.problems import Problem, did_you_mean
from trtbuild.recipe.raw import RawCalibration, RawPrecision
from trtbuild.recipe.units import whole

UNCHANGED = frozenset({"fp32", "tf32"})
"""Precisions that the graph has anyway; TF32 is what a GPU may compute fp32 products in."""

CALIBRATED = frozenset({"int8", "fp8"})
"""Precisions whose activations are quantized, by ranges that calibration finds."""

_CASTS: Options = {"keep_fp32": [], "keep_io_types": True}
_EIGHT: Options = {
    **_CASTS,
    "base": "fp32",
    "op_types": [],
    "exclude": [],
    "attention": False,
    "per_channel": True,
}

_SETS = ("keep_fp32", "exclude", "op_types")
"""Options that hold names or patterns, whose order and repetition say nothing."""

DEFAULTS: dict[str, Options] = {
    "fp32": {},
    "tf32": {},
    "fp16": _CASTS,
    "bf16": _CASTS,
    "int8": _EIGHT,
    "fp8": _EIGHT,
    "int4": {**_CASTS, "base": "fp32", "exclude": [], "method": "awq_clip", "block_size": 128},
}
"""The options that each precision has, and what they are where the recipe does not say."""


QUANTIZABLE: dict[str, tuple[str, ...]] = {
    "int8": (
        *("Add", "AveragePool", "Concat", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool"),
        *("MatMul", "MaxPool", "Resize"),
    ),
    "fp8": ("Add", "Conv", "ConvTranspose", "Gemm", "MatMul"),
}
"""The operators that TensorRT has kernels of each 8-bit type for (ModelOpt quantizes the same
ones to fp8)."""

_OF_CALIBRATION = ("batch", "dataset", "method", "percentile", "samples", "table")

RANDOM_SAMPLES = 128
"""Of `calibration: {random: ...}`, where the recipe does not say how many."""

BEST = "best"
"""Among the precisions it says that the others are candidates, of which the best is kept."""


def candidates(precisions: Any, *, calibrated: bool) -> dict[str, Any]:
    """The precisions that are built, with their options as written; `best` is none of them."""
    if isinstance(precisions, dict):
        named = dict(precisions)
    else:
        named = dict.fromkeys([precisions] if isinstance(precisions, str) else precisions)
    named.pop(BEST, None)
    if not named:
        named = dict.fromkeys(("fp32", "fp16", *(("int8", "fp8") if calibrated else ())))
    return named


def precision_section(name: str, given: RawPrecision | None) -> Options:
    """The options of one precision, defaults filled in; what is a set has one order."""
    options = {**DEFAULTS[name], **whole(given or {})}
    return {key: sorted({*options[key]}) if key in _SETS else options[key] for key in options}


def as_written(name: str, options: Options) -> Options:
    """The options of one precision without those that have their default."""
    return {key: value for key, value in options.items() if DEFAULTS[name].get(key) != value}


def precision_line(name: str, options: Options) -> str:
    """One precision as a line of a recipe: `int4: {base: "fp16"}`. JSON is YAML."""
    written = as_written(name, options).items()
    return f"{name}: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in written)}}}"


def needs_data(name: str, options: Any) -> bool:
    """Whether a precision looks at activations, of which it then needs samples."""
    if name == "int4":
        return (options or {}).get("method", DEFAULTS["int4"]["method"]) != "rtn"
    return name in CALIBRATED


def no_such_option(name: str, option: str) -> Problem:
    """That a precision lacks an option, and where else the recipe has what is asked for."""
    key = ("precisions", name, option)
    there = "build" if option == "tf32" else ""
    if option in _OF_CALIBRATION and needs_data(name, {}):
        there = "calibration"
    hint = f"write it as {there}.{option}" if there else ""
    if name in UNCHANGED:
        text = f"{name} has no options: the graph stays as it is"
    elif there:
        text = f"{name} has no option '{option}'"
    else:
        known = ", ".join(DEFAULTS[name])
        text = f"{name} has no option '{option}'{did_you_mean(option, DEFAULTS[name])} ({known})"
    return Problem(key, text, hint, spoils=key)


def calibration_section(raw: RawCalibration, dataset: Dataset | None) -> Calibration:
    """The calibration that a recipe asks for; `dataset` is its dataset, already made."""
    if "random" in raw:
        dataset = Dataset("random", {"seed": int(raw["random"].get("seed", 0))}, ())
    samples = whole(raw.get("samples"))
    if samples is None and dataset is not None and dataset.kind == "random":
        samples = RANDOM_SAMPLES  # noise has no end of its own
    options: Options = {
        "method": raw.get("method", "percentile"),
        "percentile": float(raw.get("percentile", 99.99)),
        "samples": samples,
        "batch": whole(raw.get("batch")),
    }
    return Calibration(dataset, raw.get("table"), options)
