"""Where a graph in lower precision loses most: signal to noise, tensor by tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnx

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.graph import element_types, float_tensors
from trtbuild.precision.obtained import node_types
from trtbuild.precision.watch import open_watch

CASES = 4
"""How many cases are run; the ranking of layers settles after one or two."""

MASKS = 1e30
"""Values beyond are what masks are made of (the lowest float32), which lower types saturate."""

_OF_SHAPES = ("Shape", "Size")  # whose results do not depend on values

CEILING_DB = 150.0
"""What stands for equal: float32 itself has about this much."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One tensor, the node that makes it and the type that node computes in ("int8", "fp16"...).

    `snr_db` is signal to noise, 10 log10(sum x^2 / sum (x - y)^2) over all cases with x in
    float32; -inf where y is not finite. `own_db` counts only the noise that this node adds to
    what the worst of its inputs brings.
    """

    tensor: str
    node: str
    op_type: str
    type: str
    snr_db: float
    own_db: float


def measure_losses(
    reference: onnx.ModelProto, lowered: onnx.ModelProto, cases: Iterable[Arrays]
) -> tuple[Loss, ...]:
    """Every float tensor that both graphs have under the same name, the worst first.

    `reference` is the float32 graph in the form that `prepare` gives it. Raises StageError where
    onnxruntime refuses a graph or the inputs.
    """
    tensors = _common(reference, lowered)
    sums = {name: _Sums() for name in tensors}
    with ExitStack() as stack:
        exact = stack.enter_context(open_watch(reference, tensors, optimise=True))
        rounded = stack.enter_context(open_watch(lowered, tensors, optimise=False))
        for case in itertools.islice(cases, CASES):
            for group in exact.groups(case):
                pairs = zip(exact.values(group, case), rounded.values(group, case), strict=True)
                for (name, expected), (_, got) in pairs:
                    sums[name].add(expected, got)
    snr = {name: found.snr_db for name, found in sums.items() if found.signal > 0.0}
    return _losses(reference, snr, node_types(lowered))


def suggest_keeping(losses: Sequence[Loss], most: int = 5) -> tuple[str, ...]:
    """The nodes to try in `keep_fp32`: those not in float32 that add most noise themselves."""
    worst = sorted(losses, key=lambda loss: (loss.own_db, loss.node))
    names = dict.fromkeys(
        loss.node for loss in worst if loss.type != "fp32" and loss.own_db < CEILING_DB
    )
    return tuple(itertools.islice(names, most))


def choosing_nodes(reference: onnx.ModelProto) -> frozenset[str]:
    """The nodes that choose by integers or booleans which the graph computes from float values, as
    a Gather behind a TopK does: rounding anywhere before them makes them choose something else.
    """
    floats = set(float_tensors(reference))
    decided: set[str] = set()
    found = set()
    for node in reference.graph.node:
        if not decided.isdisjoint(node.input):
            found.add(node.name)
        if node.op_type not in _OF_SHAPES and not decided.union(floats).isdisjoint(node.input):
            decided.update(name for name in node.output if name not in floats)
    return frozenset(found)


def leaves_some(
    reference: onnx.ModelProto, lowered: onnx.ModelProto, precision: str, kept: Collection[str]
) -> bool:
    """Whether a node still computes in the precision where some of `reference` stay in float32.

    A node that is not in `reference` was fused, and stays with the one whose output it makes.
    """
    makers = {name: node.name for node in reference.graph.node for name in node.output}
    types = node_types(lowered)
    return any(
        {makers.get(name, node.name) for name in node.output}.isdisjoint(kept)
        for node in lowered.graph.node
        if types.get(node.name) == precision
    )


def loss_document(losses: Sequence[Loss], most: int = 20) -> list[dict[str, Any]]:
    """The worst as JSON; a ratio that is not finite is null."""
    return [
        {name: _finite(value) for name, value in asdict(loss).items()} for loss in losses[:most]
    ]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value


@dataclass(slots=True)
class _Sums:
    signal: float = field(default=0.0)
    noise: float = field(default=0.0)

    def add(self, expected: Array, got: Array) -> None:
        counted = np.abs(expected) < MASKS
        wide = expected[counted].astype(np.float64)
        off = got[counted].astype(np.float64) - wide
        self.signal += float(np.vdot(wide, wide))
        self.noise += float(np.vdot(off, off))

    @property
    def snr_db(self) -> float:
        return _decibels(self.noise / self.signal)


def _decibels(noise: float) -> float:
    """Of relative noise; -inf where it is not finite, at most CEILING_DB."""
    if not math.isfinite(noise):
        return -math.inf
    return min(-10.0 * math.log10(noise), CEILING_DB) if noise > 0.0 else CEILING_DB


def _common(reference: onnx.ModelProto, lowered: onnx.ModelProto) -> tuple[str, ...]:
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    types = element_types(lowered)
    made = {name for node in lowered.graph.node for name in node.output}
    return tuple(
        name for name in float_tensors(reference) if name in made and types.get(name) in floats
    )


def _losses(
    reference: onnx.ModelProto, snr: Mapping[str, float], types: Mapping[str, str]
) -> tuple[Loss, ...]:
    """Rank the tensors by what is left of the signal."""
    noise = {name: 10.0 ** (-value / 10.0) for name, value in snr.items()}
    found = []
    for node in reference.graph.node:
        brought = max((noise[name] for name in node.input if name in noise), default=0.0)
        for name in node.output:
            if name in snr:
                own = noise[name] - brought if math.isfinite(brought) else 0.0
                kind = types.get(node.name, "")
                found.append(Loss(name, node.name, node.op_type, kind, snr[name], _decibels(own)))
    return tuple(sorted(found, key=lambda loss: (loss.snr_db, loss.tensor)))
