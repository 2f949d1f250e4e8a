"""Turns a float32 model into a mixed float16 or bfloat16 one, and says what stayed and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from trtbuild.precision.autocast import DATA_MAX, OPSETS, KeepRule, Low, cast_down
from trtbuild.precision.cases import Cases
from trtbuild.precision.constants import LARGEST, Constant, beyond, saturate
from trtbuild.precision.limits import KEPT_OPS
from trtbuild.precision.names import select_nodes
from trtbuild.precision.obtained import node_types
from trtbuild.precision.prepare import prepare
from trtbuild.precision.ranges import Range, measure_ranges
from trtbuild.precision.saturation import harmless

Progress = Callable[[str, float | None], None]
"""One line of what is being done, and the fraction done where it is known."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A node that stays in float32, and why: "recipe", "range", "backend" (which refuses its
    operator in the lower type), or "operator", which ONNX does not define for it.
    """

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lowered:
    """A model in a lower floating type, and what is worth telling of it.

    `overflow` are the tensors beyond float16's range, the largest first; their nodes stay in
    float32.
    """

    model: onnx.ModelProto
    kept: tuple[Kept, ...]
    saturated: tuple[Constant, ...]
    overflow: tuple[tuple[str, float], ...]


def lower(
    model: onnx.ModelProto,
    low: Low,
    *,
    keep_io_types: bool,
    keep_fp32: Sequence[str],
    cases: Cases,
    progress: Progress,
    opset: int = 0,
) -> Lowered:
    """Cast a float32 model down, at the opset or above.

    `model` is changed: nodes get names, constants move.

    Raises StageError where a pattern of `keep_fp32` matches nothing, or where the model cannot be
    run or converted; MissingPackage without ModelOpt.
    """
    prepare(model)
    keep = select_nodes(model, keep_fp32, key="keep_fp32")
    ranges = _ranges(model, cases, progress) if low == "fp16" else {}  # bf16 has float32's range
    saturated = saturate_masks(model, keep, LARGEST[low], cases, progress)
    large = too_large(model, ranges, LARGEST[low])
    overflow = _overflow(ranges, LARGEST[low])
    progress(f"casting to {low}", 0.7)
    rule = KeepRule(model, keep, large, KEPT_OPS[low])
    lowered = cast_down(
        model, low, keep_io_types=keep_io_types, rule=rule, opset=max(opset, OPSETS[low])
    )
    return Lowered(lowered, _kept(lowered, rule), saturated, overflow)


def _ranges(model: onnx.ModelProto, cases: Cases, progress: Progress) -> dict[str, Range]:
    total = len(cases)

    def done(count: int) -> None:
        progress(f"measuring ranges, case {count} of {total}", 0.6 * count / total)

    return measure_ranges(model, cases, done)


def too_large(
    model: onnx.ModelProto, ranges: Mapping[str, Range], largest: float
) -> dict[str, float]:
    """The tensors whose nodes must stay in float32: values beyond DATA_MAX, constants beyond the
    largest of the type (a constant's own magnitude says nothing about rounding errors).
    """
    large = {name: r.largest for name, r in ranges.items() if not r.largest <= DATA_MAX}
    large.update((constant.tensor, constant.largest) for constant in beyond(model, largest))
    return large


def _overflow(ranges: Mapping[str, Range], largest: float) -> tuple[tuple[str, float], ...]:
    found = [(name, r.largest) for name, r in ranges.items() if not r.largest <= largest]
    return tuple(sorted(found, key=lambda item: -item[1]))


def saturate_masks(
    model: onnx.ModelProto, keep: frozenset[str], limit: float, cases: Cases, progress: Progress
) -> tuple[Constant, ...]:
    """Saturate the constants beyond the limit that only mask, and that no kept node reads."""
    readers = {name for node in model.graph.node if node.name in keep for name in node.input}
    candidates = [c for c in beyond(model, limit) if c.tensor not in readers]
    if candidates:
        progress("finding which constants beyond the range only mask", 0.65)
    names = harmless(model, candidates, limit, cases)
    saturate(model, names, limit)
    return tuple(constant for constant in candidates if constant.tensor in names)


def _kept(lowered: onnx.ModelProto, rule: KeepRule) -> tuple[Kept, ...]:
    types = node_types(lowered)
    return tuple(
        Kept(node.name, node.op_type, rule.reasons.get(node.name, "operator"))
        for node in lowered.graph.node
        if types.get(node.name) == "fp32"
    )
