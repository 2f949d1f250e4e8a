"""The two forms of a graph that sensitivity is measured on: exact, and rounded as a precision does.

Both are float32 throughout, so that every node can be switched by itself: int8 on float16 is
measured on float32, where only the Q/DQ differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import onnx

from trtbuild.errors import StageError
from trtbuild.model.inputs import Arrays
from trtbuild.precision import int4, qdq
from trtbuild.precision.autocast import KeepRule, Low
from trtbuild.precision.cases import Cases
from trtbuild.precision.choice import Wish, choose
from trtbuild.precision.headroom import Progress, find_headroom
from trtbuild.precision.names import select_nodes
from trtbuild.precision.obtained import node_types
from trtbuild.precision.opset import raise_opset
from trtbuild.precision.prepare import prepare
from trtbuild.precision.switchboard import round_inputs


@dataclass(frozen=True, slots=True)
class Pair:
    """Both forms, to be given to `open_switchboard`."""

    exact: onnx.ModelProto
    rounded: onnx.ModelProto


def cast_pair(
    model: onnx.ModelProto, low: Low, keep_fp32: tuple[str, ...], cases: Cases, progress: Progress
) -> Pair:
    """For fp16 and bf16: every node that `lower` would cast rounds what it reads.

    Raises StageError where it would cast none.
    """
    prepare(model)
    keep = select_nodes(model, keep_fp32, key="keep_fp32")
    large = find_headroom(model, low, keep, cases, progress).large
    rule = KeepRule(model, low, keep, large)
    lowered = {node.name for node in model.graph.node if not rule.check(node)}
    if not lowered & node_types(model).keys():
        raise _nothing(low, rule, large)
    rounded = _copy(model)
    round_inputs(rounded, lowered, low)
    return Pair(model, rounded)


def activation_pair(
    model: onnx.ModelProto, wish: Wish, amax: Mapping[str, float], keep_fp32: tuple[str, ...] = ()
) -> Pair:
    """For int8 and fp8: the Q/DQ that `quantize_activations` would place."""
    prepare(model)
    kept = select_nodes(model, keep_fp32, key="keep_fp32")
    sites = choose(model, wish, amax, kept).sites
    exact = raise_opset(model, qdq.OPSET)
    rounded = _copy(exact)
    weights = qdq.weights_of(model, sites)
    qdq.place(rounded, weights, sites, amax, wish.kind, per_channel=wish.per_channel)
    return Pair(exact, rounded)


def weight_pair(
    model: onnx.ModelProto,
    wish: int4.Wish,
    batches: Callable[[], Iterable[Arrays]],
    keep_fp32: tuple[str, ...] = (),
) -> Pair:
    """For int4: the weights that `quantize_weights` would find."""
    prepare(model)
    layers = int4.find_layers(model, wish, keep_fp32).chosen
    found = int4.search(model, layers, wish, batches)
    exact = raise_opset(model, int4.OPSET)
    rounded = _copy(exact)
    qdq.place_blocks(rounded, found, wish.block)
    return Pair(exact, rounded)


def _nothing(low: Low, rule: KeepRule, large: Mapping[str, float]) -> StageError:
    """That no node would be cast, with what keeps them all."""
    told = {
        "recipe": "by `keep_fp32`",
        "range": "for their values"
        + "".join(f", the largest in '{name}' with {large[name]:.4g}" for name in list(large)[:1]),
        "backend": "since the backend refuses their operators",
    }
    counts = Counter(rule.reasons.values())
    why = "; ".join(f"{count} are kept in fp32 {told[reason]}" for reason, count in counts.items())
    return StageError(
        f"there is no node to measure in {low}: {why or 'none computes in fp32'}",
        hint="keep fewer nodes in `keep_fp32`, or take bf16, which has the range of fp32",
    )


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
