"""quantize.json: what was done to a graph, and the precision that it has now."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from trtbuild.precision.lowfloat import Lowered
from trtbuild.precision.obtained import count_types, node_types
from trtbuild.precision.quantized import Quantized

FORMAT = 1


def describe(result: Lowered | Quantized, precision: str, base: str, tool: str) -> dict[str, Any]:
    """The document; `tool` is what made the casts."""
    lowered = result if isinstance(result, Lowered) else result.lowered
    nodes = {precision: 0, "fp32": 0} | count_types(node_types(result.model))
    document: dict[str, Any] = {
        "format": FORMAT,
        "precision": precision,
        "base": base,
        "tool": tool,
        "nodes": dict(sorted(nodes.items())),
        **_casts(lowered),
    }
    if isinstance(result, Quantized):
        document["quantized"] = {
            "nodes": result.placed.nodes,
            "activations": result.placed.activations,
            "weights": result.placed.weights,
            "left_out": [
                {"node": item.node, "op_type": item.op_type, "reason": item.reason}
                for item in result.left_out
            ],
            "reasons": dict(sorted(Counter(item.reason for item in result.left_out).items())),
        }
    return document


def _casts(lowered: Lowered | None) -> dict[str, Any]:
    """What stayed in float32 and why, what was saturated, and what is too large to be cast."""
    if lowered is None:
        return {"kept_fp32": [], "saturated": [], "large": []}
    return {
        "kept_fp32": [
            {"node": kept.node, "op_type": kept.op_type, "reason": kept.reason}
            for kept in lowered.kept
        ],
        "saturated": [
            {"tensor": constant.tensor, "largest": constant.largest}
            for constant in lowered.saturated
        ],
        "large": [
            {"tensor": tensor, "largest": largest if math.isfinite(largest) else None}
            for tensor, largest in lowered.large
        ],
    }
