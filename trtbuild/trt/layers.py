"""What the inspector says of an engine's layers, in any of its forms (10.x, 11.x, RTX)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PRECISIONS = {
    "float": "fp32",
    "float32": "fp32",
    "half": "fp16",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "fp8",
}
"""Names of types that are not those of the precisions, in lower case: of the inspector, and of the
tensors of a network.
"""

_NARROWEST = ("int4", "fp4", "fp8", "int8", "fp16", "bf16", "fp32", "fp64")
"""Types that a layer can compute in. The narrowest that it takes is the one that its kernel is for:
the scales of an fp8 product are float32 too.
"""

_TYPE = re.compile(
    r"(?<![a-z0-9])(?:bfloat16|bf16|float(?:16|32)?|half|fp(?:64|32|16|8|4)|"
    r"u?int(?:64|32|16|8|4)|bool)(?![a-z0-9_])",
    re.IGNORECASE,
)
"""An element type in the words of a format, "Channel major FP16 format where channel % 8 == 0"."""

_ONNX_LAYER = re.compile(r"\[ONNX Layer: (.+?)\](?=[\x1e\x1f]|\[|$)")
"""Entries end with a record separator, in TensorRT-RTX with a unit separator."""

_COPY = re.compile(r"^Reformatting |(?:in|out)put reformatter \d+$| copy$")
"""Names of layers that only move a tensor."""

_BETWEEN = re.compile(r" \+ | \|\| |, |\.\.\.|(?<=\S)\+(?=/)")
"""What stands between the nodes of a fused layer; Myelin sets a + without spaces."""

_POINTWISE = re.compile(r"^(?:PWN\()+")

_MYELIN = re.compile(r"_myl\d+_\d+$")
"""The place in its graph that Myelin adds to a layer's name."""

_NO_NODE = re.compile(
    r"\(Unnamed Layer\* |\[.*\]$|__my[el]|_gemm_mha|ONNXTRT_|onnx::\w+$|[^/]*\.(?:weight|bias)$|"
    r"(?:copied_)?(?:un)?(?:squeeze|shuffle|reshape)_(?:node_)?(?:before|after|between)_"
)
"""Names that TensorRT gives to its own layers, and those that PyTorch gives to weights."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What the inspector says of a layer; types are as it writes them."""

    kind: str = ""  # LayerType; "" where the engine tells names only
    tactic: str = ""
    onnx: tuple[str, ...] = ()  # names of the nodes that it came from
    taken: tuple[str, ...] = ()  # element types of its inputs and weights
    made: tuple[str, ...] = ()  # element types of its outputs

    @property
    def precision(self) -> str:
        """What it computes in, by the name of the precision; "" where that is not told.

        The narrowest type among its inputs and weights; that of an output where it has neither.
        """
        for types in (self.taken, self.made):
            found = {precision_of(name) for name in types}
            for name in _NARROWEST:
                if name in found:
                    return name
        return ""

    def shows(self, precision: str) -> bool:
        """Whether an input, a weight or an output is of that precision's type."""
        return precision in {precision_of(name) for name in (*self.taken, *self.made)}


def precision_of(type_name: str) -> str:
    """The recipe's name of a type of the inspector or of a network: "Half" -> "fp16"."""
    return _PRECISIONS.get(type_name.lower(), type_name.lower())


def layer_facts(inspector: str) -> dict[str, LayerFacts]:
    """Facts by layer name, from the inspector's JSON; none where it is no such JSON.

    An engine that was built to tell names only gives the nodes that its fused names spell.
    """
    try:
        document = json.loads(inspector)
    except ValueError:
        return {}
    layers = document.get("Layers") if isinstance(document, dict) else None
    if not isinstance(layers, list):
        return {}
    return dict(_facts(entry) for entry in layers if isinstance(entry, (str, dict)))


def count_precisions(facts: Mapping[str, LayerFacts]) -> dict[str, int]:
    """How many layers compute in each precision; empty where the engine tells no types."""
    told = Counter(found.precision for found in facts.values() if found.precision)
    return dict(sorted(told.items()))


def nodes_in(name: str) -> tuple[str, ...]:
    """The nodes that a layer's name spells, as "Conv_0 + PWN(Relu_1)" or "{ForeignNode[a...b]}".

    Of a foreign node only the first and last are told. A copy that changes a tensor's format
    computes no node, whatever it is named for, and has none.
    """
    if _COPY.search(name):
        return ()
    foreign = re.fullmatch(r"\{ForeignNode\[(.*)\]\}", name)
    parts = (_node(part) for part in _BETWEEN.split(foreign[1] if foreign else name))
    return tuple(dict.fromkeys(part for part in parts if part and not _NO_NODE.match(part)))


def _node(part: str) -> str:
    """A part of a layer's name without the PWN(...) around it, or a piece of that, and without
    what Myelin adds.
    """
    node = _POINTWISE.sub("", part.strip())
    while node.endswith(")") and node.count(")") > node.count("("):
        node = node[:-1]
    return _MYELIN.sub("", node)


def _facts(entry: Any) -> tuple[str, LayerFacts]:
    if isinstance(entry, str):
        return entry, LayerFacts(onnx=nodes_in(entry))
    name = str(entry.get("Name", ""))
    nodes = tuple(_ONNX_LAYER.findall(str(entry.get("Metadata", ""))))
    weights = entry.get("Weights")  # TensorRT; RTX has a list of constants
    taken = [
        _type_of(tensor) for part in ("Inputs", "Constants") for tensor in entry.get(part) or ()
    ]
    if isinstance(weights, dict):
        taken.append(str(weights.get("Type", "")))
    return name, LayerFacts(
        kind=str(entry.get("LayerType", "")),
        tactic=str(entry.get("TacticName") or entry.get("TacticValue") or ""),
        onnx=tuple(dict.fromkeys(nodes)) or nodes_in(name),
        taken=tuple(taken),
        made=tuple(_type_of(tensor) for tensor in entry.get("Outputs") or ()),
    )


def _type_of(tensor: Any) -> str:
    """The element type of an inspector's tensor: a field of its own in 11.x and RTX.

    In 10.x it is somewhere in "Format/Datatype"; "" where that tells none, as "N/A due to dynamic
    shapes".
    """
    if not isinstance(tensor, dict):
        return ""
    for key in ("DataType", "Datatype"):
        if key in tensor:
            return str(tensor[key])
    form = str(tensor.get("Format/Datatype", ""))
    found = _TYPE.search(form)
    if found:
        return found[0]
    return "" if " " in form else form
