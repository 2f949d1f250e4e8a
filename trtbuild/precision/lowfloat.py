"""Turns a float32 model into a mixed float16 or bfloat16 one, and says what stayed and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from trtbuild.precision.autocast import OPSETS, KeepRule, Low, cast_down
from trtbuild.precision.cases import Cases
from trtbuild.precision.constants import Constant
from trtbuild.precision.headroom import Progress, find_headroom
from trtbuild.precision.names import select_nodes
from trtbuild.precision.obtained import node_types
from trtbuild.precision.prepare import prepare


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

    `large` are the tensors that nodes stay in float32 for, since they come near the type's largest
    value or go beyond it, with their largest magnitudes, the largest first.
    """

    model: onnx.ModelProto
    kept: tuple[Kept, ...]
    saturated: tuple[Constant, ...]
    large: tuple[tuple[str, float], ...]


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

    `model` is changed: nodes get names, constants move, masks are saturated.

    Raises StageError where a pattern of `keep_fp32` matches nothing, and as `lower_others` does.
    """
    prepare(model)
    keep = select_nodes(model, keep_fp32, key="keep_fp32")
    return lower_others(
        model,
        low,
        keep,
        keep_io_types=keep_io_types,
        cases=cases,
        progress=progress,
        opset=opset,
    )


def lower_others(
    model: onnx.ModelProto,
    low: Low,
    keep: frozenset[str],
    *,
    keep_io_types: bool,
    cases: Cases,
    progress: Progress,
    opset: int = 0,
) -> Lowered:
    """`lower` for a prepared model, all nodes but those that are named; `model` is changed.

    Raises StageError where the model cannot be run or converted, MissingPackage without ModelOpt.
    """
    headroom = find_headroom(model, low, keep, cases, progress)
    progress(f"casting to {low}", 0.7)
    rule = KeepRule(model, low, keep, headroom.large)
    lowered = cast_down(
        model, low, keep_io_types=keep_io_types, rule=rule, opset=max(opset, OPSETS[low])
    )
    large = tuple((name, most) for name, most in headroom.large.items() if name in rule.too_large)
    return Lowered(lowered, _kept(lowered, rule), headroom.saturated, large)


def _kept(lowered: onnx.ModelProto, rule: KeepRule) -> tuple[Kept, ...]:
    types = node_types(lowered)
    return tuple(
        Kept(node.name, node.op_type, rule.reasons.get(node.name, "operator"))
        for node in lowered.graph.node
        if types.get(node.name) == "fp32"
    )
