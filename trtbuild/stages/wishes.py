"""What a precision's options ask for, as quantize and sensitivity both read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.precision import int4
from trtbuild.precision.choice import Eight, Wish
from trtbuild.stages.samples import Samples

if TYPE_CHECKING:
    from trtbuild.stages.base import StageContext

CASTS = ("fp16", "bf16")
"""The precisions that are casts: their own base."""


def base_of(options: Any) -> Any:
    """What the graph computes in where it is not quantized: "fp32", "fp16" or "bf16"."""
    precision = options["precision"]
    return precision if precision in CASTS else options.get("base") or "fp32"


def names_of(options: Any, key: str) -> tuple[str, ...]:
    """A list of names, which may be left out."""
    return tuple(options.get(key) or ())


def eight_bit_wish(options: Any, kind: Eight) -> Wish:
    """For int8 and fp8."""
    return Wish(
        kind,
        op_types=names_of(options, "op_types"),
        exclude=names_of(options, "exclude"),
        attention=bool(options.get("attention", False)),
        per_channel=bool(options.get("per_channel", True)),
    )


def int4_wish(options: Any) -> int4.Wish:
    """For int4."""
    return int4.Wish(
        method=options.get("method") or int4.METHOD,
        block=options.get("block_size") or int4.BLOCK,
        exclude=names_of(options, "exclude"),
    )


def int4_samples(context: StageContext) -> Samples:
    """The data that the options of int4 ask for; `rtn` reads none, and needs none."""
    options: Any = context.options
    method = int4_wish(options).method
    return Samples(
        context,
        options.get("calibration"),
        method=method,
        finds="scales",
        what=f"measuring activations for {method}",
    )
