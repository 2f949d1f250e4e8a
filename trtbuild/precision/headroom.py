"""What of a graph does not fit into float16 or bfloat16: constants, and tensors over the cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx

from trtbuild.precision.autocast import DATA_MAX, Low
from trtbuild.precision.cases import Cases
from trtbuild.precision.constants import LARGEST, Constant, beyond, saturate
from trtbuild.precision.magnitudes import measure_magnitudes
from trtbuild.precision.saturation import harmless

Progress = Callable[[str, float | None], None]
"""One line of what is being done, and the fraction done where it is known."""

_HIDING = DATA_MAX / 2  # what a mask is worth while ranges are measured: it still hides all


@dataclass(frozen=True, slots=True)
class Headroom:
    """`large`: tensors whose nodes must stay in float32, with their largest magnitudes.

    `saturated`: constants that were brought into the type's range. `overflow`: tensors that go
    beyond it, the largest first; they are among the large ones.
    """

    large: Mapping[str, float]
    saturated: tuple[Constant, ...]
    overflow: tuple[tuple[str, float], ...]


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
    large = {name: magnitude for name, magnitude in found.items() if not magnitude <= DATA_MAX}
    # A constant's own magnitude says nothing about rounding errors: it may be what fits the type.
    large.update((constant.tensor, constant.largest) for constant in beyond(model, limit))
    over = [(name, magnitude) for name, magnitude in found.items() if not magnitude <= limit]
    return Headroom(
        large,
        tuple(constant for constant in outside if constant.tensor in names),
        tuple(sorted(over, key=lambda item: -item[1])),
    )


def _unmasked(model: onnx.ModelProto, cases: Cases) -> onnx.ModelProto:
    """The model, or a copy in which masks are no larger than what they need to hide."""
    masks = harmless(model, beyond(model, DATA_MAX), _HIDING, cases)
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
