"""Whether a variant has the precision that it asks for: in its graph, its network, its engine.

An engine in fp32 passes every comparison of an fp16 recipe, and is twice as slow.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trtbuild.trt.layers import count_precisions, layer_facts, precision_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from trtbuild.trt.layers import LayerFacts
    from trtbuild.verify.result import Result

LOW_PRECISIONS = ("fp16", "bf16", "int8", "fp8", "int4")
"""Variants that must have something which computes in that type."""

KEPT_HINT = (
    "`kept_fp32` in quantize.json says why nodes stay in fp32: for `recipe` keep fewer nodes "
    "(`keep_fp32`), for `range` take bf16; or leave this precision out"
)


class Obtained:
    """Notes what a variant computes in, and fails it where its own type is nowhere.

    `nodes` says what each node of the graph that was built computes in, `moving` which nodes only
    carry values from one type to another.
    """

    def __init__(self, result: Result, nodes: Mapping[str, str], moving: Collection[str]) -> None:
        self._result, self._nodes, self._moving = result, nodes, frozenset(moving)

    def graph(self) -> None:
        """By the nodes of the graph that was built."""
        types = dict(sorted(Counter(self._nodes.values()).items()))
        self._note("graph", types)
        self._require("nodes of the graph computes", types)

    def network(self, tensor_types: Mapping[str, int]) -> None:
        """By the tensors of the network that TensorRT parsed; it is strongly typed."""
        types = {precision_of(name): count for name, count in tensor_types.items()}
        self._note("engine", types)
        self._require("tensors of the engine's network is", types)

    def layers(self, inspector: str, warn: Callable[[str], None]) -> None:
        """By the inspector's layers; an engine that tells names only is not judged by them."""
        facts = layer_facts(inspector)
        types = count_precisions(facts)
        if not types:
            return
        self._note("layers", types)
        if any(layer.shows(self._result.precision) for layer in facts.values()):
            return
        if self._hidden(facts):
            warn(
                f"no layer of the engine shows {self._result.precision}, which kernels that "
                f"convert within themselves would not: {_shares(types)}"
            )
        else:
            self._require("layers of the engine computes", types)

    def _hidden(self, facts: Mapping[str, LayerFacts]) -> bool:
        """Whether a kernel was fused from nodes of that type and from casts around them: then the
        type is within it, and nothing that goes in or comes out tells.
        """
        low = {name for name, kind in self._nodes.items() if kind == self._result.precision}
        return any(
            low.intersection(layer.onnx) and self._moving.intersection(layer.onnx)
            for layer in facts.values()
        )

    def _note(self, place: str, types: Mapping[str, int]) -> None:
        self._result.obtained[place] = types

    def _require(self, what: str, types: Mapping[str, int]) -> None:
        wanted = self._result.precision
        if wanted in LOW_PRECISIONS and types and not types.get(wanted):
            self._result.fail(
                f"none of the {what} in {wanted}: {_shares(types)}",
                KEPT_HINT,
            )


def _shares(types: Mapping[str, int]) -> str:
    total = sum(types.values())
    return ", ".join(f"{count} of {total} in {name}" for name, count in types.items())
