"""Brings a model to the precision that a stage's options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.precision.lowfloat import Lowered, lower
from trtbuild.precision.quantized import (
    Ground,
    Quantized,
    quantize_activations,
    quantize_weights,
)
from trtbuild.precision.table import read_table
from trtbuild.stages.wishes import (
    base_of,
    eight_bit_wish,
    int4_samples,
    int4_wish,
    names_of,
)

if TYPE_CHECKING:
    import onnx

    from trtbuild.precision.cases import Cases
    from trtbuild.stages.base import StageContext
    from trtbuild.stages.samples import Samples


def convert(
    model: onnx.ModelProto,
    context: StageContext,
    cases: Cases,
    kept: tuple[str, ...] = (),
    samples: Samples | None = None,
) -> Lowered | Quantized:
    """The model in the precision of the options, which are quantize's; `model` is changed.

    `kept` are nodes that stay in float32 beside those of the options, `samples` the data of int4
    where the caller wants to know what was read. Raises StageError for another precision, and as
    `lower`, `quantize_activations` and `quantize_weights` do.
    """
    options: Any = context.options
    ground = Ground(
        base=base_of(options),
        keep_io_types=bool(options.get("keep_io_types", True)),
        keep_fp32=(*names_of(options, "keep_fp32"), *kept),
        cases=cases,
        progress=context.reporter.progress,
    )
    match options["precision"]:
        case "fp16" | "bf16" as low:
            return lower(
                model,
                low,
                keep_io_types=ground.keep_io_types,
                keep_fp32=ground.keep_fp32,
                cases=cases,
                progress=ground.progress,
            )
        case "int8" | "fp8" as kind:
            wish = eight_bit_wish(options, kind)
            table = read_table(context.inputs["calibration"])
            return quantize_activations(model, wish, table.amax, ground)
        case "int4":
            data = samples or int4_samples(context)
            return quantize_weights(model, int4_wish(options), lambda: data, ground)
        case other:
            raise StageError(
                f"'{other}' is no precision that changes the graph",
                where="precision",
                hint="the precisions are fp16, bf16, int8, fp8 and int4",
            )
