"""What of a graph does not fit into float16 or bfloat16: constants, and tensors over the cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from trtbuild.precision.autocast import SUMMED, Low
from trtbuild.precision.cases import Cases
from trtbuild.precision.constants import LARGEST, Constant, beyond, saturate
from trtbuild.precision.magnitudes import measure_magnitudes
from trtbuild.precision.saturation import harmless

Progress = Callable[[str, float | None], None]
"""One line of what is being done, and the fraction done where it is known."""

_MASK, _HIDING = 512.0, 256.0
"""Constants beyond the one are worth the other while ranges are measured, where they only mask: it
still hides all, and several of them add up to little."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """`large`: tensors that are too large for some node in the type, with their largest magnitudes,
    the largest first. `saturated`: constants that were brought into the type's range.
    """

    large: Mapping[str, float]
    saturated: tuple[Constant, ...]


def find_headroom(
    model: onnx.ModelProto, low: Low, keep: frozenset[str], cases: Cases, progress: Progress
) -> Headroom:
    """Saturate the constants that only mask, in place, and find what is too large all the same.

    `keep` are the nodes that stay in float32 anyway. Masks do not count as large: -65504 added to
    a score hides it in float16 as in float32, and an attention that stayed in float32 for its
    mask could not be fused. bfloat16 rounds large values no worse than small ones and has
    float32's range, so that only constants are looked at.
    """
    limit = LARGEST[low]
    readers = {name for node in model.graph.node if node.name in keep for name in node.input}
    outside = [c for c in beyond(model, limit) if c.tensor not in readers]
    if outside:
        progress("finding which constants beyond the range only mask", 0.0)
    names = harmless(model, outside, limit, cases)
    saturate(model, names, limit)
    found = {} if low == "bf16" else _magnitudes(_unmasked(model, cases), cases, progress)
    large = {name: magnitude for name, magnitude in found.items() if not magnitude <= SUMMED}
    # A constant is what it is on any data: it may be as large as what the type holds.
    large.update((constant.tensor, constant.largest) for constant in beyond(model, limit))
    return Headroom(
        dict(sorted(large.items(), key=_furthest)),
        tuple(constant for constant in outside if constant.tensor in names),
    )


def _furthest(item: tuple[str, float]) -> tuple[float, str]:
    """An order with what is no number first: it is beyond everything."""
    name, magnitude = item
    return (-math.inf if math.isnan(magnitude) else -magnitude), name


def _unmasked(model: onnx.ModelProto, cases: Cases) -> onnx.ModelProto:
    """The model, or a copy in which masks are no larger than what they need to hide."""
    masks = harmless(model, beyond(model, _MASK), _HIDING, cases)
    if not masks:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    saturate(copy, masks, _HIDING)
    return copy


def _magnitudes(model: onnx.ModelProto, cases: Cases, progress: Progress) -> dict[str, float]:
    total = len(cases)

    def done(count: int) -> None:
        progress(f"measuring ranges, case {count} of {total}", 0.6 * count / total)

    return measure_magnitudes(model, cases, done)
