"""Times of an engine's layers, beside what the inspector says of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from trtbuild.recipe.model import Options
from trtbuild.trt.layers import LayerFacts, nodes_in


@dataclass(slots=True)
class LayerTime:
    """One layer in one place of the engine; a name may come again in another place."""

    name: str
    times_ms: list[float] = field(default_factory=list)

    @property
    def total_ms(self) -> float:
        """Over all runs."""
        return sum(self.times_ms)

    @property
    def average_ms(self) -> float:
        """Of one run."""
        return self.total_ms / len(self.times_ms)

    @property
    def median_ms(self) -> float:
        """Of one run."""
        return statistics.median(self.times_ms)


class LayerTimes:
    """Takes what an IProfiler reports: layers in the order they run, run after run.

    As trtexec's Profiler (sampleReporting.cpp:380-462): layers are told apart by their place, not
    by their name, and a run begins when the first layer's name comes again at the end of the list.
    """

    def __init__(self) -> None:
        self.layers: list[LayerTime] = []
        self.count = 0  # runs
        self._place = 0

    def report(self, name: str, ms: float) -> None:
        """One layer of one run."""
        if self._place == len(self.layers):
            if self.layers and name == self.layers[0].name:
                self._place = 0
                self.count += 1
            else:
                self.count = self.count or 1
                self.layers.append(LayerTime(name))
        self.layers[self._place].times_ms.append(ms)
        self._place += 1

    def percentage(self, layer: LayerTime) -> float:
        """A layer's share of the time of all layers, in percent."""
        total = sum(each.total_ms for each in self.layers)
        return layer.total_ms / total * 100 if total else 0.0


def layer_table(times: LayerTimes, facts: Mapping[str, LayerFacts]) -> list[Options]:
    """The layers, the slowest first: time of a run in ms, and share of all in percent."""
    found: list[Options] = []
    for layer in sorted(times.layers, key=lambda layer: -layer.total_ms):
        known = facts.get(layer.name) or LayerFacts(onnx=nodes_in(layer.name))
        found.append(
            {
                "name": layer.name,
                "average_ms": layer.average_ms,
                "median_ms": layer.median_ms,
                "percentage": times.percentage(layer),
                "kind": known.kind,
                "tactic": known.tactic,
                "onnx": list(known.onnx),
                "types": list(known.made),
            }
        )
    return found
