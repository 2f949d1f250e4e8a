"""Checks of precisions and calibration that a schema cannot express."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from trtbuild.recipe.precision_section import (
    BEST,
    DEFAULTS,
    QUANTIZABLE,
    candidates,
    needs_data,
    no_such_option,
)
from trtbuild.recipe.problems import Key, Problem, did_you_mean
from trtbuild.recipe.raw import RawRecipe

CALIBRATION_SOURCES = ("dataset", "table", "random")
"""Where a calibration can come from: exactly one of them."""

Has = Callable[..., bool]


def check_precisions(raw: RawRecipe) -> Iterator[Problem]:
    """Options that a precision does not have, and data that one needs and the recipe lacks."""
    precisions = raw.get("precisions") or []
    if isinstance(precisions, dict) and precisions.get(BEST):
        text = "best has no options: give them to the candidates beside it"
        yield Problem(("precisions", BEST), text)
    options = candidates(precisions, calibrated="calibration" in raw) if precisions else {}
    for name, given in options.items():
        for option in given or {}:
            if option not in DEFAULTS[name]:
                yield no_such_option(name, option)
        yield from _operators(name, given)
        if needs_data(name, given) and "calibration" not in raw:
            key: Key = ("precisions", name) if isinstance(precisions, dict) else ("precisions",)
            yield Problem(
                key,
                f"{name} needs data to calibrate on, and the recipe has no `calibration`",
                "give calibration: {dataset: ...}; to try it out on noise, "
                "calibration: {random: {seed: 0}}",
            )
        if name == "int4" and needs_data(name, given) and "table" in raw.get("calibration", {}):
            yield Problem(
                ("calibration", "table"),
                "int4 looks at activations themselves, which a table does not hold",
                "give calibration a dataset, or int4 `method: rtn`",
            )


def check_calibration(raw: RawRecipe, has: Has) -> Iterator[Problem]:
    """Options of calibration that do not go together."""
    calibration = raw.get("calibration")
    if calibration is None:
        return
    if "percentile" in calibration and calibration.get("method", "percentile") != "percentile":
        yield Problem(("calibration", "percentile"), "only `method: percentile` takes a percentile")
    if "table" in calibration:
        for option in ("method", "percentile", "samples", "batch"):
            if has("calibration", option):
                text = f"a table is calibrated already: it takes no {option}"
                yield Problem(("calibration", option), text)


def _operators(name: str, given: Any) -> Iterator[Problem]:
    """Operators that have no kernel of an 8-bit type."""
    known = QUANTIZABLE.get(name, ())
    asked = (given or {}).get("op_types", ())
    for index, op_type in enumerate(asked if isinstance(asked, list) else ()):
        if known and isinstance(op_type, str) and op_type not in known:
            yield Problem(
                ("precisions", name, "op_types", index),
                f"TensorRT computes no {op_type} in {name}{did_you_mean(op_type, known)}",
                f"operators that can be quantized to {name}: {', '.join(known)}",
            )
