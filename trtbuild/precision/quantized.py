"""Quantizes a float32 model to int8, fp8 or int4, on top of fp32, fp16 or bf16.

The pairs are placed here rather than by ModelOpt's `quantize`, which calibrates itself whatever
table there is, ignores a table for fp8, and stretches int8 scales to fp8. The casts are ModelOpt's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from trtbuild.model.inputs import Arrays
from trtbuild.precision import int4, qdq
from trtbuild.precision.cases import Cases
from trtbuild.precision.choice import LeftOut, Wish, choose
from trtbuild.precision.graph import element_types
from trtbuild.precision.headroom import Progress
from trtbuild.precision.lowfloat import Lowered, lower_others
from trtbuild.precision.names import select_nodes
from trtbuild.precision.opset import raise_opset
from trtbuild.precision.prepare import prepare
from trtbuild.precision.qdq import Placed, place, place_blocks, weights_of
from trtbuild.precision.sites import Site

Base = Literal["fp32", "fp16", "bf16"]

_INT8_OPSET = 13  # the first whose Q/DQ has scales by channel; enough where those are float32


@dataclass(frozen=True, slots=True)
class Ground:
    """What the rest of the graph computes in, and how it is brought there.

    Nodes in `keep_fp32` stay in float32 altogether, so that they get no Q/DQ either. `cases` are
    what ranges are measured on.
    """

    base: Base
    keep_io_types: bool
    keep_fp32: tuple[str, ...]
    cases: Cases
    progress: Progress


@dataclass(frozen=True, slots=True)
class Quantized:
    """A model with Q/DQ in it, and what was done; `lowered` tells of the casts, None without."""

    model: onnx.ModelProto
    left_out: tuple[LeftOut, ...]
    placed: Placed
    lowered: Lowered | None


def quantize_activations(
    model: onnx.ModelProto, wish: Wish, amax: Mapping[str, float], ground: Ground
) -> Quantized:
    """Quantize activations and weights to int8 or fp8; `model` is changed.

    `amax` is a calibration table. Raises StageError as `choose` and `lower` do.
    """
    prepare(model)
    kept = select_nodes(model, ground.keep_fp32, key="keep_fp32")
    choice = choose(model, wish, amax, kept)
    weights = weights_of(model, choice.sites)
    exact = wish.kind == "int8" and _scaled_in_float32(model, choice.sites)
    plain = _INT8_OPSET if exact else qdq.OPSET
    target, lowered = _grounded(model, ground, kept, (plain, qdq.OPSET))
    ground.progress("placing Q/DQ", 0.9)
    placed = place(target, weights, choice.sites, amax, wish.kind, per_channel=wish.per_channel)
    return Quantized(target, choice.left_out, placed, lowered)


def quantize_weights(
    model: onnx.ModelProto,
    wish: int4.Wish,
    batches: Callable[[], Iterable[Arrays]],
    ground: Ground,
) -> Quantized:
    """Quantize the weights of linear layers to int4; `model` is changed.

    `batches` gives calibration data, once or more often; `rtn` asks for none. Raises StageError
    as `find_layers`, `search` and `lower_others` do.
    """
    prepare(model)
    layers = int4.find_layers(model, wish, ground.keep_fp32)
    found = int4.search(model, layers.chosen, wish, batches)
    target, lowered = _grounded(model, ground, layers.kept, (int4.OPSET, int4.OPSET))
    ground.progress("placing int4 weights", 0.9)
    placed = place_blocks(target, found, wish.block)
    return Quantized(target, layers.left_out, placed, lowered)


def _scaled_in_float32(model: onnx.ModelProto, sites: Sequence[Site]) -> bool:
    """Whether everything that gets Q/DQ is float32: a model can be in float16 by itself."""
    types = element_types(model)
    names = {name for site in sites for _, name in site.activations}
    names |= {site.weight.tensor for site in sites if site.weight is not None}
    return all(types.get(name) == onnx.TensorProto.FLOAT for name in names)


def _grounded(
    model: onnx.ModelProto, ground: Ground, kept: frozenset[str], opsets: tuple[int, int]
) -> tuple[onnx.ModelProto, Lowered | None]:
    """The model on its base, at the opset that Q/DQ needs without and with casts; `kept` are the
    nodes that stay in float32.
    """
    plain, cast = opsets
    if ground.base == "fp32":
        return raise_opset(model, plain), None
    lowered = lower_others(
        model,
        ground.base,
        kept,
        keep_io_types=ground.keep_io_types,
        cases=ground.cases,
        progress=ground.progress,
        opset=cast,
    )
    return lowered.model, lowered
