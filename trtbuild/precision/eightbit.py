"""Quantizes a float32 model to int8 or fp8, on top of fp32, fp16 or bf16, from a calibration table.

The pairs are placed here rather than by ModelOpt's `quantize`, which calibrates itself whatever
table there is, ignores a table for fp8, and stretches fp8 scales to 127 steps. Casts are its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from trtbuild.precision import qdq
from trtbuild.precision.cases import Cases
from trtbuild.precision.choice import Choice, Wish, choose
from trtbuild.precision.lowfloat import Lowered, Progress, lower
from trtbuild.precision.opset import raise_opset
from trtbuild.precision.prepare import prepare
from trtbuild.precision.qdq import Placed, place, weights_of

Base = Literal["fp32", "fp16", "bf16"]

_INT8_OPSET = 13  # the first whose Q/DQ has scales by channel; enough where all is float32


@dataclass(frozen=True, slots=True)
class Quantized:
    """A model with Q/DQ in it, and what was done: `lowered` tells of the casts, without them
    None.
    """

    model: onnx.ModelProto
    choice: Choice
    placed: Placed
    lowered: Lowered | None


def quantize(
    model: onnx.ModelProto,
    wish: Wish,
    amax: Mapping[str, float],
    *,
    base: Base,
    keep_fp32: Sequence[str],
    keep_io_types: bool,
    cases: Cases,
    progress: Progress,
) -> Quantized:
    """Quantize a float32 model; `model` is changed. Nodes in `keep_fp32` get no Q/DQ either.

    Raises StageError as `choose` and `lower` do.
    """
    prepare(model)
    progress("placing Q/DQ", 0.0)
    whole = Wish(wish.kind, wish.op_types, (*wish.exclude, *keep_fp32), wish.attention)
    choice = choose(model, whole, amax)
    weights = weights_of(model, choice.sites)
    lowered = None
    if base == "fp32":
        needed = _INT8_OPSET if wish.kind == "int8" else qdq.OPSET
        target = raise_opset(model, needed)
    else:
        lowered = lower(
            model,
            base,
            keep_io_types=keep_io_types,
            keep_fp32=keep_fp32,
            cases=cases,
            progress=progress,
            opset=qdq.OPSET,
        )
        target = lowered.model
    placed = place(target, weights, choice.sites, amax, wish.kind, per_channel=wish.per_channel)
    return Quantized(target, choice, placed, lowered)
