"""Where Q/DQ may stand in a graph: the inputs of operators that TensorRT computes in 8 bits.

The rules are those of NVIDIA's TensorRT documentation, "Explicit Quantization": quantize all inputs
of weighted operators, weights by channel and activations by tensor; do not quantize their outputs;
quantize the residual input of a skip connection, so that the addition joins the convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx

from trtbuild.precision.graph import attributes, element_types
from trtbuild.recipe.precision_section import QUANTIZABLE

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
RESIDUAL = "Add"
DEFAULT_OPS = (*WEIGHTED, RESIDUAL)

OTHERS = tuple(op for op in QUANTIZABLE["int8"] if op not in DEFAULT_OPS)
"""Operators that TensorRT can compute in int8 too, quantized only where the recipe names them."""

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant operand: its place among the node's inputs, its name, the axis of the output
    channels, or None where only one scale for all of it is right.
    """

    index: int
    tensor: str
    axis: int | None


@dataclass(frozen=True, slots=True)
class Site:
    """A node that can be quantized, and which of its inputs: places and names of activations."""

    node: str
    op_type: str
    activations: tuple[tuple[int, str], ...]
    weight: Weight | None


def find_sites(model: onnx.ModelProto) -> tuple[Site, ...]:
    """Every node of the main graph that could be quantized, of any operator, in order."""
    graph = _Graph(model)
    sites = (graph.site(node) for node in model.graph.node)
    return tuple(site for site in sites if site is not None)


def no_site(op_type: str) -> str:
    """Why a node of an operator that can be quantized is none that `find_sites` gives."""
    if op_type in WEIGHTED:
        return "no product of a floating-point activation"
    if op_type == RESIDUAL:
        return "no skip connection: nothing is added to the result of a convolution"
    return "no floating-point input"


def candidates(model: onnx.ModelProto) -> tuple[str, ...]:
    """The activations that any choice of nodes could quantize, in order: what is calibrated."""
    found = (name for site in find_sites(model) for _, name in site.activations)
    return tuple(dict.fromkeys(found))


class _Graph:
    """The main graph with what is asked of it again and again."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._types = element_types(model)
        self._ranks = {t.name: len(t.dims) for t in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._readers = _count_readers(model)

    def site(self, node: onnx.NodeProto) -> Site | None:
        """What of a node can be quantized; None where nothing can."""
        if node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type in WEIGHTED:
            return self._weighted(node)
        if node.op_type == RESIDUAL:
            return self._residual(node)
        if node.op_type in OTHERS:
            data = node.input[:1] if node.op_type == "Resize" else node.input
            found = tuple((i, name) for i, name in enumerate(data) if self._is_activation(name))
            return Site(node.name, node.op_type, found, None) if found else None
        return None

    def _weighted(self, node: onnx.NodeProto) -> Site | None:
        operands = list(enumerate(node.input[:2]))
        weights = [(i, name) for i, name in operands if name in self._ranks]
        found = tuple((i, name) for i, name in operands if self._is_activation(name))
        if len(weights) + len(found) < 2 or not found:
            return None  # integers, or a product of constants
        weight = None
        if weights:
            index, name = weights[0]
            weight = Weight(index, name, _channel_axis(node, index, self._ranks[name]))
        return Site(node.name, node.op_type, found, weight)

    def _residual(self, node: onnx.NodeProto) -> Site | None:
        """The operand of an addition that does not come from a convolution alone."""
        if not all(self._is_activation(name) for name in node.input):
            return None
        convolved = [self._is_convolution(name) for name in node.input]
        if not any(convolved) or node.input[0] == node.input[1]:
            return None
        # The convolution that is fused with the addition gives it its own result as it is.
        index = 1 if convolved[0] else 0
        return Site(node.name, node.op_type, ((index, node.input[index]),), None)

    def _is_convolution(self, tensor: str) -> bool:
        """Whether only this tensor's reader sees the result of a convolution (and its BN)."""
        maker = self._makers.get(tensor)
        while maker is not None and self._readers.get(tensor) == 1:
            if maker.op_type in ("Conv", "ConvTranspose"):
                return True
            if maker.op_type not in ("BatchNormalization", "Cast"):
                return False
            tensor = maker.input[0]
            maker = self._makers.get(tensor)
        return False

    def _is_activation(self, name: str) -> bool:
        return bool(name) and name not in self._ranks and self._types.get(name) in FLOATS


def _channel_axis(node: onnx.NodeProto, index: int, rank: int) -> int | None:
    """The axis of a weight that counts output channels, where TensorRT takes scales along it."""
    if node.op_type == "Conv":
        return 0 if index == 1 else None
    if node.op_type == "ConvTranspose":
        grouped = attributes(node).get("group", 1) != 1  # the axis counts one group's channels
        return None if grouped or index != 1 else 1
    if index != 1 or rank != 2:
        return None
    transposed = node.op_type == "Gemm" and attributes(node).get("transB", 0)
    return 0 if transposed else 1


def _count_readers(model: onnx.ModelProto) -> Mapping[str, int]:
    """How many nodes and outputs read a tensor."""
    found: dict[str, int] = {}
    outputs: Iterable[str] = (value.name for value in model.graph.output)
    for name in (*(name for node in model.graph.node for name in node.input), *outputs):
        found[name] = found.get(name, 0) + 1
    return found
