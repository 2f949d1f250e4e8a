"""What a precision's options ask for, as quantize and sensitivity both read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.dataset import open_dataset
from trtbuild.precision import int4
from trtbuild.precision.choice import Eight, Wish
from trtbuild.stages.demand import stage_demand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trtbuild.model.inputs import Arrays
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


def calibration_batches(context: StageContext, what: str) -> Callable[[], Iterator[Arrays]]:
    """The batches of the calibration data, from its beginning each time; `what` is reported."""
    options: Any = context.options

    def batches() -> Iterator[Arrays]:
        demand = stage_demand(context, options["calibration"])
        for count, batch in enumerate(open_dataset(demand), start=1):
            context.reporter.progress(f"{what}, batch {count}")
            yield batch.inputs

    return batches
