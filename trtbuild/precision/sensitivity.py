"""Measures what each node's low precision costs the outputs, and which few to keep in float32."""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.switchboard import Switchboard

Accept = Callable[[Sequence[Arrays], Sequence[Arrays]], bool]
"""(float32 outputs, outputs) of the cases, in the same order -> whether they are near enough."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a node costs when it alone is in low precision: noise over signal, summed over the
    float outputs; infinite where an output is not finite.
    """

    node: str
    noise: float

    @property
    def snr_db(self) -> float:
        """Signal to noise; infinite where nothing is lost."""
        if self.noise == 0.0:
            return math.inf
        return -10.0 * math.log10(self.noise) if math.isfinite(self.noise) else -math.inf


@dataclass(frozen=True, slots=True)
class Keeping:
    """Nodes to keep in float32; `enough` is whether the outputs are then accepted, `settled`
    whether the search ended by itself. Where nothing was accepted, the nodes are those that were
    last found too few.
    """

    nodes: tuple[str, ...]
    enough: bool
    settled: bool


class Trial(enum.Enum):
    """What comes of keeping some nodes in float32."""

    TOO_FEW = "the outputs are not near enough"
    ENOUGH = "the outputs are near enough"
    TOO_MANY = "no node that computes is left in low precision"


class Clock:
    """How long measuring may go on."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() >= self._end


def probe_nodes(
    board: Switchboard,
    cases: Sequence[Arrays],
    clock: Clock,
    *,
    known: Mapping[str, Probe] | None = None,
    first: Sequence[str] = (),
) -> Iterator[Probe]:
    """Measure node by node until all are done or the time is over, those in `first` first.

    Probes that are `known` already are given again and cost nothing. The noises of nodes add up:
    each is small against the signal, and they are not correlated.
    """
    known = known or {}
    expected = [board.run((), case) for case in cases]
    order = dict.fromkeys((*(node for node in first if node in board.nodes), *board.nodes))
    for node in order:
        if node in known:
            yield known[node]
        elif not clock.over:
            got = [board.run((node,), case) for case in cases]
            yield Probe(node, _noise(expected, got))


def fewest_kept(
    board: Switchboard,
    cases: Sequence[Arrays],
    probes: Sequence[Probe],
    accept: Accept,
    clock: Clock,
) -> Keeping:
    """The fewest nodes to keep in float32 so that the outputs are accepted.

    The nodes that cost most are kept: twice as many each time until that is enough, and of the
    last step as many as a bisection finds necessary. Each of them is then tried without, the one
    that costs least first. Nodes without a probe cost least.
    """
    expected = [board.run((), case) for case in cases]

    def accepted(kept: set[str]) -> bool:
        on = [node for node in board.nodes if node not in kept]
        return accept(expected, [board.run(on, case) for case in cases])

    ranked = rank(board.nodes, probes)
    if accepted(set()):
        return Keeping((), enough=True, settled=True)
    low, high = 0, 1  # keeping `low` is too few, keeping `high` is enough in the end
    while not accepted(set(ranked[:high])):
        low, high = high, min(2 * high, len(ranked))
        if low == high or clock.over:
            return Keeping(tuple(ranked[:low]), enough=False, settled=low == high)
    while high - low > 1 and not clock.over:
        middle = (low + high) // 2
        low, high = (low, middle) if accepted(set(ranked[:middle])) else (middle, high)
    kept = set(ranked[:high])
    for node in reversed(ranked[:high]):
        if clock.over:
            break
        if accepted(kept - {node}):
            kept.remove(node)
    return Keeping(tuple(n for n in ranked if n in kept), enough=True, settled=not clock.over)


def rank(nodes: Sequence[str], probes: Sequence[Probe]) -> list[str]:
    """The nodes that cost most first; those without a probe last."""
    cost = {probe.node: probe.noise for probe in probes}
    return sorted(nodes, key=lambda node: (-cost.get(node, 0.0), node))


def prove(
    found: Keeping, ranked: Sequence[str], tried: Callable[[tuple[str, ...]], Trial], clock: Clock
) -> Keeping:
    """What was found on a few cases, with as many more nodes as it takes to hold on all of them.

    `tried` says what comes of it on every case where these nodes are kept. It is asked once at
    least, however late it is; then more nodes are added, the costliest first, twice as many each
    time, and of the last step as many as a bisection finds necessary. One node is never kept: a
    variant without any in low precision is none. Where that is still too few, or nothing lies
    between too few and too many, the search is settled and nothing is enough.
    """
    order = (*found.nodes, *(node for node in ranked if node not in found.nodes))
    most = max(len(order) - 1, 0)
    start = high = min(len(found.nodes), most)
    low = high - 1  # keeping so many is too few: here by the search on a few cases
    while (trial := tried(order[:high])) is Trial.TOO_FEW:
        if high == most or clock.over:
            return Keeping(order[:high], enough=False, settled=high == most)
        low, high = high, min(start + max(1, 2 * (high - start)), most)
    if trial is Trial.TOO_MANY and high == start:
        low = -1  # that search cannot tell what is left, so it does not count here
    while high - low > 1 and not clock.over:
        middle = (low + high) // 2
        found_there = tried(order[:middle])
        if found_there is Trial.TOO_FEW:
            low = middle
        else:
            high, trial = middle, found_there
    settled = found.settled and high - low == 1
    if trial is Trial.TOO_MANY:
        return Keeping(order[: max(low, 0)], enough=False, settled=settled)
    return Keeping(order[:high], enough=True, settled=settled)


def _noise(expected: Sequence[Arrays], got: Sequence[Arrays]) -> float:
    total = 0.0
    for name, values in expected[0].items():
        if values.dtype.kind == "f":
            signal = sum(_energy(case[name]) for case in expected)
            noise = sum(
                _energy(other[name].astype(np.float64) - case[name])
                for case, other in zip(expected, got, strict=True)
            )
            if signal > 0.0:
                total += noise / signal
    return total if math.isfinite(total) else math.inf


def _energy(values: Array) -> float:
    wide = values.astype(np.float64, copy=False)
    return float(np.vdot(wide, wide))
