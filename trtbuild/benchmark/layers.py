"""Times of an engine's layers, and the ONNX nodes that they came from."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trtbuild.recipe.model import Options

_PRECISIONS = {
    "float": "fp32",
    "float32": "fp32",
    "half": "fp16",
    "float16": "fp16",
    "bfloat16": "bf16",
}
"""The inspector's names of types that are not those of the precisions, in lower case."""

_ONNX_LAYER = re.compile(r"\[ONNX Layer: (.+?)\](?=[\x1e\x1f]|\[|$)")
"""Entries end with a record separator, in TensorRT-RTX with a unit separator."""


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


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What the inspector says of a layer."""

    kind: str  # LayerType; "" where the engine tells names only
    tactic: str
    onnx: tuple[str, ...]  # names of the nodes that it came from
    types: tuple[str, ...]  # element types of its outputs


def layer_facts(inspector: str) -> dict[str, LayerFacts]:
    """Facts by layer name, from the inspector's JSON in any of its forms (10.x, 11.x, RTX).

    An engine that was built to tell names only gives the nodes that its fused names spell.
    """
    try:
        document = json.loads(inspector)
    except ValueError:
        return {}
    layers = document.get("Layers", []) if isinstance(document, dict) else []
    return dict(_facts(layer) for layer in layers)


def layer_types(inspector: str) -> dict[str, int]:
    """How many outputs of layers there are of each element type, by the names of precisions where
    there is one; empty where the engine tells no types.
    """
    counts: Counter[str] = Counter()
    for facts in layer_facts(inspector).values():
        counts.update(_PRECISIONS.get(name.lower(), name.lower()) for name in facts.types if name)
    return dict(sorted(counts.items()))


def layer_table(times: LayerTimes, facts: Mapping[str, LayerFacts]) -> list[Options]:
    """The layers, the slowest first: time of a run in ms, and share of all in percent."""
    found: list[Options] = []
    for layer in sorted(times.layers, key=lambda layer: -layer.total_ms):
        known = facts.get(layer.name) or LayerFacts("", "", _nodes_in(layer.name), ())
        found.append(
            {
                "name": layer.name,
                "average_ms": layer.average_ms,
                "median_ms": layer.median_ms,
                "percentage": times.percentage(layer),
                "kind": known.kind,
                "tactic": known.tactic,
                "onnx": list(known.onnx),
                "types": list(known.types),
            }
        )
    return found


def _facts(layer: Any) -> tuple[str, LayerFacts]:
    if isinstance(layer, str):
        return layer, LayerFacts("", "", _nodes_in(layer), ())
    name = str(layer.get("Name", ""))
    nodes = tuple(_ONNX_LAYER.findall(str(layer.get("Metadata", ""))))
    return name, LayerFacts(
        kind=str(layer.get("LayerType", "")),
        tactic=str(layer.get("TacticName") or layer.get("TacticValue") or ""),
        onnx=tuple(dict.fromkeys(nodes)) or _nodes_in(name),
        types=tuple(_type_of(tensor) for tensor in layer.get("Outputs", [])),
    )


def _type_of(tensor: Any) -> str:
    """The element type of an inspector's tensor: a field of its own in 11.x and RTX.

    In 10.x it is the last word of "Format/Datatype", as "Row major linear FP32".
    """
    if not isinstance(tensor, dict):
        return ""
    for key in ("DataType", "Datatype"):
        if key in tensor:
            return str(tensor[key])
    return str(tensor.get("Format/Datatype", "")).rpartition(" ")[2]


def _nodes_in(name: str) -> tuple[str, ...]:
    """The nodes in a fused layer's name, as "/a/Conv + /b/Relu" or "{ForeignNode[/a.../b]}"."""
    foreign = re.fullmatch(r"\{ForeignNode\[(.*)\]\}", name)
    parts = foreign[1].split("...") if foreign else name.split(" + ")
    return tuple(part.strip() for part in parts if part.strip().startswith("/"))
